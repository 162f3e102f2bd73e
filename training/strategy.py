"""Several workers that train one network together: each takes its rows of every batch, gradients are averaged.

Every worker runs the same training on a network of its own; what one needs of the others goes through the methods of
:class:`Workers`, which all of them call in the same order. See docs/adr/0020-training-on-several-machines.md.
"""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from scenery.errors import DataError
from training.cluster import ONE, WorkerLostError, gather, read_cluster
from training.feed import Batches, Share

_ABORTED = "Collective ops is aborted by: "
"""What TensorFlow writes before the reason, whatever the class of the error."""

_JOIN_SECONDS = 120
"""From when all workers were found to when TensorFlow has connected them: a second, if their TF_CONFIGs agree."""


class Workers:
    """Those who train one network, as one of them sees it; without a strategy there is only this one."""

    def __init__(self, strategy: Any = None, index: int = 0) -> None:
        self._strategy = strategy
        self._replica: Any = None
        self.index = index
        self.count: int = strategy.num_replicas_in_sync if strategy else 1

    @property
    def is_chief(self) -> bool:
        """Whether this is the one who writes the run folder and tells of the progress."""
        return self.index == 0

    def meet(self) -> None:
        """Wait until all workers are here."""
        self.total(np.zeros(1, np.float32))

    def total(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the sum of what all workers give: floats of one shape."""
        if not self._strategy:
            return values
        summed: npt.NDArray[Any] = self._strategy.reduce("SUM", tf.constant(values), axis=None).numpy()
        return summed

    def chiefs(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return what the chief gives: floats of the shape that all give."""
        return self.total(values if self.is_chief else np.zeros_like(values))

    def take_the_chiefs(self, network: Any) -> None:
        """Give all networks the chief's weights, as one sum: processors of another kind round otherwise."""
        if not self._strategy:
            return
        own = network.get_weights()
        flat = self.chiefs(np.concatenate([weights.ravel() for weights in own]))
        parts = np.split(flat, np.cumsum([weights.size for weights in own])[:-1])
        network.set_weights([part.reshape(weights.shape) for part, weights in zip(parts, own, strict=True)])

    def chief_says(self, answer: bool) -> bool:
        """Return the chief's answer, whatever the others make of rounded figures."""
        return bool(self.chiefs(np.array([answer], np.float32))[0])

    def mean_figure(self, figure: float) -> float:
        """Return the mean of what all workers give."""
        return float(self.total(np.array([figure], np.float64))[0] / self.count)

    def agree(self, digest: bytes, run_dir: Path) -> None:
        """Raise ``DataError`` in all workers, if one has another digest of ``run_dir`` than the chief."""
        own = np.frombuffer(digest, np.uint8).astype(np.float32)
        differs = (own != self.chiefs(own)).any()
        differing = self.total(np.eye(self.count, dtype=np.float32)[self.index] * differs)
        if differing.any():
            others = ", ".join(map(str, np.flatnonzero(differing)))
            raise DataError(
                f"Worker {others} reads another run in {run_dir} than the chief. "
                "Give all workers the same --run-dir or --resume, on a file system that they share."
            )

    def part(self, count: int) -> npt.NDArray[np.int64]:
        """Return which of so many photos are this worker's, where each photo is one worker's."""
        return np.array_split(np.arange(count), self.count)[self.index]

    def share(self, batches: Batches) -> Batches | Share:
        """Return this worker's rows of each batch."""
        return Share(batches, self.index, self.count) if self._strategy else batches

    def averaging(self, network: Any) -> Any:
        """Return a compiled network as one whose ``fit`` takes steps that all workers take alike.

        It is the same one until the network is compiled anew.
        """
        if not self._strategy:
            return network
        if self._replica is None or self._replica.optimizer is not network.optimizer:
            self._replica = _Replica(network, self)
        return self._replica

    def mean(self, tensors: list[Any]) -> list[Any]:
        """Return the mean over all workers of each tensor, inside of a ``tf.function``."""
        context = tf.distribute.get_replica_context

        def on_this_worker() -> Any:  # the identities lie where the worker computes: it sends nothing else
            return context().all_reduce(tf.distribute.ReduceOp.MEAN, [tf.identity(tensor) for tensor in tensors])

        means: list[Any] = self._strategy.run(on_this_worker)
        return means


ALONE = Workers()


@contextmanager
def joined(strategy: str, wait_seconds: float) -> Iterator[Workers]:
    """Join the other workers, and leave when all are done; call it before anything of TensorFlow's runs.

    A worker uses the first GPU that it sees.

    Raises
    ------
    ConfigurationError
        If ``TF_CONFIG`` is missing or wrong.
    WorkerLostError
        If another worker does not come within ``wait_seconds``, or ends before all are done.
    """
    cluster = None if strategy == ONE else read_cluster(os.environ.get("TF_CONFIG"))
    if cluster is None or len(cluster.addresses) == 1:
        yield ALONE
        return
    gather(cluster, wait_seconds)
    workers = Workers(_connected(), cluster.index)
    try:
        yield workers
        workers.meet()
    except tf.errors.OpError as error:
        if _ABORTED not in str(error):
            raise
        raise _lost(str(error)) from error


def _lost(told: str) -> WorkerLostError:
    """Return the error of who cannot go on, for what TensorFlow told."""
    reason = told.partition(_ABORTED)[2].splitlines() or ["nothing"]
    return WorkerLostError(
        "Another worker has ended, or cannot be reached any more; its own output says why. Mend that, and start all "
        "of them again: with --resume and the run folder if it has an origin.json, else with the same options. "
        f"TensorFlow says: {reason[0]}"
    )


def _connected() -> Any:
    """Return TensorFlow's strategy, connected with all that ``TF_CONFIG`` names."""
    tf.config.set_visible_devices(tf.config.list_physical_devices("GPU")[:1], "GPU")
    click.echo(
        f"all workers are here, and connect; a Timeout after {_JOIN_SECONDS} s means that one of them went away again, "
        "or that their TF_CONFIGs name different workers: correct that, and start all of them again",
        err=True,
    )
    # TensorFlow holds the interpreter meanwhile: of what Python has, only this ends a wait for who went away again.
    faulthandler.dump_traceback_later(_JOIN_SECONDS, exit=True)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    finally:
        faulthandler.cancel_dump_traceback_later()


class _Replica(keras.Model):  # type: ignore[misc]
    """A worker's copy of a network, with the network's own layers and optimizer, which steps by the mean gradient."""

    def __init__(self, network: Any, workers: Workers) -> None:
        super().__init__(name=network.name)
        self.network = network
        self._workers = workers
        self.compile(network.optimizer, network.loss, weighted_metrics=["binary_accuracy"], jit_compile=False)

    def call(self, images: Any, training: bool = False) -> Any:
        """Score images as the network does."""
        return self.network(images, training=training)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Take one step, all workers together; ``data`` is this worker's share of the batch."""
        images, targets, weights = data
        with tf.GradientTape() as tape:
            scores = self(images, training=True)
            loss = self.compute_loss(images, targets, scores, weights)
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, self.trainable_variables)
        photos = tf.math.count_nonzero(weights, dtype=tf.float32)
        loss, photos, *gradients = self._workers.mean([loss, photos, *gradients])
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss, sample_weight=photos)  # the batch's, alike for all workers
        results: dict[str, Any] = self.compute_metrics(images, targets, scores, weights)
        return results
