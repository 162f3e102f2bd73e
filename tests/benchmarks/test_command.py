"""``python -m benchmarks``, where it measures nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from benchmarks.machine import busy_share
from tests.processes import ROOT


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--rounds", "0"), "--rounds: at least one is needed"),
        (("--rounds", "-1"), "--rounds: at least one is needed"),
        (("--report", "--quick"), "--report measures nothing"),
        (("--run", "nowhere"), "no model.keras is in it"),
        (("--results", "nowhere/results.json"), "there is no such folder"),
        (("--only", "speed"), "invalid choice: 'speed'"),
    ],
)
def test_what_cannot_be_measured_is_said_at_once(flags, words):
    """Before ten minutes are spent, and what was kept is left as it was."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *flags], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert words in done.stderr


def test_others_at_work_are_noticed():
    """A process that computes is seen in the share of the cores that is computed on."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        time.sleep(0.2)
        share = busy_share(0.5)
        busy.kill()
    assert 0.5 / len(os.sched_getaffinity(0)) < share <= 1
