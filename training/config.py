"""The two YAML files that describe a training: read, checked, typed."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from scenery.errors import ConfigurationError
from training.augment import TUTORIAL
from training.nearest import did_you_mean

IMAGENET = "imagenet"
RANDOM = "random"

PART_COL = "part"
"""The column of a table that says which part of the split each photo is in, where that is decided already."""

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")


@dataclass(frozen=True)
class DataConfig:
    """What the photos are: the keys of ``data_config.yaml``.

    ``images_base_path`` is relative to the YAML file's folder.
    """

    resize_shape: list[int]
    """Height and width, in pixels, that photos are fitted into."""
    images_base_path: Path
    """The folder that the names in ``image_name_col`` are relative to."""
    targets: list[str]
    """The label columns, each 0 or 1; the model scores them in this order."""
    image_name_col: str
    """The column of file names."""
    input_shape: list[int | None] = dataclasses.field(default_factory=lambda: [None, None, 3])
    """Height, width and channels of the network's input; null where ``resize_shape`` decides."""
    pad_to_aspect_ratio: bool = True
    """Whether photos keep their proportions and are padded with grey, or are stretched to ``resize_shape``."""
    group_col: str | None = None
    """A column that tells photos of one source; a source is never split."""
    group_separator: str | None = None
    """If given, a source is what stands before it in ``group_col``."""
    validation_fraction: float = 0.15
    """The share of photos that choose the epoch, the calibration and the thresholds."""
    test_fraction: float = 0.15
    """The share of photos by which the result is judged."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network's input, in pixels."""
        height, width = self.resize_shape
        return height, width


@dataclass(frozen=True)
class TrainingConfig:
    """How to train: the keys of ``training_config.yaml``.

    ``backbone_weights`` is relative to the YAML file's folder, ``model_path`` to the run's.
    """

    use_augmentation: bool
    """Whether photos are changed at random, anew in each epoch."""
    batch_size: int
    """Photos of a step."""
    epochs: int
    """Epochs of fine-tuning, after ``head_epochs``."""
    initial_learning_rate: float
    """The rate of fine-tuning; it falls to zero along half a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983)."""
    model_path: Path
    """The network, in the run's folder: a name in ``.keras`` or ``.h5``."""
    backbone: str = "MobileNetV2"
    """A network of keras.applications, by name."""
    backbone_weights: str = IMAGENET
    """``imagenet`` (Keras downloads them), a weights file, or ``random``."""
    frozen_until: str | None = None
    """The backbone's last layer that fine-tuning leaves alone; null trains all of it."""
    head_epochs: int = 0
    """Epochs, before ``epochs``, in which the head, fitted already, is trained alone at ten times the rate."""
    augmentation: list[Mapping[str, Mapping[str, Any]]] = dataclasses.field(default_factory=lambda: list(TUTORIAL))
    """The recipe: imgaug's augmenters by name, each with its parameters; without the key, the tutorial's nine."""
    augmentation_probability: float = 0.1
    """The share of photos that each change of the recipe is applied to."""
    mixup: float = 0.0
    """How much photos are blended with one another, labels too: the alpha of Zhang et al. 2018 (arXiv:1710.09412)."""
    dropout: float = 0.5
    """The share of features dropped in training, before and after the pooling."""
    weight_decay: float = 0.0
    """How far each step of one rate shrinks the weights (AdamW; Loshchilov and Hutter 2019, arXiv:1711.05101)."""
    label_smoothing: float = 0.0
    """How far 0 and 1 are moved towards ½ in the loss (Szegedy et al. 2016, arXiv:1512.00567)."""
    class_balance: float = 0.0
    """How far rare labels count more: a photo with the label weighs (photos without / with it) to this power."""
    average_weights: float = 0.0
    """The momentum of a moving average of the weights, which is what is kept; 0 keeps the last step's."""
    mixed_precision: bool | None = None
    """Whether to compute in float16; null does where a GPU is. On CPUs it only costs time."""
    stop_patience: int = 8
    """Epochs without a better validation loss before training stops."""
    seed: int = 1
    """Decides the split, the order of the photos and their changes."""


Config = TypeVar("Config", DataConfig, TrainingConfig)


def load_data_config(path: Path) -> DataConfig:
    """Read a ``data_config.yaml``.

    Raises
    ------
    ConfigurationError
        If the file is missing or no YAML, or a key is unknown, missing or of the wrong type.
    """
    config = _load(path, DataConfig)
    _require(
        len(config.resize_shape) == 2 and min(config.resize_shape) >= 32,
        path,
        "resize_shape",
        "[height, width], each at least 32",
    )
    _require(bool(config.targets), path, "targets", "at least one label")
    _require(len(set(config.targets)) == len(config.targets), path, "targets", "each label once")
    taken = {config.image_name_col, config.group_col, PART_COL} & set(config.targets)
    _require(not taken, path, "targets", f"other columns than {', '.join(map(str, sorted(taken, key=str)))}")
    expected = [*config.resize_shape, 3]
    agrees = len(config.input_shape) == 3 and all(
        given in (None, wanted) for given, wanted in zip(config.input_shape, expected, strict=True)
    )
    _require(agrees, path, "input_shape", f"{expected}, as resize_shape says, or null for height and width")
    fractions = config.validation_fraction, config.test_fraction
    _require(min(fractions) > 0 and sum(fractions) < 1, path, "validation_fraction", "fractions that leave photos over")
    return dataclasses.replace(config, images_base_path=path.parent / config.images_base_path)


def load_training_config(path: Path) -> TrainingConfig:
    """Read a ``training_config.yaml``.

    Raises
    ------
    ConfigurationError
        If the file is missing or no YAML, or a key is unknown, missing or of the wrong type.
    """
    config = _load(path, TrainingConfig)
    _require(config.batch_size > 0, path, "batch_size", "at least 1")
    _require(config.epochs > 0, path, "epochs", "at least 1")
    _require(config.head_epochs >= 0, path, "head_epochs", "0 or more")
    _require(config.initial_learning_rate > 0, path, "initial_learning_rate", "a rate above 0")
    _check_recipe(path, config.augmentation)
    _require(0 <= config.average_weights < 1, path, "average_weights", "0 up to, not including, 1")
    _require(0 <= config.label_smoothing < 1, path, "label_smoothing", "0 up to, not including, 1")
    _require(config.weight_decay >= 0, path, "weight_decay", "0 or more")
    _require(config.mixup >= 0, path, "mixup", "0 or more")
    _require(config.class_balance >= 0, path, "class_balance", "0 or more")
    _require(config.stop_patience > 0, path, "stop_patience", "at least 1")
    probability = config.augmentation_probability
    _require(0 <= probability <= 1, path, "augmentation_probability", "a share from 0 to 1")
    _require(0 <= config.dropout < 1, path, "dropout", "0 up to, not including, 1")
    _require(len(config.model_path.parts) == 1, path, "model_path", "a file name without a folder: it is in the run's")
    _require(config.seed >= 0, path, "seed", "0 or more")
    _require(config.model_path.suffix in (".keras", ".h5"), path, "model_path", "a file name in .keras or .h5")
    if config.backbone_weights in (IMAGENET, RANDOM):
        return config
    weights = path.parent / config.backbone_weights
    _require(weights.is_file(), path, "backbone_weights", f"{IMAGENET}, {RANDOM} or a weights file; {weights} is none")
    return dataclasses.replace(config, backbone_weights=str(weights.resolve()))


def _check_recipe(path: Path, recipe: list[Mapping[str, Mapping[str, Any]]]) -> None:
    sound = all(len(change) == 1 and isinstance(next(iter(change.values())), dict) for change in recipe)
    _require(sound, path, "augmentation", "a list of changes like `- Affine: {rotate: [-10, 10]}`")


def _require(condition: bool, path: Path, key: str, expected: str) -> None:
    if not condition:
        raise ConfigurationError(f"{path}: {key} must be {expected}.")


def _load(path: Path, kind: type[Config]) -> Config:
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}). Name a YAML file that exists.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is no YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path} must hold `key: value` lines. Received: {values!r}")
    _check_keys(path, values, kind)
    types = typing.get_type_hints(kind)
    return kind(**{key: _convert(path, key, value, types[key]) for key, value in values.items()})


def _check_keys(path: Path, values: dict[str, Any], kind: type) -> None:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key in values:
        if key not in fields:
            hint = did_you_mean(str(key), fields) or f" Known keys: {', '.join(fields)}."
            raise ConfigurationError(f"{path}: unknown key `{key}`.{hint}")
    missing = [
        name
        for name, field in fields.items()
        if name not in values and field.default is field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigurationError(f"{path}: missing key `{missing[0]}`. Add it; examples/ has a complete file.")


def _convert(path: Path, key: str, value: Any, kind: Any) -> Any:
    """Check ``value`` against the field's type; whole numbers also pass as floats, texts as paths.

    YAML 1.1 reads ``1e-4``, without a point, as a text: it is taken for the number that was meant.
    """
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is float and isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    if _matches(value, kind):
        return value
    name = kind.__name__ if isinstance(kind, type) else str(kind)
    raise ConfigurationError(f"{path}: {key} must be of type {name}. Received: {value!r}")


def _matches(value: Any, kind: Any) -> bool:
    arguments = typing.get_args(kind)
    if kind is Any:
        return True
    if typing.get_origin(kind) is list:
        return isinstance(value, list) and all(_matches(item, arguments[0]) for item in value)
    if typing.get_origin(kind) is Mapping:
        return isinstance(value, dict) and all(_matches(key, arguments[0]) for key in value)
    if arguments:
        return any(_matches(value, argument) for argument in arguments)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, kind)
