"""What the tests of many photos share: a served version, and ``scenery score`` as a process."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from scenery.cli import scenery
from tests.processes import PHOTOS, ROOT, model_server

MODELS = ROOT / "models" / "scenery"
SCORE = (sys.executable, "-m", "scenery", "score")
DEADLINE_SECONDS = 280.0


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory):
    """The embedded model server with the shipped version; shared."""
    flags = ("--model_name=scenery", f"--model_base_path={MODELS}", "--grpc_max_threads=64")
    with model_server(tmp_path_factory.mktemp("shipped"), *flags) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with six photos, half of them in a folder inside."""
    return photos_in(tmp_path / "photos", 6)


def photos_in(folder: Path, count: int) -> Path:
    """Fill a folder with so many shipped photos, over and over the same."""
    (folder / "more").mkdir(parents=True)
    shipped_photos = sorted(PHOTOS.iterdir())[:24]
    for number in range(count):
        source = shipped_photos[number % len(shipped_photos)]
        shutil.copy(source, folder / ("more" if number % 2 else ".") / f"{number:04}.jpg")
    return folder


def score(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [*SCORE, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def score_here(*arguments: object) -> Result:
    """Run the command in this process: no second import of Beam."""
    return CliRunner().invoke(scenery, ["score", *map(str, arguments)])


@contextmanager
def scoring(*arguments: object):
    """Run the command beside the test; killed on leaving."""
    command = [*SCORE, *map(str, arguments)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


def rows(output: Path) -> pd.DataFrame:
    """Read an output as an analyst does, by photo; no photo is there twice."""
    table = pd.read_parquet(output).set_index("photo").sort_index()
    assert table.index.is_unique
    return table
