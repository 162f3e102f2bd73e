"""What the documentation says is what the project does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT, free_ports, running, wait_until

TOP_FOLDERS = (
    "scenery",
    "training",
    "export",
    "serving",
    "proxy",
    "rollout",
    "bulk",
    "models",
    "deploy",
    "benchmarks",
    "docs",
    "tests",
)


def console_examples() -> list[tuple[str, str]]:
    """Return the curl commands of the README, and what it shows each to answer."""
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```console\n\$ (curl.*)\n((?:.*\n)*?)```", readme)
    assert len(blocks) >= 4
    return blocks


@pytest.fixture(scope="module")
def shipped_stack(tmp_path_factory):
    """``scenery serve`` with the shipped model; returns its ports by those of the README."""
    work = tmp_path_factory.mktemp("shipped")
    documented = {"8080": "--port", "8500": "--grpc-port", "8501": "--rest-port"}
    ports = dict(zip(documented, map(str, free_ports(3)), strict=True))
    flags = [part for port, flag in documented.items() for part in (flag, ports[port])]
    log = work / "stack.log"
    with running("scenery", "serve", *flags, "--run-dir", str(work), log=log) as process:
        wait_until(lambda: "is ready" in log.read_text() or process.poll() is not None, "the stack to be ready")
        assert process.poll() is None, log.read_text()
        yield ports


def at_ports(command: str, ports: dict[str, str]) -> str:
    for documented, port in ports.items():
        command = command.replace(f"127.0.0.1:{documented}", f"127.0.0.1:{port}")
    return command


def close(answer, shown) -> bool:
    """Compare JSON, numbers to what CPUs differ by."""
    if isinstance(shown, dict):
        return answer.keys() == shown.keys() and all(close(answer[key], shown[key]) for key in shown)
    if isinstance(shown, list):
        return len(answer) == len(shown) and all(map(close, answer, shown))
    return answer == pytest.approx(shown, abs=2e-3) if isinstance(shown, float) else answer == shown


@pytest.mark.parametrize(("command", "shown"), console_examples(), ids=lambda text: text[:40])
def test_the_readmes_curl_lines_answer_what_it_shows(shipped_stack, command, shown):
    """Each curl line of the README, run as it stands, answers what stands below it."""
    done = subprocess.run(
        at_ports(command, shipped_stack), shell=True, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert close(json.loads(done.stdout), json.loads(shown)), done.stdout


def test_the_grpc_client_runs(shipped_stack):
    """The example client prints a score for each label."""
    command = [sys.executable, "examples/grpc_client.py", "examples/sample.jpg", f"127.0.0.1:{shipped_stack['8500']}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("version ")
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["beach", "city", "sunset", "trees"]


@pytest.mark.parametrize("script", ["cli_reference.py", "proxy_tables.py", "training_tables.py"])
def test_the_references_are_what_the_program_says(script):
    """docs/cli.md is the program's own help, the tables of the other two settings, errors and keys."""
    command = [sys.executable, ROOT / "scripts" / script, "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "document",
    sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/**/*.md")) + sorted(ROOT.glob("deploy/**/*.md")),
    ids=lambda path: path.name,
)
def test_links_lead_somewhere(document: Path):
    """Every relative link of a document names a file that exists."""
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("folder", TOP_FOLDERS)
def test_every_folder_states_its_rule(folder: str):
    """Each top folder has a README."""
    assert len((ROOT / folder / "README.md").read_text()) > 100


def test_every_make_target_is_explained():
    """`make` lists the commands that the README names."""
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in re.findall(
        r"`?make ([a-z]+)", (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    ):
        assert re.search(rf"^{target}\s", listed, re.MULTILINE), target
