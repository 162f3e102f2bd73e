"""``serving.config``: what a rollout changes of one model; comments, layout and other models stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from rollout.text_fields import TextField, read_fields
from scenery.errors import ConfigurationError
from scenery.files import replace_text
from scenery.serving_config import find_model, parse, read_text

KEPT = 50
"""How many earlier texts are kept; a rollout from canary to promotion writes about five."""

_INDENT = "  "
_CHANGED = ("model_version_policy", "version_labels")


def write_entry(config_file: Path, name: str, versions: Sequence[int], labels: Mapping[str, int]) -> None:
    """Give a model other versions and labels, in one step; the file as it was is kept in ``….history/``.

    Parameters
    ----------
    versions
        Those to serve, by a ``specific`` policy.
    labels
        Versions by label; all of them.

    Raises
    ------
    ConfigurationError
        If the file cannot be read or written, or has no such model.
    """
    text = read_text(config_file)
    changed = edited(text, name, versions, labels)
    _check(text, changed, config_file, name, versions, labels)
    if changed != text:
        _keep(config_file, text)
        write_text(config_file, changed)


def history(config_file: Path) -> list[Path]:
    """Return the earlier texts of the file, the oldest first."""
    return sorted(_history_folder(config_file).glob(f"*{config_file.suffix}"))


def _history_folder(config_file: Path) -> Path:
    return config_file.with_name(f"{config_file.name}.history")


def _keep(config_file: Path, text: str) -> None:
    """Keep a text that is about to be replaced, and only the latest of them."""
    folder = _history_folder(config_file)
    moment = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be made: {error.strerror}. Nothing was changed.") from error
    write_text(folder / f"{moment}{config_file.suffix}", text)
    for old in history(config_file)[:-KEPT]:
        old.unlink(missing_ok=True)


def write_text(config_file: Path, text: str) -> None:
    """Replace the file, in one step; raises :class:`ConfigurationError` if it cannot be written."""
    try:
        replace_text(config_file, text)
    except OSError as error:
        raise ConfigurationError(
            f"{config_file} cannot be written: {error.strerror}. It is as it was; make room, or allow writing to its "
            "folder, and try again."
        ) from error


def edited(text: str, name: str, versions: Sequence[int], labels: Mapping[str, int]) -> str:
    """Return the text of a config with one model's policy and labels replaced."""
    block = _block(read_fields(text), name)
    changed = [each for each in block.fields if each.name in _CHANGED]
    margin = _margin(text, block.fields[0].begin)
    wanted = ["model_version_policy { specific { " + " ".join(f"versions: {each}" for each in versions) + " } }"]
    wanted += [f'version_labels {{ key: "{label}" value: {version} }}' for label, version in labels.items()]
    lines = f"\n{margin}".join(wanted)
    if not changed:
        end = block.fields[-1].end
        return f"{text[:end]}\n{margin}{lines}{text[end:]}"
    for each in reversed(changed[1:]):
        text = text[: _line_begin(text, each.begin)] + text[each.end :]
    return text[: changed[0].begin] + lines + text[changed[0].end :]


def _block(root: TextField, name: str) -> TextField:
    for models in root.named("model_config_list"):
        for block in models.named("config"):
            if any(each.scalar[1:-1] == name for each in block.named("name")):
                return block
    raise ConfigurationError(f"The model {name!r} is not in the configuration. Name another with --model-name.")


def _margin(text: str, place: int) -> str:
    line = text[text.rfind("\n", 0, place) + 1 : place]
    return line if not line.strip() else _INDENT * 2


def _line_begin(text: str, place: int) -> int:
    """Return where the line of ``place`` begins, its line break included, if nothing stands before it there."""
    begin = text.rfind("\n", 0, place)
    return begin if begin >= 0 and not text[begin:place].strip() else place


def _check(
    text: str, changed: str, config_file: Path, name: str, versions: Sequence[int], labels: Mapping[str, int]
) -> None:
    """Require that the edit changed what it should and nothing else."""
    expected = parse(text, config_file)
    model = find_model(expected, config_file, name)
    model.ClearField("model_version_policy")
    model.model_version_policy.specific.versions.extend(versions)
    model.version_labels.clear()
    model.version_labels.update(labels)
    if parse(changed, config_file) != expected:
        raise ConfigurationError(
            f"{config_file} is written in a way that cannot be edited safely. Put each field on a line of its own."
        )
