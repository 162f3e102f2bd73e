"""``scenery score``, run as people run it."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bulk.conftest import DEADLINE_SECONDS, MODELS, SCORE, photos_in, rows, score, score_here, scoring
from tests.photographs import bombs
from tests.processes import ROOT, free_ports, model_server, running, wait_until

SCORES = ["score_beach", "score_city", "score_sunset", "score_trees"]


def letters(output) -> dict[str, dict]:
    """Read the dead letters by the photo's name, without its folder."""
    lines = [line for file in Path(f"{output}.failed").glob("*.jsonl") for line in file.read_text().splitlines()]
    return {each["photo"].rpartition("/")[2]: each for each in map(json.loads, lines)}


def test_a_version_in_process_and_a_served_one_give_the_scores_of_classify(shipped, tmp_path):
    """The same photos have the same scores to 1e-5, however they are asked for, and bad ones a reason each."""
    photos = photos_in(tmp_path / "photos", 12)
    odd = [photos / "Küste 🌊.jpg", photos / "a [1]\n.jpg", photos / os.fsdecode(b"\xff.jpg")]
    for name in odd:
        shutil.copy(photos / "0000.jpg", name)
    odd[0].chmod(0o444)
    bad = {
        "text.jpg": b"no photo",
        "empty.png": b"",
        "bomb.gif": bombs()["gif"],
        "cut.jpg": (photos / "0000.jpg").read_bytes()[:3000],
    }
    for name, content in bad.items():
        (photos / name).write_bytes(content)
    (photos / "away.jpg").symlink_to("nowhere.jpg")
    stored, served = tmp_path / "stored.parquet", tmp_path / "served.parquet"
    done = score_here(photos, "--output", stored, "--model", MODELS / "1", "--json")
    assert done.exit_code == 1, done.stderr
    told = json.loads(done.stdout)
    assert (told["version"], told["scored"], told["failed"], told["output"]) == (1, 15, 5, str(stored))
    assert score_here(photos, "--output", served, "--server", shipped.grpc, "--quiet").stderr == ""
    codes = {name: each["code"] for name, each in letters(stored).items()}
    assert codes == {
        "text.jpg": "unsupported-format",
        "empty.png": "empty",
        "bomb.gif": "too-many-pixels",
        "cut.jpg": "damaged",
        "away.jpg": "file-not-readable",
    }
    assert letters(served) == {name: {**each, "photo": str(photos / name)} for name, each in letters(stored).items()}
    in_process, over_grpc = rows(stored), rows(served)
    assert set(in_process.index) >= {str(odd[0]), str(odd[1]), f"{photos}/\\xff.jpg"}
    assert (in_process.dtypes[SCORES] == "float32").all()
    assert (in_process[SCORES] - over_grpc[SCORES]).abs().to_numpy().max() <= 1e-5
    command = [sys.executable, "-m", "scenery", "classify", str(photos / "more"), "--grpc", shipped.grpc, "--json"]
    classified = subprocess.run(command, capture_output=True, text=True, check=True)
    for answer in map(json.loads, classified.stdout.splitlines()):
        row = in_process.loc[answer["file"]]
        assert [row[f"score_{label}"] for label in answer["scores"]] == pytest.approx(
            list(answer["scores"].values()), abs=1e-5
        )
        assert (list(row["labels"]), row["top"], row["version"]) == (answer["labels"], answer["top"]["label"], 1)


def test_a_killed_run_goes_on_where_it_was(shipped, tmp_path):
    """After kill -9 the same command leaves the finished parts as they are; no photo is lost, and none twice."""
    photos, output = photos_in(tmp_path / "photos", 240), tmp_path / "scores.parquet"
    command = (photos, "--output", output, "--server", shipped.grpc, "--part-photos", 8, "--jobs", 1)
    with scoring(*command) as process:
        wait_until(lambda: len(list(output.glob("part-*"))) >= 2, "two parts")
        process.send_signal(signal.SIGKILL)
        process.wait()
    finished = {file: file.stat().st_mtime_ns for file in output.glob("part-*")}
    assert 2 <= len(finished) < 30
    done = score(*command, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["scored_before"] == 8 * len(finished)
    assert told["scored"] == 240 - told["scored_before"]
    assert {file: file.stat().st_mtime_ns for file in finished} == finished
    assert set(rows(output).index) == {str(file) for file in photos.rglob("*.jpg")}


def test_an_interrupted_run_says_how_to_go_on(shipped, tmp_path):
    """Ctrl-C, or SIGTERM, which is the same to it, ends it without a traceback, with a status of its own."""
    photos, output = photos_in(tmp_path / "photos", 240), tmp_path / "scores.parquet"
    with scoring(photos, "--output", output, "--server", shipped.grpc, "--part-photos", 8, "--jobs", 1) as process:
        wait_until(lambda: any(output.glob("part-*")), "a part")
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 130
    assert "Stopped. What is finished stays; the same command goes on with the rest." in told
    assert "Traceback" not in told


def test_a_server_that_goes_away_ends_the_run_and_loses_nothing(tmp_path):
    """What is finished stays, the message says what to do, and the next run does the rest."""
    photos, output = photos_in(tmp_path / "photos", 160), tmp_path / "scores.parquet"
    flags = ("--model_name=scenery", f"--model_base_path={MODELS}")
    with model_server(tmp_path, *flags) as server:
        command = (photos, "--output", output, "--server", server.grpc, "--part-photos", 8, "--jobs", 1)
        with scoring(*command, "--patience", 1) as process:
            wait_until(lambda: any(output.glob("part-*")), "a part")
            server.process.kill()
            _, told = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 1
    assert f"Error: The model server at {server.grpc} does not answer. Start it again" in told
    assert "(--patience)" in told
    assert "Traceback" not in told
    assert 0 < len(rows(output)) < 160
    assert not letters(output)
    done = score_here(*command)
    assert done.exit_code == 1
    assert f"No such model can be asked at {server.grpc}. Start a server" in str(done.exception)


def test_photos_that_failed_are_tried_again_when_that_may_help(shipped, tmp_path, folder):
    """A file that could not be read is tried by the next run, a refused one with --retry-failed."""
    output = tmp_path / "scores.parquet"
    (folder / "away.jpg").symlink_to(folder / "later.png")
    (folder / "bad.jpg").write_bytes(b"no photo")
    command = (folder, "--output", output, "--server", shipped.grpc)
    assert score_here(*command).exit_code == 1
    assert set(letters(output)) == {"away.jpg", "bad.jpg"}
    shutil.copy(folder / "0000.jpg", folder / "later.png")
    shutil.copy(folder / "0000.jpg", folder / "bad.jpg")
    done = score_here(*command)
    assert done.exit_code == 1
    assert done.stderr.startswith("2 photos scored by version 1, 6 scored before, 1 failed before, ")
    assert set(letters(output)) == {"bad.jpg"}
    done = score_here(*command, "--retry-failed", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["scored"] == 1
    assert not letters(output)
    assert len(rows(output)) == 9


def test_another_version_is_refused(tmp_path, folder):
    """Scores of two versions are never in one output; nothing is loaded to find that out."""
    output = tmp_path / "scores.parquet"
    output.mkdir()
    (output / "_scenery.json").write_text(json.dumps({"version": 1, "digest": "ab" * 32}))
    (output / "part-0123456789abcdef.parquet").write_bytes(b"")
    done = score_here(folder, "--output", output, "--model", MODELS / "1")
    assert done.exit_code == 1
    assert "has scores of version 1 (digest abababab)" in str(done.exception)
    assert "--replace" in str(done.exception)


def test_several_processes_of_one_machine_score_together(shipped, tmp_path):
    """Beam's own options follow --, and each photo is scored by one of the processes."""
    photos, output = photos_in(tmp_path / "photos", 40), tmp_path / "scores.parquet"
    command = (photos, "--output", output, "--server", shipped.grpc, "--part-photos", 4)
    done = score(*command, "--", "--direct_num_workers=2")
    assert done.returncode == 0, done.stderr
    assert len(rows(output)) == 40


def test_a_job_server_runs_it(shipped, tmp_path, folder):
    """The portable runner, which Flink and Spark are reached by, runs the same pipeline with workers of its own."""
    (port,) = free_ports(1)
    output, log = tmp_path / "scores.parquet", tmp_path / "jobs.log"
    command = ("apache_beam.runners.portability.local_job_service_main", "--port", str(port))
    with running(*command, log=log) as job_server:
        wait_until(lambda: "Listening" in log.read_text() or job_server.poll() is not None, "the job server")
        portable = (
            "--runner",
            "PortableRunner",
            "--",
            f"--job_endpoint=127.0.0.1:{port}",
            "--environment_type=LOOPBACK",
        )
        done = score(folder, "--output", output, "--server", shipped.grpc, *portable)
    assert done.returncode == 0, done.stderr
    assert "Completed job" in log.read_text()
    assert len(rows(output)) == 6


def test_photos_and_scores_may_lie_at_addresses(shipped, tmp_path, folder, monkeypatch):
    """Buckets are listed, read and written by Beam's file systems, and a second run finds nothing left to do."""
    from tests.bulk import disk  # noqa: F401  it makes itself known to Beam

    monkeypatch.chdir(ROOT)
    (folder / "bad.jpg").write_bytes(b"no photo")
    command = [f"disk://{folder}/**/*.jpg", "--output", f"disk://{tmp_path}/scores.parquet", "--json"]
    command += ["--server", shipped.grpc]
    first = score_here(*command)
    assert first.exit_code == 1, first.output
    assert (json.loads(first.stdout)["scored"], json.loads(first.stdout)["failed"]) == (6, 1)
    output = tmp_path / "scores.parquet"
    assert set(rows(output).index) == {f"disk://{path}" for path in folder.rglob("0*.jpg")}
    assert letters(output)["bad.jpg"]["code"] == "unsupported-format"
    second = json.loads(score_here(*command).stdout)
    assert (second["scored"], second["scored_before"], second["failed_before"]) == (0, 6, 1)
    assert {file.name for file in output.iterdir()} == {"_scenery.json", *(file.name for file in output.glob("part-*"))}


def test_a_terminal_shows_how_far_it_is(tmp_path, folder):
    """The bar counts photos and ends full, and neither Beam nor TensorFlow writes anything into it."""
    outer, inner = pty.openpty()
    command = [*SCORE, folder, "--output", tmp_path / "s", "--model", MODELS / "1"]
    done = subprocess.run([*map(str, command)], stderr=inner, check=False, timeout=DEADLINE_SECONDS)
    os.close(inner)
    shown = os.read(outer, 2**16).decode()
    os.close(outer)
    assert done.returncode == 0, shown
    assert "scoring" in shown
    assert "6/6" in shown
    assert "6 photos scored by version 1" in shown
    assert "WARNING" not in shown
    assert "cudart" not in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--output", ""), "'' names no folder of its own"),
        (("--output", "/"), "names no folder of its own"),
        (("--output", "./"), "names no folder of its own"),
        (("--output", "photos/.."), "names no folder of its own"),
        (("--output", "gs://bucket"), "names no folder of its own"),
        (("--output", "none://bucket/s"), "none://bucket/s cannot be reached"),
        (("--output", "photos/0000.jpg"), "is a file, and scores are a folder"),
        (("--output", "/proc/none/scores"), "cannot be used"),
        (("--output", "s", "--runner", "FlunkRunner"), "The runner 'FlunkRunner' cannot be used"),
        (("--output", "s", "--model", "photos"), "photos is no version. Name a folder like models/scenery/2"),
        (("--output", "s", "none/*.jpg"), "none/*.jpg names no photo"),
        (("--output", "s", "--label", "stable"), "are for --server"),
        (("--output", "s", "--server", "x:1", "--model", "photos"), "--model scores in process and --server elsewhere"),
        (("--output", "s", "--server", "x:1", "--version", "1", "--label", "a"), "name a version each"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_cure(shipped, folder, monkeypatch, options, message):
    """What cannot work is told before anything is scored."""
    monkeypatch.chdir(folder.parent)
    if not {"--server", "--model", "--label"} & set(options):
        options = (*options, "--server", shipped.grpc)
    outcome = score_here("photos", *options)
    assert outcome.exit_code != 0
    assert message in outcome.output + str(outcome.exception)


def test_nobody_at_a_job_server_is_told_within_patience(shipped, tmp_path, folder):
    """A wrong address of a job server ends the command with what to correct."""
    (port,) = free_ports(1)
    command = [folder, "--output", tmp_path / "s", "--server", shipped.grpc, "--patience", 0]
    portable = ["--runner", "PortableRunner", "--", f"--job_endpoint=127.0.0.1:{port}", "--environment_type=LOOPBACK"]
    outcome = score_here(*command, *portable)
    assert outcome.exit_code == 1
    assert "No job server answers. Start it, correct what follows --" in str(outcome.exception)


def test_a_version_that_cannot_be_loaded_is_named(tmp_path, folder):
    """The message has the folder and what to do, and --replace has removed nothing."""
    broken, output = tmp_path / "models" / "2", tmp_path / "s.parquet"
    broken.mkdir(parents=True)
    (broken / "saved_model.pb").write_bytes(b"none")
    output.mkdir()
    (output / "_scenery.json").write_text(json.dumps({"version": 1, "digest": "ab" * 32}))
    (output / "part-0123456789abcdef.parquet").write_bytes(b"")
    done = score_here(folder, "--output", output, "--model", broken, "--replace")
    assert done.exit_code == 1
    assert f"{broken} cannot score. Copy or export it again, or name another with --model." in str(done.exception)
    assert (output / "part-0123456789abcdef.parquet").exists()
