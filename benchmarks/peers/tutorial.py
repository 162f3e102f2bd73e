"""The tutorial's architecture: FastAPI and uvicorn, the Keras network in the same process, OpenCV to decode.

``python -m benchmarks.peers.tutorial --help``. One uvicorn worker with its defaults; ``POST /scorefile/`` takes a form
with one ``file`` and answers label to score. As in the tutorial

* the endpoint is an ``async def`` that calls ``model.predict``, so that photos are scored one after the other, each on
  all cores;
* the photo is decoded at its full size and resized bilinearly by OpenCV.

Otherwise than there, colours are turned to RGB and the photo is stretched, not padded: that is what these weights were
trained on, and it costs less.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Annotated

import cv2
import keras
import numpy as np
import numpy.typing as npt
import uvicorn
from fastapi import FastAPI, UploadFile


def main() -> None:
    """Load the network, then serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="A .keras file: float32 pixels in [-1, 1] to a score a label.")
    parser.add_argument("--labels", required=True, help="Names of the scores, with commas between.")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    uvicorn.run(create_app(arguments.model, arguments.labels.split(",")), host="127.0.0.1", port=arguments.port)


def create_app(model_path: Path, labels: list[str]) -> FastAPI:
    """Return the application, the network in it."""
    app = FastAPI()
    model = keras.models.load_model(model_path)
    height, width = model.input_shape[1:3]

    @app.get("/")
    async def alive() -> str:
        return "alive"

    @app.post("/scorefile/")
    async def score_file(file: Annotated[UploadFile, "the photo"]) -> dict[str, float]:
        pixels = decode(await file.read(), (width, height))
        scores = model.predict(pixels[None], verbose=0)[0]
        return dict(zip(labels, scores.tolist(), strict=True))

    return app


def decode(photo: bytes, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Return float32 [height, width, 3] in [-1, 1] of an encoded photo; ``size`` is width and height."""
    image = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("OpenCV cannot decode the photo.")
    resized = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), size)
    return resized.astype(np.float32) / 127.5 - 1


if __name__ == "__main__":
    main()
