"""A rollout on real processes: the commands, under load, and what may go wrong."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tensorflow.core.protobuf import saved_model_pb2

from scenery import contract
from tests.processes import PHOTOS, ROOT, free_ports, wait_until
from tests.rollout.stack import PHOTO, SHIPPED, Load


def test_a_rollout_loses_no_request(stack):
    """Publish, canary, promote, rollback and prune under steady load: all are answered, by the right version."""
    with Load(stack, [PHOTO]) as load:
        load.more(20)
        stack.run("promote", "1")
        evaluation = [
            "--evaluation",
            str(ROOT / "examples/photos/evaluation.csv"),
            "--latency-ratio",
            "5",
            "--nice",
            "0",
        ]
        published = stack.command("publish", str(stack.version), *evaluation)
        assert published.returncode == 0, published.stdout + published.stderr
        assert "it serves nobody yet" in published.stdout
        assert set(load.more(20)) == {1}
        assert "canary is version 2" in stack.run("canary", "2", "--percent", "30")
        status = stack.status()
        assert (status[1]["labels"], status[1]["percent"]) == (["stable"], 70)
        assert (status[2]["labels"], status[2]["percent"]) == (["canary"], 30)
        answers = load.more(100)
        assert answers[1] > answers[2] > 0
        assert "version 2 is stable" in stack.run("promote")
        assert set(load.more(50)) == {2}
        assert stack.status()[1]["last_good"]
        started = time.monotonic()
        assert "version 1 is stable" in stack.run("rollback")
        assert time.monotonic() - started < 15
        assert set(load.more(50)) == {1}
        for version in (3, 4):
            stack.drop(version)
        assert "removed: 2, 3" in stack.run("prune", "--keep", "1")
        assert {version for version, each in stack.status().items() if each["on_disk"]} == {1, 4}
        assert set(load.more(20)) == {1}
    assert load.direct.keys() == {1, 2}
    assert not load.failures


@pytest.mark.parametrize("version", [SHIPPED], ids=["shipped"])
def test_a_watched_canary_is_taken_back(stack, exported):
    """One whose scores are others is taken back at the end, and the reason said; one that fails, at once.

    (That a good one is promoted is shown by docs/rollout.md, and tested there.)
    """
    photos = [photo.read_bytes() for photo in sorted(PHOTOS.glob("*.jpg"))[:40]]
    flags = ["--auto", "--percent", "50", "--watch-seconds", "12", "--min-photos", "40", "--p99-ratio", "5"]
    with Load(stack, photos) as load:
        stack.run("promote", "1")
        stack.drop(2, exported / "1")
        started = time.monotonic()
        assert "Version 2 is taken back, version 1 answers all: scores: largest" in stack.fail("canary", "2", *flags)
        assert time.monotonic() - started > 12
        assert not load.failures
        assert set(load.more(20)) == {1}
        stack.drop(3, with_half_a_description(stack.work / "odd"))
        started = time.monotonic()
        long = [*flags, "--watch-seconds", "60"]
        assert "Version 3 is taken back, version 1 answers all: failed: " in stack.fail("canary", "3", *long)
        assert time.monotonic() - started < 50
        assert load.failures
        assert set(load.more(20)) == {1}


def with_half_a_description(folder: Path) -> Path:
    """Return a version that scores photos, and says what the scores mean, but not from where on they count."""
    shutil.copytree(SHIPPED, folder)
    shutil.rmtree(folder / "assets.extra")
    path = folder / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    del saved_model.meta_graphs[0].signature_def[contract.SIGNATURE_DESCRIBE].outputs[contract.OUTPUT_THRESHOLDS]
    path.write_bytes(saved_model.SerializeToString())
    return folder


def test_a_canary_that_nobody_calls_is_not_promoted(stack):
    """Without photos there is no proof; a proxy that does not tell its figures is named, and nothing changed."""
    stack.run("promote", "1")
    stack.drop(2)
    message = stack.fail("canary", "2", "--auto", "--watch-seconds", "2")
    assert "photos: 0 photos" in message
    assert "must lie between 0 and 100" in stack.command("canary", "2", "--auto", "--percent", "0").stderr
    assert stack.status()[1]["labels"] == ["stable"]
    before = (stack.work / "serving.config").read_text()
    (port,) = free_ports(1)
    message = stack.fail("canary", "2", "--auto", "--proxy", f"http://127.0.0.1:{port}")
    assert "does not tell its figures" in message
    assert (stack.work / "serving.config").read_text() == before


def test_a_shadow_shows_where_versions_differ(stack):
    """All callers get the stable version; what the other one would have said is compared, label by label."""
    stack.run("promote", "1")
    stack.drop(2, SHIPPED)
    stack.run("canary", "2", "--percent", "0", "--shadow-percent", "100")
    photos = [photo.read_bytes() for photo in sorted(PHOTOS.glob("*.jpg"))[:20]]
    assert {stack.classify(photo=photo) for photo in photos} == {1}

    def shadow() -> dict:
        return json.loads(stack.run("status", "--json"))["shadow"]

    wait_until(lambda: shadow()["compared"] == 20, "the comparisons")
    assert set(shadow()["disagreements"]) == {"beach", "city", "sunset", "trees"}
    assert sum(shadow()["disagreements"].values()) > 0
    line = stack.run("status").splitlines()[-1]
    assert re.match("shadow: 100 % of the requests .*; 20 photos compared; they differ on: .*%", line)
    stack.run("rollback")
    assert json.loads(stack.run("status", "--json"))["split"] == {"canary_percent": 0, "shadow_percent": 0}


def test_a_command_that_is_killed_can_be_repeated(stack):
    """SIGKILL at any time in a canary, a promotion or a rollback: callers are answered, and repeating it mends it."""
    stack.run("promote", "1")
    stack.drop(2)
    with Load(stack, [PHOTO]) as load:
        for seconds in (0.7, 1.8):
            kill(stack.command_line("canary", "2"), seconds)
            stack.run("canary", "2", "--percent", "20")
            kill(stack.command_line("promote", "2"), seconds)
            stack.run("promote", "2")
            wait_until(lambda: stack.is_stable(2), "the server to follow")
            kill(stack.command_line("rollback"), seconds)
            if 'key: "stable" value: 2' in (stack.work / "serving.config").read_text():
                stack.run("rollback")
            wait_until(lambda: stack.is_stable(1), "the server to follow")
    assert not load.failures


def test_a_rollback_undoes_a_canary_that_was_killed(stack):
    """It goes back no further, and what was being loaded is unloaded; what SIGTERM ends undoes itself."""
    for version in (2, 3):
        stack.drop(version)
    stack.run("promote", "1")
    stack.run("promote", "2")
    config = stack.work / "serving.config"
    before = config.read_text()
    with subprocess.Popen(stack.command_line("canary", "3"), stdout=subprocess.DEVNULL) as canary:
        wait_until(lambda: "versions: 3" in config.read_text(), "the first step")
        canary.terminate()
    assert config.read_text() == before
    with subprocess.Popen(stack.command_line("canary", "3"), stdout=subprocess.DEVNULL) as canary:
        wait_until(lambda: "versions: 3" in config.read_text(), "the first step")
        canary.kill()
    assert "version 2 is stable" in stack.run("rollback")
    assert "versions: 3" not in config.read_text()
    assert stack.classify() == 2
    assert "version 1 is stable" in stack.run("rollback")


def test_labels_of_others_stay(stack):
    """A label that somebody wrote into serving.config, and its version, are kept by every command."""
    stack.drop(2)
    stack.drop(3)
    config = stack.work / "serving.config"
    policy = "model_version_policy { specific { versions: 1 versions: 3 } }"
    label = 'version_labels { key: "beta" value: 3 }'
    config.write_text(
        config.read_text().replace("model_version_policy { latest { num_versions: 1 } }", f"{policy}\n{label}")
    )
    wait_until(lambda: 3 in stack.status() and stack.status()[3]["state"] == "AVAILABLE", "version 3")
    stack.run("promote", "1")
    stack.run("canary", "2")
    stack.run("rollback")
    assert 'key: "beta" value: 3' in config.read_text()
    assert stack.status()[3]["state"] == "AVAILABLE"
    assert stack.classify() == 1


def test_an_empty_config_changes_nothing(stack):
    """An editor that truncates the file before it writes does not take the model out of service."""
    config = stack.work / "serving.config"
    text = config.read_text()
    config.write_text("")
    wait_until(lambda: "has no model" in (stack.work / "stack.log").read_text(), "the complaint")
    time.sleep(2)
    assert stack.classify() == 1
    config.write_text(text)
    assert "version 1 is stable" in stack.run("promote", "1")


def test_the_canary_does_not_answer_for_the_stable_version(stack):
    """If the canary's label is gone, the stable version answers its callers; nan is no share."""
    stack.run("promote", "1")
    stack.drop(2)
    stack.run("canary", "2", "--percent", "0")
    (stack.models / "scenery/traffic.json").write_text('{"canary_percent": 100}')
    wait_until(lambda: stack.classify() == 2, "the proxy to follow")
    config = stack.work / "serving.config"
    config.write_text(config.read_text().replace('version_labels { key: "canary" value: 2 }', ""))
    wait_until(lambda: stack.classify() == 1, "the label to go")
    assert "is not a number" in stack.command("canary", "2", "--percent", "nan").stderr


def kill(command: list[str], seconds: float) -> None:
    """Run a command, and kill it after some seconds if it has not ended."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    process.kill()
    process.wait()


def test_two_commands_at_once_do_not_meet(stack):
    """The second one is told to wait; the first one is not disturbed."""
    stack.run("promote", "1")
    stack.drop(2)
    with subprocess.Popen(stack.command_line("canary", "2"), stdout=subprocess.DEVNULL) as first:
        wait_until(lambda: "versions: 2" in (stack.work / "serving.config").read_text(), "the first to begin")
        assert "Another command is changing" in stack.fail("promote", "2")
        assert first.wait(60) == 0
    assert stack.status()[2]["labels"] == ["canary"]


def test_a_version_that_changed_since_it_was_published_is_refused(stack):
    """A file that is not what its manifest says stops a canary before anything is changed."""
    stack.drop(2)
    golden = next((stack.models / "scenery/2" / contract.GOLDEN_FOLDER).glob("*.jpg"))
    golden.write_bytes(b"other")
    before = (stack.work / "serving.config").read_text()
    assert golden.name in stack.fail("canary", "2")
    assert (stack.work / "serving.config").read_text() == before


def test_the_share_is_what_was_asked_and_callers_stay(stack):
    """Of 2,000 callers the canary answers 10 %, within two points, always the same; a growing share takes none away."""
    stack.run("promote", "1")
    stack.drop(2)
    stack.run("canary", "2", "--percent", "10")
    keys = [f"user-{number}" for number in range(2000)]
    with ThreadPoolExecutor(8) as pool:
        first = dict(zip(keys, pool.map(stack.classify, keys), strict=True))
        answers = Counter(first.values())
        assert 160 <= answers[2] <= 240
        assert answers[1] + answers[2] == 2000
        few = keys[:100]
        assert list(pool.map(stack.classify, few)) == [first[key] for key in few]
        stack.run("canary", "2", "--percent", "60")
        grown = dict(zip(few, pool.map(stack.classify, few), strict=True))
        assert all(grown[key] == 2 for key in few if first[key] == 2)
        assert 40 < sum(version == 2 for version in grown.values()) < 80
        assert "version 1 is stable" in stack.run("rollback")
        assert set(pool.map(stack.classify, few)) == {1}
    assert 2 not in stack.status() or stack.status()[2]["labels"] == []


def test_what_goes_wrong_is_told_and_changes_nothing(stack):
    """A version that is missing or cannot be loaded, nothing to go back to: the message says what to do."""
    config = stack.work / "serving.config"
    before = config.read_text()
    assert "There is no version 7" in stack.fail("canary", "7")
    assert "no canary to promote" in stack.fail("promote")
    assert "nothing to go back to" in stack.fail("rollback")
    assert config.read_text() == before
    stack.run("promote", "1")
    before = config.read_text()
    (stack.models / "scenery/1").rename(stack.work / "gone")
    stack.drop(2)
    assert "folder of version 1, the stable one, is gone" in stack.fail("canary", "2")
    (stack.work / "gone").rename(stack.models / "scenery/1")
    shutil.rmtree(stack.models / "scenery/2")
    assert config.read_text() == before
    (stack.models / "scenery" / "2").mkdir()
    message = stack.fail("canary", "2")
    assert "Version 2 cannot be loaded" in message or "does not follow" in message
    assert config.read_text() == before
    assert stack.classify() == 1
    assert stack.status()[1]["labels"] == ["stable"]
    (stack.models / "scenery" / "2").rmdir()
    stack.drop(2)
    assert "canary is version 2" in stack.run("canary", "2")


def test_a_server_that_is_down_is_named(tmp_path):
    """Every command says which address does not answer."""
    (port,) = free_ports(1)
    shutil.copy(ROOT / "serving.config", tmp_path)
    (tmp_path / "models/scenery/1").mkdir(parents=True)
    (tmp_path / "models/scenery/.rollout.json").write_text('{"stable_before": [1]}')
    for arguments in (["status"], ["canary", "1"], ["promote", "1"], ["rollback"], ["prune"]):
        places = ["--model-server", f"127.0.0.1:{port}", "--models-dir", str(tmp_path / "models")]
        places += ["--config", str(tmp_path / "serving.config")]
        command = [sys.executable, "-m", "scenery", *arguments, *places]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 1
        assert re.search(rf"127.0.0.1:{port} does not answer.*Start it", done.stderr)
