"""Write what the images install: every package with its version and hashes, from the extras of setup.cfg.

    python scripts/image_locks.py             # the newest versions that setup.cfg allows

An image's lock is ``deploy/docker/requirements/IMAGE.txt``. It is solved by uv, for the images' Python on Linux, and
installed with ``pip install --no-deps --require-hashes``.
"""

from __future__ import annotations

import argparse
import configparser
import re
import subprocess
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "deploy" / "docker" / "requirements"
PYTHON = "3.13"
"""The version in the images' names, in ``deploy/docker``."""

IMAGES = {
    "proxy": ["proxy", "redis", "tracing", "rollout"],
    "model-server": ["serving"],
    "all-in-one": ["serving", "proxy", "redis", "tracing"],
    "tools": ["training", "export", "rollout", "bulk"],
}
"""The extras that each image installs."""


LIBRARY_ONLY = ("model-server", "all-in-one")
"""Images that need TensorFlow's shared library, and none of the packages that its Python part asks for."""

BUILD = "build"
"""The lock of what builds this package itself, for all images."""

NAMES = [*IMAGES, BUILD]

HEADLESS = "opencv-python"
"""imgaug asks for it; the headless build, which is the same without a graphics library, takes its place."""

_HEADER = "# Made by scripts/image_locks.py from setup.cfg; do not edit.\n"


def wanted(image: str) -> list[Requirement]:
    """Return what setup.cfg asks for in an image."""
    if image == BUILD:
        return [Requirement(line) for line in re.findall(r'"(.+?)"', _build_line())]
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"].splitlines()
    for extra in IMAGES[image]:
        lines += config["options.extras_require"][extra].splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def _build_line() -> str:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    return next(line for line in lines if line.startswith("requires ="))


def locked(image: str) -> dict[str, str]:
    """Return the version of each package of an image's lock."""
    text = (LOCKS / f"{image}.txt").read_text()
    return {canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.M)}


def problems(image: str) -> list[str]:
    """Return what setup.cfg itself asks for and the lock does not give, a sentence each."""
    versions = locked(image)
    return [
        f"{image}.txt does not give {requirement}. Received: {versions.get(canonicalize_name(requirement.name))}"
        for requirement in wanted(image)
        if requirement.name != HEADLESS
        and not requirement.specifier.contains(versions.get(canonicalize_name(requirement.name), "0"))
    ]


def _solve(requirements: list[Requirement], *flags: str) -> str:
    command = ["uv", "pip", "compile", "-", "--quiet", "--generate-hashes", "--no-header", "--no-annotate"]
    command += ["--no-emit-index-url", "--python-version", PYTHON, "--python-platform", "linux", *flags]
    text = "\n".join(str(requirement) for requirement in requirements)
    return subprocess.run(command, input=text, text=True, stdout=subprocess.PIPE, check=True).stdout


def lock(image: str) -> None:
    """Solve an image's requirements and write its lock."""
    requirements = wanted(image)
    if image in LIBRARY_ONLY:
        library = [each for each in requirements if each.name == "tensorflow"]
        rest = [each for each in requirements if each.name != "tensorflow"]
        text = _solve(rest) + _solve(library, "--no-deps")
    else:
        text = _solve(requirements, "--no-emit-package", HEADLESS)
    (LOCKS / f"{image}.txt").write_text(_HEADER + text)


def main() -> None:
    """Write the locks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", nargs="*", help=f"one of {', '.join(NAMES)}; all, if none")
    images = parser.parse_args().image
    if unknown := set(images) - set(NAMES):
        parser.error(f"There is no image {', '.join(sorted(unknown))}. There are {', '.join(NAMES)}.")
    for image in images or NAMES:
        lock(image)
        print(f"{image}: {len(locked(image))} packages")


if __name__ == "__main__":
    main()
