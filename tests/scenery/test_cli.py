"""The one command."""

from __future__ import annotations

import subprocess
import sys

from tests.processes import ROOT


def scenery(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scenery", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_help_names_every_command_without_importing_a_stage():
    """``scenery --help`` lists the commands and imports no heavy package."""
    code = (
        "import sys; from click.testing import CliRunner; from scenery.cli import scenery;"
        "print(CliRunner().invoke(scenery, ['--help']).output);"
        "heavy = {'apache_beam', 'flask', 'grpc', 'keras', 'numpy', 'pandas', 'pyarrow', 'tensorflow'};"
        "assert not heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for command in ("train", "export", "serve", "proxy", "classify", "score", "api-key"):
        assert f"  {command} " in done.stdout


def test_every_command_explains_itself():
    """Each subcommand has a help text, and each of its options too."""
    for command in ("train", "export", "serve", "proxy", "classify", "score", "api-key"):
        done = scenery(command, "--help")
        assert done.returncode == 0
        options = [line for line in done.stdout.splitlines() if line.startswith("  --")]
        assert options


def test_an_expected_error_is_one_line():
    """A mistake is answered with what to do, not with a traceback."""
    done = scenery("export", "docs")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: docs is no complete training run")
    assert "Traceback" not in done.stderr


def test_an_unknown_command_is_a_usage_error():
    """A misspelt command names the help."""
    done = scenery("sreve")
    assert done.returncode == 2
    assert "No such command" in done.stderr


def test_a_missing_package_names_its_extra(tmp_path):
    """A stage whose packages are not installed says how to get them."""
    code = "import sys; sys.modules['pandas'] = None; from scenery.cli import main; main()"
    command = [sys.executable, "-c", code, "train", "--run-dir", str(tmp_path / "run")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "needs the package pandas, which is not installed" in done.stderr.splitlines()[-1]
