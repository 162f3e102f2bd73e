"""A version must pass the gate, and appears whole or not at all."""

from __future__ import annotations

import csv
import json
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorflow.core.protobuf import saved_model_pb2

from export.gate.gate import Gate
from export.gate.verdict import CHECKS
from export.publish import Published, publish
from scenery import contract, versions
from scenery.errors import ExportError, VersionError
from scenery.manifest import verify_manifest, write_manifest
from tests.processes import PHOTOS, ROOT, wait_until

SHIPPED = ROOT / "models/scenery/1"
EVALUATION_PHOTOS = 16
NO_CONFIG = Path("no-such-file")
Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of the shipped evaluation set in which every label occurs."""
    with (ROOT / "examples/photos/evaluation.csv").open() as stream:
        header, *rows = csv.reader(stream)
    labelled = [row for row in rows if "1" in row[1:]]
    table = tmp_path_factory.mktemp("evaluation") / "few.csv"
    table.write_text("\n".join(",".join(row) for row in [header, *labelled[:EVALUATION_PHOTOS]]) + "\n")
    return table


@pytest.fixture
def models(exported: Path, tmp_path: Path) -> Path:
    """A folder of versions with a small one."""
    shutil.copytree(exported / "1", tmp_path / "models/scenery/1")
    return tmp_path / "models/scenery"


@pytest.fixture
def candidate(exported: Path, tmp_path: Path) -> Path:
    """A copy of that version, to be damaged."""
    return shutil.copytree(exported / "1", tmp_path / "candidate")


def gate(evaluation: Path, *forced: str, **limits: float) -> Gate:
    return Gate(evaluation, PHOTOS, forced=frozenset(forced), **{"latency_ratio": 5.0} | limits)


def verdicts(published: Published) -> dict[str, str]:
    return {each.check: each.verdict for each in published.verdicts}


def command(source: Path, models: Path, evaluation: Path, *more: str) -> list[str]:
    places = ["--models-dir", str(models.parent), "--config", str(NO_CONFIG)]
    places += ["--evaluation", str(evaluation), "--photos", str(PHOTOS), "--latency-ratio", "5", "--nice", "0"]
    return [sys.executable, "-m", "scenery", "publish", str(source), *places, *more]


def state(models: Path) -> dict[int, int | None]:
    """Return the versions that a model server would see, each proven to be whole."""
    return {number: verify_manifest(models / str(number)) for number in versions.list_versions(models)}


def test_a_run_becomes_the_next_version(run_dir, tmp_path, evaluation):
    """All seven checks pass in a table, and their report travels with the version."""
    models = tmp_path / "models/scenery"
    done = subprocess.run(command(run_dir, models, evaluation), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [[check, "passed"] for check in CHECKS]
    assert "scenery/1 is published" in lines[-1]
    report = json.loads((models / "1" / contract.GATE_FILE).read_text())
    assert report["passed"]
    assert [each["check"] for each in report["checks"]] == list(CHECKS)
    assert report["forced"] == []
    check = ["sha256sum", "--check", "--quiet", "--strict", contract.MANIFEST_FILE]
    assert subprocess.run(check, cwd=models / "1", check=False).returncode == 0
    assert state(models).keys() == {1}


def test_a_saved_model_is_published_beside_the_one_that_serves(models, candidate, evaluation):
    """The same model is as good and about as fast as itself; the version compared with is named."""
    published = publish(candidate, models, gate(evaluation), NO_CONFIG)
    assert set(verdicts(published).values()) == {"passed"}
    assert published.path == models / "2"
    quality, latency = published.verdicts[-2:]
    assert quality.figures["against"] == latency.figures["against"] == 1
    assert quality.figures["serving"] == quality.figures["candidate"]
    assert quality.figures["photos"] == EVALUATION_PHOTOS
    assert state(models).keys() == {1, 2}


def edit_graph(change: Callable[[saved_model_pb2.SavedModel], None]) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / "saved_model.pb"
        saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
        change(saved_model)
        path.write_bytes(saved_model.SerializeToString())

    return damage


def node(saved_model, name):
    (found,) = (each for each in saved_model.meta_graphs[0].graph_def.node if each.name == name)
    return found


def read_a_file(saved_model):
    """Add an operation that reads a file of the machine that serves."""
    graph = saved_model.meta_graphs[0].graph_def
    graph.node.add(name="steal", op="ReadFile", input=["provenance"])


def threshold_beyond_one(saved_model):
    node(saved_model, "thresholds").attr["value"].tensor.tensor_content = b""
    node(saved_model, "thresholds").attr["value"].tensor.float_val[:] = [2.0] * 4


def labels_mixed_up(saved_model):
    """Give each score the next label's name."""
    strings = node(saved_model, "labels").attr["value"].tensor.string_val
    strings[:] = [*strings[1:], strings[0]]


def other_golden_scores(folder):
    path = folder / contract.GOLDEN_FOLDER / "scores.json"
    scores = json.loads(path.read_text())
    scores[next(iter(scores))][0] += 0.01
    path.write_text(json.dumps(scores))


def cut_warmup(folder):
    path = folder / contract.WARMUP_FILE
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "check", "told"),
    [
        (edit_graph(read_a_file), "operations", "'ReadFile'.*'steal'"),
        (lambda folder: (folder / "aot_packages").mkdir(), "operations", "'aot_packages' is no part of a SavedModel"),
        (other_golden_scores, "golden", "at most 0.01 from the trained network"),
        (edit_graph(threshold_beyond_one), "describe", r"a threshold in \[0, 1\]"),
        (cut_warmup, "warmup", "cannot be read"),
    ],
    ids=["operation", "stray", "golden", "describe", "warmup"],
)
def test_each_check_refuses(models, candidate, evaluation, damage, check, told):
    """A damaged version is refused by the check that is for it, with its reason."""
    damage(candidate)
    write_manifest(candidate)
    published = publish(candidate, models, gate(evaluation), NO_CONFIG)
    assert published.path is None
    assert check in published.stopped_by
    (verdict,) = (each for each in published.verdicts if each.check == check)
    assert re.search(told, verdict.detail)
    assert state(models).keys() == {1}


def test_a_refusal_can_be_overruled(models, candidate, evaluation):
    """Forced, a version with an operation that is not on the list runs and is published; that is recorded."""
    edit_graph(read_a_file)(candidate)
    write_manifest(candidate)
    forced = publish(candidate, models, gate(evaluation, "operations"), NO_CONFIG)
    assert forced.path == models / "2"
    assert verdicts(forced) == dict.fromkeys(CHECKS, "passed") | {"operations": "forced"}
    assert json.loads((forced.path / contract.GATE_FILE).read_text())["forced"] == ["operations"]


def test_a_label_that_got_worse_is_refused(tmp_path, evaluation):
    """With its labels mixed up the shipped model is still sound, and worse than the one that serves."""
    models = tmp_path / "models/scenery"
    candidate = shutil.copytree(SHIPPED, tmp_path / "candidate")
    shutil.copytree(SHIPPED, models / "1")
    edit_graph(labels_mixed_up)(candidate)
    write_manifest(candidate)
    published = publish(candidate, models, gate(evaluation), NO_CONFIG)
    assert published.stopped_by == ["quality"]
    assert re.search("city: F1 .* → .*version 1 is better by more than 0.05", published.verdicts[-2].detail)
    assert publish(candidate, models, gate(evaluation, quality_margin=1.0), NO_CONFIG).path == models / "2"


def test_a_changed_file_is_refused(models, candidate, evaluation):
    """One byte more, and the manifest says in which file."""
    photo = next((candidate / contract.GOLDEN_FOLDER).glob("*.jpg"))
    photo.write_bytes(photo.read_bytes() + b"\0")
    published = publish(candidate, models, gate(evaluation), NO_CONFIG)
    assert published.stopped_by == ["manifest"]
    assert photo.name in published.verdicts[1].detail


def test_a_slow_version_is_refused(models, candidate, evaluation):
    """A version that needs more than the stated ratio is refused, and only for that."""
    published = publish(candidate, models, gate(evaluation, latency_ratio=0.01), NO_CONFIG)
    assert published.stopped_by == ["latency"]
    assert published.verdicts[-1].figures["ratio"] > 0.01


def test_nothing_of_an_unsafe_version_runs(models, candidate, evaluation):
    """What cannot be inspected is not loaded either: the rest is not run, and that stops it too."""
    (candidate / "saved_model.pb").write_bytes(b"no protobuf")
    published = publish(candidate, models, gate(evaluation), NO_CONFIG)
    assert verdicts(published) == {"operations": "refused"} | dict.fromkeys(CHECKS[1:], "not run")


def test_a_version_that_cannot_be_loaded_is_refused(models, candidate, evaluation):
    """A graph that no Session takes is told by the check that loads it."""

    def break_edge(saved_model):
        node(saved_model, "scores").input[0] = "nowhere"

    edit_graph(break_edge)(candidate)
    write_manifest(candidate)
    published = publish(candidate, models, gate(evaluation), NO_CONFIG)
    assert verdicts(published)["golden"] == "refused"
    assert "cannot be loaded" in published.verdicts[2].detail
    assert verdicts(published)["quality"] == "not run"


def test_an_evaluation_set_for_other_labels_is_named(models, candidate, tmp_path):
    """A table without a label's column says which, and how to name another table."""
    table = tmp_path / "cats.csv"
    table.write_text("name,cat\n0003.jpg,1\n")
    published = publish(candidate, models, gate(table), NO_CONFIG)
    assert published.stopped_by == ["quality"]
    assert "no column 'beach'" in published.verdicts[-2].detail
    with pytest.raises(ExportError, match=r"none\.csv cannot be read: .* with --evaluation"):
        publish(candidate, models, gate(tmp_path / "none.csv"), NO_CONFIG)


def test_the_version_to_beat_is_the_stable_one(models, candidate, evaluation, tmp_path):
    """With labels in serving.config the stable version is compared with, not the highest."""
    shutil.copytree(candidate, models / "7")
    config = tmp_path / "serving.config"
    config.write_text(
        'model_config_list { config { name: "scenery" base_path: "/models/scenery" model_platform: "tensorflow" '
        'model_version_policy { specific { versions: 1 } } version_labels { key: "stable" value: 1 } } }'
    )
    published = publish(candidate, models, gate(evaluation), config)
    assert published.path == models / "8"
    assert published.verdicts[-1].figures["against"] == 1
    assert published.waits


def test_what_is_neither_run_nor_saved_model_is_refused(models, evaluation, tmp_path):
    """The message says what was looked for."""
    with pytest.raises(ExportError, match=r"no run\.json.*no saved_model\.pb"):
        publish(tmp_path, models, gate(evaluation), NO_CONFIG)
    assert state(models).keys() == {1}


def test_the_command_fails_with_the_flags_that_overrule(models, candidate, evaluation):
    """Refused: status 1, the table all the same, and the flag that forces; with it the version is published."""
    other_golden_scores(candidate)
    done = subprocess.run(command(candidate, models, evaluation), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "refused" in done.stdout
    assert done.stderr.splitlines()[-1].endswith("--force-manifest --force-golden")
    flags = ["--force-manifest", "--force-golden", "--json"]
    done = subprocess.run(command(candidate, models, evaluation, *flags), capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)
    assert told["version"] == 2
    assert told["forced"] == ["golden", "manifest"]
    assert state(models).keys() == {1, 2}


def test_two_at_once_do_not_meet(models, candidate, evaluation):
    """The second is told to wait, and the first one's version appears whole."""
    with subprocess.Popen(command(candidate, models, evaluation), stderr=subprocess.DEVNULL) as first:
        wait_until(lambda: any(models.glob(".publishing-*")), "the first to begin")
        with pytest.raises(VersionError, match="Another command is writing a version"):
            publish(candidate, models, gate(evaluation), NO_CONFIG)
        assert first.wait(timeout=120) == 0
    assert state(models).keys() == {1, 2}


def test_a_full_disk_publishes_nothing(models, candidate, evaluation):
    """When the disk takes no more, the message says so, and nothing but the old version is there."""
    limit = (candidate / "saved_model.pb").stat().st_size // 2
    done = subprocess.run(
        command(candidate, models, evaluation),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 1
    assert "File too large" in done.stderr.splitlines()[-1]
    assert "Nothing was published" in done.stderr.splitlines()[-1]
    assert state(models).keys() == {1}
    assert {child.name for child in models.iterdir()} == {"1", ".publishing.lock"}


@pytest.mark.parametrize(("room", "kind"), [(0.3, "saved model"), (0.9, "run")])
def test_a_really_full_disk_publishes_nothing(tmp_path, evaluation, run_dir, candidate, room, kind):
    """The same on a file system with room for a part of a version only."""
    size = sum(path.stat().st_size for path in candidate.rglob("*"))
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={int(size * room)}", "none", str(disk)]
    if subprocess.run(mount, check=False, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("a file system of a chosen size needs the right to mount one")
    models = disk / "scenery"
    source = run_dir if kind == "run" else candidate
    try:
        done = subprocess.run(command(source, models, evaluation), capture_output=True, text=True, check=False)
        left = {child.name for child in models.iterdir()}
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert done.returncode == 1
    assert re.search("[Mm]ake room", done.stderr.splitlines()[-1])
    assert "Traceback" not in done.stderr
    assert left <= {".publishing.lock"}


LOOKED_AT = """
import json, sys
from pathlib import Path
from export.gate.gate import Gate
from export.publish import publish
from scenery import versions
from scenery.manifest import verify_manifest

source, models, evaluation, photos = map(Path, sys.argv[1:])
WRITES = {"os.mkdir", "os.rename", "os.chmod", "os.remove", "os.rmdir", "shutil.rmtree", "tempfile.mkdtemp"}


def look(event, arguments):
    if not arguments or not str(arguments[0]).startswith(str(models)):
        return
    if event in WRITES or (event == "open" and arguments[1] and set("wax+") & set(str(arguments[1]))):
        present = versions.list_versions(models)
        print(json.dumps({number: verify_manifest(models / str(number)) for number in present}))


sys.addaudithook(look)
published = publish(source, models, Gate(evaluation, photos, latency_ratio=50.0), Path("none"))
sys.exit(published.path is None)
"""
"""Publishes, and tells before each write which versions are there: what SIGKILL would leave at that moment."""


def test_killed_at_every_step_it_leaves_the_old_or_the_new(models, candidate, evaluation, tmp_path):
    """Before each write of a publish the versions are the old ones or one more, each whole; the next one cleans up."""
    few = tmp_path / "two.csv"
    few.write_text("\n".join(evaluation.read_text().splitlines()[:9]) + "\n")
    (models / ".publishing-killed").mkdir()
    arguments = [str(each) for each in (candidate, models, few, PHOTOS)]
    done = subprocess.run(
        [sys.executable, "-c", LOOKED_AT, *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    left = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(left) > 20
    assert {tuple(each) for each in left} <= {("1",), ("1", "2")}
    assert all(None not in each.values() for each in left)
    assert state(models).keys() == {1, 2}
    assert not any(models.glob(".publishing-*"))


@pytest.mark.parametrize("seconds", [0.5, 4.0])
def test_killed_at_any_time_a_run_leaves_the_old_or_the_new(run_dir, models, evaluation, seconds):
    """The same for a run, whose files TensorFlow writes: killed at work, it leaves no half version."""
    process = subprocess.Popen(
        command(run_dir, models, evaluation, "--force-quality"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_until(lambda: any(models.glob(".publishing-*")), "the command to begin")
    time.sleep(seconds)
    process.kill()
    process.wait()
    assert any(models.glob(".publishing-*"))
    assert state(models).keys() == {1}


def test_a_link_is_not_followed(models, candidate, evaluation):
    """What a link in a SavedModel leads to might not be meant for others: it is refused before anything is copied."""
    (candidate / "assets").mkdir()
    (candidate / "assets/vocabulary.txt").symlink_to("/etc/hostname")
    with pytest.raises(ExportError, match=r"vocabulary.txt is no plain file"):
        publish(candidate, models, gate(evaluation), NO_CONFIG)
    assert state(models).keys() == {1}


def test_other_users_can_read_what_is_published(models, candidate, evaluation):
    """Whatever the permissions of the source, a server that runs as somebody else reads the version."""
    (candidate / "saved_model.pb").chmod(0o400)
    candidate.chmod(0o500)
    path = publish(candidate, models, gate(evaluation), NO_CONFIG).path
    assert {each.stat().st_mode & 0o777 for each in path.rglob("*") if each.is_file()} == {0o644}
    assert {each.stat().st_mode & 0o777 for each in [path, path / "assets.extra"]} == {0o755}


def test_a_check_that_cannot_be_made_is_a_refusal(models, candidate, evaluation, tmp_path):
    """No photo of a label, or nothing loadable to compare with: neither passes in silence."""
    table = tmp_path / "no-beach.csv"
    table.write_text("name,beach,city,sunset,trees\n0003.jpg,0,1,1,1\n")
    published = publish(candidate, models, gate(table), NO_CONFIG)
    assert published.stopped_by == ["quality"]
    assert "No photo of" in published.verdicts[-2].detail
    (models / "1/saved_model.pb").write_bytes(b"broken")
    published = publish(candidate, models, gate(evaluation), NO_CONFIG)
    assert published.stopped_by == ["quality", "latency"]
    assert "Version 1 is what it should be compared with" in published.verdicts[-1].detail
