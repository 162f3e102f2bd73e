"""Several workers train one network: real processes, on this machine."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from scenery.errors import ConfigurationError
from tests.processes import PHOTOS, ROOT, free_ports
from training.cluster import EXAMPLE, Cluster, WorkerLostError, gather, read_cluster

DATA_CONFIG = f"""\
resize_shape: [32, 32]
images_base_path: {PHOTOS}
targets: [beach, city, sunset, trees]
image_name_col: name
"""
TRAINING_CONFIG = f"""\
use_augmentation: true
augmentation_probability: 1.0
mixup: 0.2
batch_size: 8
epochs: 2
initial_learning_rate: 0.0001
dropout: 0.0
frozen_until: block_15_add
average_weights: 0.9
model_path: best.keras
backbone_weights: {ROOT}/training/weights/mobilenet_v2_imagenet_no_top.weights.h5
"""
KILLED = """\
import os
from scenery.cli import main
from training import fit
fit._checkpoint = lambda *_: os._exit(9)  # after the first epoch
main()
"""
ROUNDS_OTHERWISE = """\
from scenery.cli import main
from training import fit
restore = fit._restore
def otherwise(*arguments):
    done, network = restore(*arguments)
    network.set_weights([weights * 1.1 for weights in network.get_weights()])
    return done, network
fit._restore = otherwise
main()
"""
DISAGREE = """\
from pathlib import Path
import numpy as np
from keras import Input, Sequential
from keras.layers import Dense
from scenery.errors import DataError
from training.strategy import joined
with joined("multi-worker", 200) as workers:
    network = Sequential([Input((2,)), Dense(3)])
    network.set_weights([np.full((2, 3), workers.index + 1.0), np.full(3, workers.index + 7.0)])
    workers.take_the_chiefs(network)
    print([sorted(set(weights.ravel().tolist())) for weights in network.get_weights()])
    sums, chiefs = workers.total(np.array([1.0, workers.index])), workers.chiefs(np.array([5.0 + workers.index]))
    print(sums.tolist(), chiefs.tolist())
    workers.agree(b"alike", Path("run"))
    try:
        workers.agree(bytes([workers.index]), Path("run"))
    except DataError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with a table of few photos and the two configurations."""
    folder = tmp_path_factory.mktemp("strategy")
    (folder / "data.yaml").write_text(DATA_CONFIG)
    (folder / "training.yaml").write_text(TRAINING_CONFIG)
    photos = pd.read_csv(ROOT / "examples/photos/data.csv").head(33)
    parts = np.repeat(["train", "validation", "test"], [17, 8, 8])  # the last batch has one photo: a worker has none
    photos.assign(part=parts).to_csv(folder / "data.csv", index=False)
    return folder


def files(work):
    return [work / name for name in ("data.csv", "data.yaml", "training.yaml")]


def together(*commands):
    """Run a command for each worker of a cluster; returns exit status, output and errors of each."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(len(commands))]
    running = []
    for index, command in enumerate(commands):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(config), "TF_CPP_MIN_LOG_LEVEL": "3"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        running.append(subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, text=True, **pipes))
    with ThreadPoolExecutor() as waiting:
        try:
            told = list(waiting.map(lambda process: process.communicate(timeout=280), running))
        finally:
            for process in running:
                process.kill()
    return [(process.returncode, *streams) for process, streams in zip(running, told, strict=True)]


def multi_worker(*arguments):
    return ["train", "--strategy", "multi-worker", *map(str, arguments)]


@pytest.fixture(scope="module")
def killed(work):
    """A run of two workers, of which the second was killed after an epoch; and what each of them told."""
    table, data, config = files(work)
    folder = work / "killed"
    command = ["--csv-path", table, "--data-config-path", data, "--training-config-path", config, "--run-dir", folder]
    told = together(["-m", "scenery", *multi_worker(*command)], ["-c", KILLED, *multi_worker(*command)])
    return folder, told


@pytest.fixture
def one_trains_an_epoch(monkeypatch):
    """A function that has this process train a run as far as the second worker did before it was killed."""
    from training import fit
    from training.train import train

    def end(*_):
        raise KeyboardInterrupt

    def train_an_epoch(folder, prepared=None):
        with pytest.raises(KeyboardInterrupt):
            train(folder, prepared)
        return history(folder)

    monkeypatch.setattr(fit, "_checkpoint", end)
    return train_an_epoch


def history(folder):
    return pd.read_csv(folder / "history.csv")[["loss", "val_loss", "val_binary_accuracy"]]


def test_a_worker_that_dies_ends_the_others_with_an_error(killed):
    """Nobody hangs when a worker is gone: the others end, and say how to go on."""
    folder, ((status, _, error), (status_of_killed, told, _)) = killed
    assert (status, status_of_killed, told) == (1, 9, ""), error
    assert "Error: Another worker has ended" in error
    assert "--resume" in error
    assert (folder / "checkpoint").is_dir()


def test_two_workers_begin_as_one_does(killed, work, one_trains_an_epoch):
    """An epoch of two has the losses of an epoch of one, though the last batch has a photo for one of them only."""
    from training.begin import begin

    alone = one_trains_an_epoch(work / "alone", begin(*files(work), work / "alone"))
    pd.testing.assert_frame_equal(history(killed[0]), alone, rtol=1e-3)


def test_two_workers_go_on_and_come_to_what_one_comes_to(killed, tmp_path, one_trains_an_epoch):
    """Whoever goes on with two workers' checkpoint comes to the same losses, even if one of two rounds otherwise."""
    folder, alone = (shutil.copytree(killed[0], tmp_path / name) for name in ("run", "alone"))
    resume = multi_worker("--resume", folder, "--json")
    (status, told, error), (status_of_other, told_of_other, _) = together(
        ["-m", "scenery", *resume], ["-c", ROUNDS_OTHERWISE, *resume]
    )
    assert (status, status_of_other, told_of_other) == (0, 0, ""), error
    assert json.loads(told)["run"] == str(folder)
    assert "going on after epoch 1" in error
    assert (folder / "report.html").is_file()
    pd.testing.assert_frame_equal(history(folder), one_trains_an_epoch(alone), rtol=1e-3)


def test_workers_that_see_different_things_all_say_so():
    """Sums, the chief's values and weights reach every worker, and so does that one of them read something else."""
    for status, told, error in together(["-c", DISAGREE], ["-c", DISAGREE]):
        assert status == 0, error
        assert "a Timeout after 120 s means" in error
        weights, figures, refusal = told.splitlines()
        assert (weights, figures) == ("[[1.0], [7.0]]", "[2.0, 1.0] [5.0]")
        assert refusal.startswith("Worker 1 reads another run in run than the chief. Give all workers")


@pytest.mark.parametrize(("photos", "workers"), [(8, 2), (7, 2), (9, 4), (4, 3)])
def test_the_shares_of_a_batch_weigh_what_the_batch_weighs(photos, workers):
    """The workers' weighted mean losses have the mean of the whole batch, however the rows divide."""
    from training.config import TrainingConfig
    from training.feed import Feed, Share

    losses = np.random.default_rng(1).normal(size=(photos, 1)).astype(np.float32)
    config = TrainingConfig(use_augmentation=False, batch_size=4, epochs=1, initial_learning_rate=1, model_path=PHOTOS)
    batches = Feed(np.zeros((photos, 1, 1, 3), np.uint8), losses).batches(config)
    shares = [Share(batches, index, workers) for index in range(workers)]
    assert {len(share) for share in shares} == {len(batches)}
    for number in range(len(batches)):
        parts = [share[number] for share in shares]
        assert all(len(images) == len(rows) == len(weights) for images, rows, weights in parts)
        mean = np.mean([(rows[:, 0] * weights).mean() for _, rows, weights in parts])
        assert mean == pytest.approx(batches[number][1].mean(), abs=1e-6)


def test_the_chief_comes_first():
    """A chief that TF_CONFIG names apart is worker 0, and the others follow."""
    told = {"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]}, "task": {"type": "worker", "index": 1}}
    assert read_cluster(json.dumps(told)) == Cluster(["a:1", "b:1", "c:1"], 2)
    assert read_cluster(EXAMPLE).index == 0


@pytest.mark.parametrize(
    ("tf_config", "message"),
    [
        (None, "it is not set"),
        ("{", "is not of this form"),
        ("[]", "is not of this form"),
        ('{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}', "is not of this form"),
        ('{"cluster": {"worker": [":1"]}, "task": {"type": "worker", "index": 0}}', "is not of this form"),
        ('{"cluster": {"worker": ["a..b:1"]}, "task": {"type": "worker", "index": 0}}', "is not of this form"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "the index is 1, but"),
        ('{"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}', "the type is 'ps'"),
        ('{"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}', "an address of its own"),
    ],
)
def test_a_cluster_that_cannot_be_read(tf_config, message):
    """What is wrong with TF_CONFIG is told, with one that is right."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_cluster(tf_config)
    assert EXAMPLE in str(caught.value)


@pytest.mark.parametrize(("reason", "told"), [("Connection reset\nand more", "Connection reset"), ("", "nothing")])
def test_a_lost_worker_is_told_with_what_to_do(reason, told):
    """Whatever TensorFlow gives as the reason, if anything, how to start again is right with and without a run."""
    from training.strategy import _lost

    message = str(_lost(f"Collective ops is aborted by: {reason}"))
    assert "--resume and the run folder if it has an origin.json, else with the same options" in message
    assert message.endswith(f"TensorFlow says: {told}")


@pytest.mark.parametrize("name", ["checkpoint/epoch-00000.keras", "history.csv"])
def test_a_checkpoint_of_other_contents_is_another(tmp_path, name):
    """What workers compare before they train is what the files hold, not what they are called."""
    from training.train import _fingerprint

    (tmp_path / "checkpoint").mkdir()
    (tmp_path / name).write_bytes(b"one")
    before = _fingerprint(tmp_path)
    (tmp_path / name).write_bytes(b"two")
    assert _fingerprint(tmp_path) != before


def test_workers_find_one_another():
    """All who listen where the cluster says are found, whoever comes first."""
    ports = free_ports(3)
    cluster = [f"127.0.0.1:{port}" for port in ports]
    all_found = threading.Barrier(3)

    def work(index):
        gather(Cluster(cluster, index), 60)
        with socket.create_server(("", ports[index])):  # as TensorFlow does then
            all_found.wait(60)

    with ThreadPoolExecutor() as workers:
        list(workers.map(work, range(3)))


def test_a_worker_that_never_comes_is_waited_for_no_longer():
    """The wait ends, and who is missing is named."""
    here, nobody = (f"127.0.0.1:{port}" for port in free_ports(2))
    with pytest.raises(WorkerLostError, match=f"nobody listens at {nobody}.*--worker-wait-seconds"):
        gather(Cluster([here, nobody], 0), 0.1)


def test_a_port_that_is_taken():
    """A worker that cannot listen at its own address names the port."""
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"cannot listen at port {port}"):
            gather(Cluster([f"127.0.0.1:{port}", "127.0.0.1:1"], 0), 0.1)


def test_several_workers_need_one_folder():
    """Without a folder that all name, the command says so before anything starts."""
    done = subprocess.run(
        [sys.executable, "-m", "scenery", *multi_worker("--quick")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "needs --run-dir" in done.stderr
