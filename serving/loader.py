"""The loader: brings one version into memory, ready to answer its first request fast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from scenery import contract, wire
from serving.errors import ServingError
from serving.predict import predict
from serving.saved_model import SavedModel, translated_errors


class Loader:
    """Loads the SavedModel in a version's folder. Used by one thread, once."""

    def __init__(self, path: Path, session_config: Any = None) -> None:
        self.path = path
        self._session_config = session_config

    def load(self) -> SavedModel:
        """Load and warm up.

        Raises
        ------
        ServingError
            If the folder holds no complete SavedModel or a warmup request fails.
        """
        self._require_files()
        model = SavedModel(self.path, self._session_config)
        try:
            self._warm_up(model)
        except BaseException:
            model.close()
            raise
        return model

    def _require_files(self) -> None:
        """Refuse a folder without a SavedModel, in TF Serving's words."""
        if not (self.path / "saved_model.pb").is_file() and not (self.path / "saved_model.pbtxt").is_file():
            raise ServingError(
                "NOT_FOUND",
                f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {self.path}",
            )

    def _warm_up(self, model: SavedModel) -> None:
        path = self.path / contract.WARMUP_FILE
        if not path.is_file():
            return
        with translated_errors():
            for record in tf.compat.v1.io.tf_record_iterator(str(path)):
                log = wire.PredictionLog.FromString(record)
                if log.HasField("predict_log"):
                    predict(model, log.predict_log.request)
