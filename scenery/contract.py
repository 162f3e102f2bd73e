"""The names that training, export, the model server and the proxy agree on.

Only the standard library is imported here, so that every stage can afford to import it.
A SavedModel that keeps this contract has three signatures:

``serving_default``
    ``image_bytes`` (string, [-1], encoded photos) → ``scores`` (float32, [-1, labels]).
``pixels``
    ``image`` (uint8, [-1, height, width, 3], RGB) → ``scores`` (float32, [-1, labels]).
``describe``
    no inputs → ``labels`` (string, [labels]), ``thresholds`` (float32, [labels]),
    ``provenance`` (string, [], a JSON object) and, if the version has a model card,
    ``model_card`` (string, [], Markdown). A version without a card has no such output, as
    those that were exported before there were cards.
"""

from __future__ import annotations

from typing import Final

MODEL_NAME: Final = "scenery"

SIGNATURE_CLASSIFY: Final = "serving_default"
SIGNATURE_PIXELS: Final = "pixels"
SIGNATURE_DESCRIBE: Final = "describe"

INPUT_IMAGE_BYTES: Final = "image_bytes"
INPUT_IMAGE: Final = "image"
OUTPUT_SCORES: Final = "scores"
OUTPUT_LABELS: Final = "labels"
OUTPUT_THRESHOLDS: Final = "thresholds"
OUTPUT_PROVENANCE: Final = "provenance"
OUTPUT_MODEL_CARD: Final = "model_card"

GRPC_PORT: Final = 8500
REST_PORT: Final = 8501
PROXY_PORT: Final = 8080

MAX_PIXELS: Final = 8192 * 6144
"""The largest photo that a model decodes, in pixels: room for today's 50-megapixel phones."""

PHOTO_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
"""What a folder's photos end in, in any case."""

PHOTO_FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
"""What a model decodes, in Pillow's names."""

MAX_JPEG_SCANS: Final = 32
"""Progressive JPEGs have about ten, a thumbnail's included; each costs the decoder a pass over all pixels."""

CONFIG_ROOT: Final = "/models"
"""The folder of models as ``serving.config`` names it: where containers mount ``models/``."""

LABEL_STABLE: Final = "stable"
LABEL_CANARY: Final = "canary"
"""The labels of versions that ``serving.config`` gives, and that the proxy splits its traffic between."""

TRAFFIC_FILE: Final = "traffic.json"
"""In the model's folder: ``{"canary_percent": 10, "shadow_percent": 0}``.

Without it all requests go to the latest version.
"""

ROLLOUT_FILE: Final = ".rollout.json"
"""In the model's folder: the versions that were stable before."""

WARMUP_FILE: Final = "assets.extra/tf_serving_warmup_requests"
GOLDEN_FOLDER: Final = "assets.extra/golden"
"""Photos, and in ``scores.json`` the scores that the trained network gave them, by file name."""
MODEL_CARD_FILE: Final = "assets.extra/model_card.md"
"""The text of ``describe``'s ``model_card``, for those who have the files."""
MAX_MODEL_CARD_BYTES: Final = 64 * 1024
GATE_FILE: Final = "assets.extra/gate.json"
"""What was checked before the version was published, and how it went."""
MANIFEST_FILE: Final = "assets.extra/manifest.sha256"

REFUSED: Final = "refused"
"""Every refusal of the graph reads ``refused: CODE: sentence``, so that a client can tell them apart."""

REFUSED_EMPTY: Final = "empty"
REFUSED_FORMAT: Final = "unsupported-format"
REFUSED_PIXELS: Final = "too-many-pixels"
REFUSED_DAMAGED: Final = "damaged"
REFUSALS: Final = (REFUSED_EMPTY, REFUSED_FORMAT, REFUSED_PIXELS, REFUSED_DAMAGED)
