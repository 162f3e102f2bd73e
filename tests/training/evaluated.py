"""Run folders as a training leaves them, of real photos and made-up scores, in no time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from tests.processes import PHOTOS, ROOT
from training import dataset
from training.config import DataConfig, load_data_config
from training.run import Run

LABELS = ["beach", "city", "sunset", "trees"]


def shipped_table(photos: int = 120) -> pd.DataFrame:
    """The first photos of the shipped table."""
    return pd.read_csv(ROOT / "examples/photos/data.csv").head(photos)


def write_run(folder: Path, table: pd.DataFrame, labels: list[str] = LABELS, seed: int = 0) -> Path:
    """Write what ``scenery train`` writes, as far as an evaluation reads it; the table may have parts already."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"resize_shape": [96, 96], "images_base_path": str(PHOTOS), "targets": labels, "image_name_col": "name"}
    if "source" in table:
        config |= {"group_col": "source", "group_separator": "@"}
    (folder / "data_config.yaml").write_text(yaml.safe_dump(config))
    (folder / "training_config.yaml").write_text(
        "batch_size: 8\nbackbone: MobileNetV2\nbackbone_weights: /home/me/w.h5\n"
    )
    if "part" not in table:
        table = table.assign(part=dataset.split(table, data_config(folder), seed=1))
    table.to_csv(folder / "split.csv", index=False)
    random = np.random.default_rng(seed)
    truth = table[labels].to_numpy(float)
    scores = np.clip(0.2 + 0.6 * truth + random.normal(0, 0.2, truth.shape), 0.001, 0.999)
    columns = [f"score_{label}" for label in labels]
    pd.concat([table[["name", "part"]], pd.DataFrame(scores, table.index, columns)], axis=1).to_csv(
        folder / "scores.csv", index=False
    )
    provenance = {"trained_at": "2025-01-31T12:00:00+00:00", "git_commit": "0123456789abcdef", "table": "data.csv"}
    Run("model.keras", labels, [0.5] * len(labels), [96, 96], {}, provenance | {"training_seconds": 600}).write(folder)
    history = {
        "loss": [2.0, 1.0],
        "val_loss": [1.5, 1.2],
        "binary_accuracy": [0.6, 0.8],
        "val_binary_accuracy": [0.6, 0.7],
    }
    pd.DataFrame(history).to_csv(folder / "history.csv", index_label="epoch")
    return folder


def data_config(folder: Path) -> DataConfig:
    """What the run's table is."""
    return load_data_config(folder / "data_config.yaml")
