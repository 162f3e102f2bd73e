"""The backup that docs/operations.md tells is one."""

from __future__ import annotations

import re
import shutil
import subprocess

from tests.processes import ROOT


def _commands():
    """Return what the section on backups has people type: the backup, and the steps back."""
    text = (ROOT / "docs/operations.md").read_text()
    section = text.split("## Backups")[1].split("\n## ")[0]
    backup, restore = re.findall(r"```console\n(.*?)```", section, re.S)
    return [[line.removeprefix("$ ") for line in block.splitlines()] for block in (backup, restore)]


def _run(commands, folder):
    script = "\n".join(["set -e", *commands])
    return subprocess.run(["sh", "-c", script], cwd=folder, capture_output=True, text=True, check=False)


def test_a_lost_version_comes_back_from_the_backup(tmp_path):
    """A version that was deleted is there again, every file of it, and nothing else is left in the folder."""
    backup, restore = _commands()
    shutil.copytree(ROOT / "models", tmp_path / "models")
    for name in ("serving.config", "monitoring.config"):
        shutil.copy(ROOT / name, tmp_path)
    before = sorted(path.name for path in (tmp_path / "models/scenery").iterdir())
    assert _run(backup, tmp_path).returncode == 0
    shutil.rmtree(tmp_path / "models/scenery/1")
    done = _run(restore, tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "models/scenery").iterdir()) == before
    compared = subprocess.run(["diff", "-r", ROOT / "models/scenery/1", tmp_path / "models/scenery/1"], check=False)
    assert compared.returncode == 0


def test_a_damaged_version_is_not_mistaken_for_a_restored_one(tmp_path):
    """Where the damaged folder was not renamed first, the last step refuses, and nothing is put inside of it."""
    backup, restore = _commands()
    shutil.copytree(ROOT / "models/scenery/1", tmp_path / "models/scenery/1")
    for name in ("serving.config", "monitoring.config"):
        shutil.copy(ROOT / name, tmp_path)
    assert _run(backup, tmp_path).returncode == 0
    assert _run(restore, tmp_path).returncode != 0
    assert not (tmp_path / "models/scenery/1/1").exists()


def test_a_damaged_backup_is_not_brought_back(tmp_path):
    """A file that changed in the backup stops the steps before a server can see the version."""
    _, restore = _commands()
    damaged = shutil.copytree(ROOT / "models/scenery/1", tmp_path / "models/scenery/1") / "saved_model.pb"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    subprocess.run(["tar", "-cf", "backup.tar", "models"], cwd=tmp_path, check=True)
    shutil.rmtree(tmp_path / "models/scenery/1")
    assert _run(restore, tmp_path).returncode != 0
    assert not (tmp_path / "models/scenery/1").exists()
