"""What tests share: a model really trained on a few photos, exported, and programs around it."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scenery.errors import ConfigurationError
from scenery.locks import alone
from tests.processes import PHOTOS, ROOT, ModelServer, Proxy, model_server, proxy

TRAINING_PHOTOS = 40
DATA_CONFIG = """\
resize_shape: [96, 96]
images_base_path: {photos}
targets: [beach, city, sunset, trees]
image_name_col: name
"""
TRAINING_CONFIG = """\
use_augmentation: true
augmentation_probability: 1.0
batch_size: 16
epochs: 1
head_epochs: 1
initial_learning_rate: 0.0001
model_path: best.keras
backbone_weights: {weights}
"""

LONGEST_FIRST = (
    "training/test_train.py",
    "conformance/test_conformance.py",
    "rollout/test_docs.py",
    "rollout/test_rollout.py",
    "export/test_publish.py",
    "end_to_end/test_serve.py",
    "proxy/test_page.py",
    "training/test_annotate_page.py",
    "proxy/test_client.py",
    "serving/test_wires.py",
)
"""Files of tests that take long, in the order in which they begin: none of them is left when all others are done."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    places = {ROOT / "tests" / name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder, written by the training program itself from a few photos at 96 pixels."""
    return _made_once(tmp_path_factory, "training", "run/run.json", _train).parent


def _made_once(factory: pytest.TempPathFactory, name: str, last: str, make: Callable[[Path], None]) -> Path:
    """Return the file that ``make`` writes last into a folder of this name.

    It is made by whichever of several processes of tests comes first, and by no other.
    """
    base = factory.getbasetemp()
    work = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    work.mkdir(exist_ok=True)
    busy = ConfigurationError(f"What the tests share in {work} takes too long to make.")
    with alone(work / ".lock", busy, patience_seconds=280):
        if not (work / last).exists():
            make(work)
    return work / last


def _train(work: Path) -> None:
    weights = ROOT / "training/weights/mobilenet_v2_imagenet_no_top.weights.h5"
    (work / "data.yaml").write_text(DATA_CONFIG.format(photos=PHOTOS))
    (work / "training.yaml").write_text(TRAINING_CONFIG.format(weights=weights))
    with (ROOT / "examples/photos/data.csv").open() as table, (work / "data.csv").open("w") as few:
        few.writelines(line for _, line in zip(range(1 + TRAINING_PHOTOS), table, strict=False))
    arguments = ["--csv_path", "data.csv", "--data_config_path", "data.yaml", "--training_config_path", "training.yaml"]
    command = [sys.executable, "-m", "training.train", *arguments, "--run-dir", "run"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def exported(run_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of versions with version 1 of the run, written by ``scenery export`` itself; nobody changes it."""

    def export(work: Path) -> None:
        command = [sys.executable, "-m", "scenery", "export", str(run_dir), "--models-dir", str(work)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return _made_once(tmp_path_factory, "exported", "scenery/1", export).parent


@pytest.fixture
def model_dir(exported: Path, tmp_path: Path) -> Path:
    """A folder of versions of its own for each test, with version 1 in it."""
    return shutil.copytree(exported, tmp_path / "models" / "scenery")


@pytest.fixture(scope="session")
def served(exported: Path, tmp_path_factory: pytest.TempPathFactory):
    """The embedded model server with version 1; shared, so nobody changes its folder."""
    flags = ("--model_name=scenery", f"--model_base_path={exported}", "--grpc_max_threads=64")
    with model_server(tmp_path_factory.mktemp("served"), *flags) as server:
        yield server


@pytest.fixture(scope="session")
def proxied(served: ModelServer, tmp_path_factory: pytest.TempPathFactory):
    """The proxy in front of :func:`served`."""
    with proxy(tmp_path_factory.mktemp("proxied"), served.grpc) as running_proxy:
        yield running_proxy


@pytest.fixture(scope="session")
def photo_rows() -> list[dict[str, str]]:
    """The table of the shipped photos."""
    with (ROOT / "examples/photos/data.csv").open() as table:
        return list(csv.DictReader(table))


@pytest.fixture
def photo() -> bytes:
    """A shipped photo, encoded."""
    return (PHOTOS / "0003.jpg").read_bytes()


__all__ = ["ModelServer", "Proxy"]
