"""The clients in examples/, run as their first lines say."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.processes import ROOT, free_ports
from tests.proxy.test_client import BUSY, answered, canned

LABELS = ["beach", "city", "sunset", "trees"]
SAMPLE = "examples/sample.jpg"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a program in the project's folder; no web proxy is asked for this machine's addresses."""
    environment = os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip


def test_the_curl_examples(proxied):
    """Each way of sending photos is answered as the line above it says."""
    done = run("sh", "examples/classify.sh", proxied.url)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    statuses = [line for line in lines if line.startswith("status")]
    one, surest, form, in_json, no_photo, no_version = (json.loads(line) for line in lines if line not in statuses)
    assert list(one["photos"][0]["scores"]) == LABELS
    assert len(surest["photos"][0]["scores"]) == 2
    good, bad = form["photos"]
    assert good == one["photos"][0] | {"file": "sample.jpg"}
    assert bad["error"]["type"] == no_photo["type"] == "urn:scenery:problem:unsupported-format"
    assert in_json["photos"] == [good]
    assert no_version["type"] == "urn:scenery:problem:version-unknown"
    assert statuses == ["status 415", "status 404"]


def test_the_requests_example(proxied):
    """It tells the labels of one photo or several, and a bad one's reason among them."""
    one = run(sys.executable, "examples/classify_requests.py", proxied.url, SAMPLE)
    assert one.returncode == 0, one.stderr
    several = run(sys.executable, "examples/classify_requests.py", proxied.url, SAMPLE, "README.md")
    assert several.returncode == 0, several.stderr
    first, second = several.stdout.splitlines()
    assert [first] == one.stdout.splitlines()
    assert first.startswith(f"{SAMPLE} ")
    assert second.startswith("README.md The bytes are no JPEG")


def test_the_requests_example_reads_problems(proxied):
    """If the only photo is bad, it raises with the proxy's words."""
    done = run(sys.executable, "examples/classify_requests.py", proxied.url, "README.md")
    assert done.returncode == 1
    assert "RuntimeError: 415 urn:scenery:problem:unsupported-format: The bytes are no JPEG" in done.stderr


def test_the_requests_example_comes_again():
    """A busy proxy is asked again when Retry-After has passed."""
    with canned(BUSY, answered()) as server:
        done = run(sys.executable, "examples/classify_requests.py", server.url, SAMPLE)
    assert done.stdout == f"{SAMPLE} ['city']\n", done.stderr
    assert len(server.requests) == 2


def test_the_requests_example_needs_nothing_of_scenery():
    """It can be copied into any project."""
    assert "scenery import" not in (ROOT / "examples/classify_requests.py").read_text()
    assert "import scenery" not in (ROOT / "examples/classify_requests.py").read_text()


def test_the_grpc_example(served):
    """It names the version, and tells of each label its score and whether the photo has it."""
    done = run(sys.executable, "examples/grpc_client.py", SAMPLE, served.grpc)
    assert done.returncode == 0, done.stderr
    version, *told = [line.split() for line in done.stdout.splitlines()]
    assert version == ["version", "1"]
    assert [label for label, _, _ in told] == LABELS
    assert all(0 <= float(score) <= 1 and has_it in ("yes", "no") for _, score, has_it in told)


def test_the_grpc_example_tells_refusals(served):
    """A bad photo is one line with the model's words, and not a traceback."""
    done = run(sys.executable, "examples/grpc_client.py", "README.md", served.grpc)
    assert done.returncode == 1
    assert done.stderr.startswith("INVALID_ARGUMENT: ")
    assert "Traceback" not in done.stderr


def test_the_grpc_example_without_a_server():
    """Nobody at the address is one line that names it."""
    (port,) = free_ports(1)
    done = run(sys.executable, "examples/grpc_client.py", SAMPLE, f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert done.stderr.startswith("UNAVAILABLE: ")
    assert f"127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr
