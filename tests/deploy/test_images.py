"""The Dockerfiles, the locks of what they install, and setup.cfg agree."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml

from scripts import image_locks
from tests.processes import ROOT

DOCKERFILES = ROOT / "deploy" / "docker"
IMAGES = sorted(image_locks.IMAGES)
NAMES = {"all-in-one": "scenery"}
"""Of images that are not called scenery- and the Dockerfile's name."""


def _text(image):
    return (DOCKERFILES / f"{image}.Dockerfile").read_text()


@pytest.mark.parametrize("image", image_locks.NAMES)
def test_locks_give_what_setup_cfg_asks_for(image):
    """An image installs versions that setup.cfg allows, each by its hash."""
    assert not image_locks.problems(image)
    blocks = re.split(r"\n(?=\S)", (image_locks.LOCKS / f"{image}.txt").read_text())
    assert all("--hash=sha256:" in block for block in blocks if not block.startswith("#"))


def test_a_lock_that_is_too_old_is_told(tmp_path, monkeypatch):
    """A range that moved on without its lock is found."""
    text = (image_locks.LOCKS / "proxy.txt").read_text()
    (tmp_path / "proxy.txt").write_text(re.sub(r"^flask==\S+", "flask==2.0.0", text, flags=re.M))
    monkeypatch.setattr(image_locks, "LOCKS", tmp_path)
    assert image_locks.problems("proxy") == ["proxy.txt does not give flask<4,>=3.1. Received: 2.0.0"]


def test_a_dockerfile_for_each_program():
    """Every Dockerfile has its lock, and is built by `make images`."""
    assert sorted(path.name.removesuffix(".Dockerfile") for path in DOCKERFILES.glob("*.Dockerfile")) == IMAGES
    made = re.search(r"^images: (.*?) ##", (ROOT / "Makefile").read_text(), re.M)
    assert made
    assert sorted(made[1].split()) == [f"image-{image}" for image in IMAGES]


@pytest.mark.parametrize("image", IMAGES)
def test_images_are_alike(image):
    """One base, two stages, nobody's user, labels, an entry point that gets the signals, the lock of its own name."""
    text = _text(image)
    assert len(re.findall(r"^FROM \$\{PYTHON_IMAGE\}( AS build)?$", text, re.M)) == 2
    assert f"ARG PYTHON_IMAGE=python:{image_locks.PYTHON}-slim-trixie\n" in text
    assert text.index("USER 65534:65534") < text.index("ENTRYPOINT [")
    assert f'org.opencontainers.image.title="{NAMES.get(image, f"scenery-{image}")}"' in text
    assert f"/install/install packages {image}" in text
    assert ("keep-library" in text) == (image in image_locks.LIBRARY_ONLY)


def test_compose_names_the_images_that_are_built():
    """The tags in docker-compose.yml are those that the Makefile gives."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for service in services.values():
        if "build" in service:
            image = service["build"]["dockerfile"].split("/")[-1].removesuffix(".Dockerfile")
            made = subprocess.run(
                ["make", "-n", f"image-{image}"], cwd=ROOT, capture_output=True, text=True, check=True
            )
            assert f"--tag {service['image']} " in made.stdout


def test_the_build_sees_what_it_copies():
    """Every package that setup.cfg installs, and every file that a Dockerfile copies, passes .dockerignore."""
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    seen = {line[1:] for line in ignored if line.startswith("!")}
    packages = re.search(r"^include =\n((?:    .*\n)+)", (ROOT / "setup.cfg").read_text(), re.M)
    assert packages
    assert {name.strip() for name in packages[1].splitlines() if "*" not in name} <= seen
    for image in IMAGES:
        for source in re.findall(r"^COPY (?!--from)(\S+) ", _text(image), re.M):
            assert source == "." or source in seen
            assert (ROOT / source).exists()
