"""The table's columns and cells, read as they stand: nothing is guessed, nothing dropped unsaid."""

from __future__ import annotations

import csv
import difflib
from collections import Counter
from pathlib import Path, PurePosixPath, PureWindowsPath

import pandas as pd

from training.checks.finding import Check, Finding
from training.config import DataConfig

LINE = "_line"
"""The column, added here, of the line at which a row ends in the file."""

UNREADABLE_TABLE = Check("unreadable-table", "error", "Save it as a CSV table: UTF-8, commas, a header line.")
REPEATED_COLUMN = Check("repeated-column", "error", "Rename or remove one of them.")
UNKNOWN_COLUMN = Check("unknown-column", "error", "Correct data_config or the table's header.")
ONE_COLUMN_TWICE = Check("one-column-twice", "error", "Name different columns in data_config.")
WRONG_WIDTH = Check("wrong-width", "error", "Give every line one cell a column; quote cells that hold commas.")
NOT_0_OR_1 = Check("not-0-or-1", "error", "Write 0 or 1.")
NOTHING_LABELLED = Check("nothing-labelled", "error", "Label them: scenery annotate")
UNLABELLED = Check("unlabelled", "warning", "Label them, or remove their lines: scenery annotate")
NO_NAME = Check("no-name", "error", "Name the photo, or remove the line.")
ODD_NAME = Check(
    "odd-name", "warning", "Move the photo into images_base_path, so that the data can be moved as a whole."
)
REPEATED_NAME = Check("repeated-name", "warning", "Keep one line a photo.")
CONTRADICTION = Check("contradiction", "error", "Decide which labels are right and keep one line.")


def read_rows(csv_path: Path, config: DataConfig) -> tuple[pd.DataFrame, list[Finding]]:
    """Read the table and check its columns and cells.

    Returns
    -------
    table
        The rows that hold a name and labels that can be read: cells as texts, the targets as
        int 0 and 1, and the column ``LINE``. Empty, without columns, where a column is missing.
    findings
        What is wrong with the file.
    """
    try:
        table, findings = _read(csv_path)
    except (OSError, ValueError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return pd.DataFrame(), [UNREADABLE_TABLE.found(f"{csv_path} cannot be read: {reason}.")]
    findings += _check_columns(table, config, csv_path)
    if any(finding.check is not WRONG_WIDTH for finding in findings):
        return pd.DataFrame(), findings
    if table.empty and not findings:
        findings.append(UNREADABLE_TABLE.found(f"{csv_path} has no photos, only a header."))
    sound, wrong = _check_cells(table, config, csv_path)
    return sound, findings + wrong + _check_names(sound, config)


def _read(csv_path: Path) -> tuple[pd.DataFrame, list[Finding]]:
    """Read the rows that are as wide as the header; pandas would shift or cut the others."""
    with csv_path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream, strict=True)
        header = next(reader, None)
        rows = [(reader.line_num, row) for row in reader if row]
    if header is None:
        raise ValueError("it is empty")
    if len(header) == 1 and ";" in header[0]:
        raise ValueError("its cells are separated by semicolons")
    fit = [[*row, line] for line, row in rows if len(row) == len(header)]
    findings = [
        WRONG_WIDTH.found(f"{csv_path}, line {line}: {len(row)} cells and {len(header)} columns.")
        for line, row in rows
        if len(row) != len(header)
    ]
    return pd.DataFrame(fit, columns=[*header, LINE], dtype=object), findings


def _check_columns(table: pd.DataFrame, config: DataConfig, csv_path: Path) -> list[Finding]:
    """Check that the table has the columns that the configuration names, each once."""
    columns = [str(column) for column in table.columns if column != LINE]
    repeated = [column for column, count in Counter(columns).items() if count > 1]
    findings = [REPEATED_COLUMN.found(f"{csv_path} has {columns.count(name)} columns {name!r}.") for name in repeated]
    named = {"image_name_col": [config.image_name_col], "targets": config.targets}
    if config.group_col is not None:
        named["group_col"] = [config.group_col]
    for key, wanted in named.items():
        findings += [_unknown(csv_path, key, name, columns) for name in wanted if name not in columns]
    if config.image_name_col in config.targets:
        findings.append(
            ONE_COLUMN_TWICE.found(f"The column {config.image_name_col!r} is both image_name_col and one of targets.")
        )
    return findings


def _unknown(csv_path: Path, key: str, name: str, columns: list[str]) -> Finding:
    near = difflib.get_close_matches(name, columns, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Its columns: {', '.join(columns)}."
    return UNKNOWN_COLUMN.found(
        f"{csv_path} has no column {name!r}, which data_config names in {key}. {hint}",
        labels=[name] if key == "targets" else [],
    )


def _check_cells(table: pd.DataFrame, config: DataConfig, csv_path: Path) -> tuple[pd.DataFrame, list[Finding]]:
    """Turn the targets into numbers; rows with other cells than 0 and 1, or without a name, stay behind."""
    names = table[config.image_name_col].str.strip()
    nameless = table.loc[names == "", LINE]
    findings = [NO_NAME.found(f"{csv_path}, line {line}: {config.image_name_col} is empty.") for line in nameless]
    unlabelled = (table[config.targets].apply(lambda cells: cells.str.strip()) == "").all(axis=1)
    if unlabelled.any():
        count = int(unlabelled.sum())
        findings.append(
            (NOTHING_LABELLED if unlabelled.all() else UNLABELLED).found(
                f"Nobody has labelled {count} of {len(table)} photos; they are left out.", names[unlabelled]
            )
        )
    sound = (names != "") & ~unlabelled
    numbers = table.copy()
    for label in config.targets:
        numbers[label] = pd.to_numeric(table[label], errors="coerce")
        wrong = ~numbers[label].isin([0, 1]) & ~unlabelled
        sound &= ~wrong
        findings += [
            NOT_0_OR_1.found(
                f"{csv_path}, line {row[LINE]}: {label} must be 0 or 1. Received: {row[label] or 'an empty cell'}",
                [row[config.image_name_col]],
                [label],
            )
            for _, row in table[wrong].iterrows()
        ]
    numbers = numbers[sound].reset_index(drop=True)
    return numbers.astype(dict.fromkeys(config.targets, int)), findings


def _check_names(table: pd.DataFrame, config: DataConfig) -> list[Finding]:
    names = table[config.image_name_col]
    findings = [
        ODD_NAME.found(f"{name} is outside images_base_path.", [name]) for name in names.unique() if _is_outside(name)
    ]
    for name, rows in table[names.duplicated(keep=False)].groupby(names, sort=False):
        lines = ", ".join(map(str, rows[LINE]))
        alike = len(rows[config.targets].drop_duplicates()) == 1
        check = REPEATED_NAME if alike else CONTRADICTION
        manner = "the same labels" if alike else "different labels"
        findings.append(check.found(f"{name} stands in the lines {lines}, with {manner}.", [str(name)]))
    return findings


def _is_outside(name: str) -> bool:
    paths = PurePosixPath(name), PureWindowsPath(name)
    return any(path.is_absolute() or ".." in path.parts for path in paths)
