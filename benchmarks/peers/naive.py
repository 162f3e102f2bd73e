"""A first set-up of TensorFlow Serving: a Flask front that sends float pixels as JSON to ``:predict``.

``python -m benchmarks.peers.naive --help``. Behind it stands a model server that serves ``model.export(…)`` of the
Keras network, variables and all. The front is what ``python app.py`` starts, Flask's own threaded server, which is
kinder to it than gunicorn's default of one worker without threads. ``POST /scorefile/`` takes a form with one ``file``;
Pillow decodes it and stretches it, ``requests`` posts the numbers.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import requests
from flask import Flask, request
from PIL import Image

SIZE = (224, 224)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="Of the model at the model server: http://host:port/v1/models/name")
    parser.add_argument("--labels", required=True, help="Names of the scores, with commas between.")
    parser.add_argument("--port", type=int, default=5000)
    arguments = parser.parse_args()
    create_app(arguments.url, arguments.labels.split(",")).run(port=arguments.port)


def create_app(url: str, labels: list[str]) -> Flask:
    """Return the application."""
    app = Flask(__name__)

    @app.get("/")
    def alive() -> str:
        return "alive"

    @app.post("/scorefile/")
    def score_file() -> dict[str, Any]:
        image = Image.open(request.files["file"].stream).convert("RGB").resize(SIZE)
        pixels = np.asarray(image, np.float32) / 127.5 - 1
        answer = requests.post(f"{url}:predict", json={"instances": [pixels.tolist()]}, timeout=60)
        answer.raise_for_status()
        return dict(zip(labels, answer.json()["predictions"][0], strict=True))

    return app


if __name__ == "__main__":
    main()
