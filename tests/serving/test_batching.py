"""Batching: what is merged with what, who waits for whom, and who gets which error."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from scenery import wire
from serving.batching import BatchingOptions, BatchingSession, BatchObservation
from serving.errors import ServingError
from serving.runtime.session import Session
from tests.processes import wait_until
from tests.serving.models import write_half_plus

DEADLINE_SECONDS = 60.0
FOREVER_SECONDS = 3600.0
"""A batch timeout that no test sees the end of: what runs, runs because its batch is full."""


class Doubling:
    """A runner that doubles the feeds that are fetched, and remembers what it was asked."""

    def __init__(self) -> None:
        self.feeds: list[dict[str, Any]] = []
        self.timeouts: list[float | None] = []
        self.threads: list[str] = []
        self.closed = False

    def run(self, feeds, fetches, timeout_seconds=None):
        assert not self.closed
        self.feeds.append(dict(feeds))
        self.timeouts.append(timeout_seconds)
        self.threads.append(threading.current_thread().name)
        return [feeds[name] * 2 for name in fetches]

    def close(self) -> None:
        self.closed = True


class Gated(Doubling):
    """The same, but every run begins at the gate and waits until it is open."""

    def __init__(self) -> None:
        super().__init__()
        self.arrivals, self.gate = threading.Semaphore(0), threading.Event()

    def run(self, feeds, fetches, timeout_seconds=None):
        self.arrivals.release()
        assert self.gate.wait(DEADLINE_SECONDS)
        return super().run(feeds, fetches, timeout_seconds)


class Failing(Doubling):
    """The same, but it raises what it is told to if any feed holds a NaN."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def run(self, feeds, fetches, timeout_seconds=None):
        outputs = super().run(feeds, fetches, timeout_seconds)
        if any(np.isnan(array).any() for array in feeds.values()):
            raise self.error
        return outputs


class Outputs(Doubling):
    """The same, but it answers with outputs of its own."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        super().__init__()
        self.make = make

    def run(self, feeds, fetches, timeout_seconds=None):
        return [self.make(array) for array in super().run(feeds, fetches, timeout_seconds)]


@contextmanager
def batching(runner, observe=None, **options: Any) -> Iterator[BatchingSession]:
    """A session with checked options, by default of one thread, closed in the end."""
    checked = BatchingOptions(**{"num_batch_threads": 1, **options})
    checked.check()
    session = BatchingSession(runner, checked, observe)
    try:
        yield session
    finally:
        if isinstance(runner, Gated):
            runner.gate.set()
        session.close()


@pytest.fixture
def callers() -> Iterator[ThreadPoolExecutor]:
    """Threads that call at the same time."""
    with ThreadPoolExecutor(16, thread_name_prefix="caller") as pool:
        yield pool


@pytest.fixture(scope="module")
def half_plus_path(tmp_path_factory):
    return write_half_plus(tmp_path_factory.mktemp("half_plus") / "1", 2.0)


@pytest.fixture(scope="module")
def refuse_nan_path(tmp_path_factory):
    """A model that answers ``x``, and fails as a whole if any row is NaN."""
    path, v1 = tmp_path_factory.mktemp("refuse_nan") / "1", tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None], name="x")
        y = tf.identity(tf.debugging.check_numerics(x, "refused"), name="y")
        v1.saved_model.simple_save(session, str(path), {"x": x}, {"y": y})
    return path


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def strings(*rows: list[bytes]) -> np.ndarray:
    return np.array(rows, object)


def call(callers: ThreadPoolExecutor, session: BatchingSession, x, timeout_seconds=None) -> Future:
    """Call from another thread; returns once the call has a place in a queue."""
    before = session.enqueued_tasks()
    answer = callers.submit(session.run, {"x": x}, ["x"], timeout_seconds)
    wait_until(lambda: answer.done() or session.enqueued_tasks() > before, "the call to be enqueued")
    return answer


def occupy(callers: ThreadPoolExecutor, session: BatchingSession, runner: Gated) -> Future:
    """Send the only thread to the gate, with a call that can be merged with no other."""
    answer = callers.submit(session.run, {"x": np.zeros((1, 9))}, ["x"])
    assert runner.arrivals.acquire(timeout=DEADLINE_SECONDS)
    return answer


def run(session: BatchingSession, x, timeout_seconds: float | None = DEADLINE_SECONDS):
    return session.run({"x": x}, ["x"], timeout_seconds)[0]


def result(answer: Future):
    return answer.result(DEADLINE_SECONDS)[0]


def refusal(attempt: Callable[[], object]) -> tuple[str, str]:
    """Return code and message of the error that an attempt raises."""
    with pytest.raises(ServingError) as caught:
        attempt()
    return caught.value.code, caught.value.message


TIMED_OUT = ("DEADLINE_EXCEEDED", "Timed out waiting for notification")
FULL = ("UNAVAILABLE", "The batch scheduling queue to which this task was submitted is full")


# Options


def test_absent_parameters():
    """Parameters that a file leaves out have TensorFlow Serving's defaults, and pass the check."""
    options = BatchingOptions.from_proto(wire.BatchingParameters())
    options.check()
    assert options == BatchingOptions()
    assert (options.max_batch_size, options.batch_timeout_seconds, options.max_enqueued_batches) == (1000, 0.0, 10)


def test_given_parameters():
    """Every parameter of a file is read, zeros included."""
    parameters = wire.BatchingParameters(
        max_batch_size={"value": 8},
        batch_timeout_micros={"value": 1500},
        max_enqueued_batches={"value": 0},
        num_batch_threads={"value": 3},
        allowed_batch_sizes=[2, 4],
        pad_variable_length_inputs=True,
        enable_large_batch_splitting={"value": True},
        max_execution_batch_size={"value": 4},
    )
    options = BatchingOptions.from_proto(parameters)
    options.check()
    assert options == BatchingOptions(8, 0.0015, 0, 3, (2, 4), True, True, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_batch_size": 0}, "max_batch_size must be positive; was 0"),
        ({"num_batch_threads": 0}, "num_batch_threads must be positive; was 0"),
        ({"max_enqueued_batches": -1}, "max_enqueued_batches must be non-negative; was -1"),
        ({"max_execution_batch_size": -1}, "max_execution_batch_size must be non-negative; was -1"),
        ({"batch_timeout_seconds": -2e-6}, "batch_timeout_micros must be non-negative; was -2"),
        (
            {"max_batch_size": 4, "allowed_batch_sizes": (2, 8)},
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 8; expected 4",
        ),
        (
            {
                "max_batch_size": 8,
                "allowed_batch_sizes": (2, 8),
                "enable_large_batch_splitting": True,
                "max_execution_batch_size": 4,
            },
            "Last entry in allowed_batch_sizes must match max_execution_batch_size; last entry was 8; expected 4",
        ),
        (
            {"max_batch_size": 4, "allowed_batch_sizes": (2, 2, 4)},
            "allowed_batch_sizes entries must be monotonically increasing",
        ),
        (
            {"max_batch_size": 4, "enable_large_batch_splitting": True, "max_execution_batch_size": 8},
            "When enable_large_batch_splitting is true, max_batch_size must be greater than or equal to "
            "max_execution_batch_size; were 4 and 8",
        ),
    ],
)
def test_senseless_options(options, message):
    """Options that make no sense are refused in TensorFlow Serving's words."""
    assert refusal(BatchingOptions(**options).check) == ("INVALID_ARGUMENT", message)


# What is merged


def test_full_batch_is_one_run(half_plus_path, callers):
    """Calls that fill a batch are one run of the graph, and each gets its own rows."""
    observed: list[BatchObservation] = []
    session = Session(half_plus_path, ["serve"])
    with batching(session, observed.append, max_batch_size=4, batch_timeout_seconds=FOREVER_SECONDS) as merged:
        xs = [floats(1), floats(2, 3), floats(4)]
        answers = [callers.submit(merged.run, {"x:0": x}, ["y:0"], DEADLINE_SECONDS) for x in xs]
        for x, answer in zip(xs, answers, strict=True):
            np.testing.assert_array_equal(result(answer), x / 2 + 2)
    [observation] = observed
    assert (observation.batch_size, observation.padded_size) == (4, 4)
    assert len(observation.queueing_seconds) == 3
    assert min(observation.queueing_seconds) >= 0


def test_waiting_calls_are_merged_when_a_thread_is_free(callers):
    """Without a batch timeout, calls that came while all threads were busy are merged."""
    runner = Gated()
    with batching(runner) as session:
        first = occupy(callers, session, runner)
        answers = [call(callers, session, floats(value)) for value in (1, 2, 3)]
        runner.gate.set()
        assert [result(answer).item() for answer in answers] == [2, 4, 6]
        first.result(DEADLINE_SECONDS)
    assert [len(feeds["x"]) for feeds in runner.feeds] == [1, 3]


def test_task_that_does_not_fit_begins_a_batch(callers):
    """A call is never torn apart to fill a batch; the batch it does not fit in is run as it is."""
    runner = Doubling()
    with batching(runner, max_batch_size=3, batch_timeout_seconds=FOREVER_SECONDS) as session:
        small = call(callers, session, floats(1, 2))
        large = callers.submit(session.run, {"x": floats(3, 4)}, ["x"])
        np.testing.assert_array_equal(result(small), [2, 4])
        np.testing.assert_array_equal(run(session, floats(5)), [10])
        np.testing.assert_array_equal(result(large), [6, 8])
    assert [feeds["x"].tolist() for feeds in runner.feeds] == [[1, 2], [3, 4, 5]]


def test_batch_timeout():
    """A batch that does not fill is run when its first task has waited long enough."""
    with batching(Doubling(), max_batch_size=2, batch_timeout_seconds=0.01) as session:
        assert run(session, floats(1)) == [2]


@pytest.mark.parametrize(
    "odd",
    [
        ({"x": np.ones((1, 3))}, ["x"]),
        ({"x": np.ones((1, 2), np.float32)}, ["x"]),
        ({"x": np.ones((1, 2)), "z": np.ones((1, 2))}, ["x"]),
        ({"x": np.ones((1, 2))}, ["x", "x"]),
        ({"x": np.ones((1, 2, 1))}, ["x"]),
    ],
    ids=["shape", "dtype", "names", "fetches", "rank"],
)
def test_odd_calls_meet_no_other(callers, odd):
    """Calls that differ in names, fetches, types or shapes are never in one run."""
    runner = Doubling()
    usual = {"x": np.ones((1, 2))}, ["x"]
    with batching(runner, max_batch_size=2, batch_timeout_seconds=FOREVER_SECONDS) as session:
        answers = [callers.submit(session.run, *arguments, DEADLINE_SECONDS) for arguments in (usual, odd, usual, odd)]
        for answer, (feeds, fetches) in zip(answers, (usual, odd, usual, odd), strict=True):
            outputs = answer.result(DEADLINE_SECONDS)
            np.testing.assert_array_equal(outputs, [feeds[name] * 2 for name in fetches])
    assert [len(feeds["x"]) for feeds in runner.feeds] == [2, 2]


@pytest.mark.parametrize(
    ("short", "long", "merged"),
    [
        (np.ones((1, 1, 2)), np.ones((1, 2, 1)), [[[1, 1], [0, 0]], [[1, 0], [1, 0]]]),
        (strings([b"a"]), strings([b"b", b"c"]), [[b"a", b""], [b"b", b"c"]]),
    ],
    ids=["numbers", "strings"],
)
def test_variable_lengths(callers, short, long, merged):
    """With pad_variable_length_inputs, shorter inputs are padded at the end to the longest of the batch."""
    runner = Doubling()
    options = {"max_batch_size": 2, "batch_timeout_seconds": FOREVER_SECONDS, "pad_variable_length_inputs": True}
    with batching(runner, **options) as session:
        first = call(callers, session, short)
        second = run(session, long)
        assert runner.feeds[0]["x"].tolist() == merged
        assert runner.feeds[0]["x"].dtype == short.dtype
        assert len(result(first)) == len(second) == 1


def test_allowed_batch_sizes():
    """A batch is padded with its last row to the next allowed size, and nobody sees the extra rows."""
    runner, observed = Doubling(), []
    with batching(runner, observed.append, max_batch_size=8, allowed_batch_sizes=(2, 4, 8)) as session:
        np.testing.assert_array_equal(run(session, floats(1, 2, 3)), [2, 4, 6])
        np.testing.assert_array_equal(run(session, floats(1, 2)), [2, 4])
    assert [feeds["x"].tolist() for feeds in runner.feeds] == [[1, 2, 3, 3], [1, 2]]
    assert [(each.batch_size, each.padded_size) for each in observed] == [(3, 4), (2, 2)]


@pytest.mark.parametrize("feeds", [{}, {"x": np.ones((0, 2))}], ids=["no feeds", "no rows"])
def test_nothing_to_merge(feeds):
    """A call without feeds or rows goes straight through, on its caller's thread."""
    runner = Doubling()
    with batching(runner, batch_timeout_seconds=FOREVER_SECONDS) as session:
        assert [output.shape for output in session.run(feeds, list(feeds), 5.0)] == [(0, 2)] * len(feeds)
    assert runner.threads == [threading.current_thread().name]
    assert runner.timeouts == [5.0]


# Large calls


def test_large_calls_are_split(half_plus_path):
    """With splitting, a call of more rows than a run may have is cut, and its outputs are joined in order."""
    observed: list[BatchObservation] = []
    options = {"max_batch_size": 5, "enable_large_batch_splitting": True, "max_execution_batch_size": 2}
    with batching(Session(half_plus_path, ["serve"]), observed.append, **options) as session:
        x = floats(1, 2, 3, 4, 5)
        np.testing.assert_array_equal(session.run({"x:0": x}, ["y:0"], DEADLINE_SECONDS)[0], x / 2 + 2)
        assert refusal(lambda: session.run({"x:0": np.ones(6, np.float32)}, ["y:0"])) == (
            "INVALID_ARGUMENT",
            "Task size 6 is larger than maximum input batch size 5",
        )
    assert [observation.batch_size for observation in observed] == [2, 2, 1]


def test_pieces_of_different_lengths_are_joined():
    """Outputs of a split call whose lengths differ are padded to the longest, as one run would have."""
    runner = Outputs(lambda doubled: np.ones((len(doubled), int(doubled.max()))))
    with batching(runner, max_batch_size=2, enable_large_batch_splitting=True, max_execution_batch_size=1) as session:
        assert run(session, np.array([1, 2])).tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]


def test_a_piece_that_fails_fails_its_call():
    """The error of any piece of a split call is the error of the call, and no other's."""
    runner = Failing(ServingError("INTERNAL", "NaN"))
    with batching(runner, max_batch_size=4, enable_large_batch_splitting=True, max_execution_batch_size=2) as session:
        assert refusal(lambda: run(session, floats(1, 2, 3, np.nan))) == ("INTERNAL", "NaN")
        np.testing.assert_array_equal(run(session, floats(1, 2, 3)), [2, 4, 6])


# Refusals


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({"x": np.float32(1)}, "Batching Run() input tensors must have at least one dimension"),
        (
            {"x": np.ones(1), "z": np.ones(2)},
            "Batching Run() input tensors must have equal 0th-dimension size",
        ),
        ({"x": np.ones(5)}, "Task size 5 is larger than maximum input batch size 4"),
    ],
    ids=["scalar", "unequal", "too large"],
)
def test_no_batch(feeds, message):
    """Feeds that are no batch are refused before they meet another call."""
    with batching(Doubling(), max_batch_size=4) as session:
        assert refusal(lambda: session.run(feeds, ["x"])) == ("INVALID_ARGUMENT", message)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda output: output[:-1],
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
            "tensors",
        ),
        (lambda output: output.sum(), "Batched output tensor has 0 dimensions"),
    ],
    ids=["other rows", "scalar"],
)
def test_outputs_that_are_no_batch(make, message):
    """Outputs that cannot be cut into the callers' rows are refused, not guessed at."""
    with batching(Outputs(make)) as session:
        assert refusal(lambda: run(session, floats(1, 2))) == ("FAILED_PRECONDITION", message)


def test_full_queue(callers):
    """A call that finds its queue full is refused at once, and other queues still have room."""
    runner = Gated()
    with batching(runner, max_batch_size=2, max_enqueued_batches=2) as session:
        occupy(callers, session, runner)
        waiting = [call(callers, session, floats(value, value)) for value in (1, 2)]
        assert refusal(lambda: run(session, floats(3))) == FULL
        other = call(callers, session, np.ones((1, 2)))
        runner.gate.set()
        assert [result(answer).tolist() for answer in waiting] == [[2, 2], [4, 4]]
        assert result(other).tolist() == [[2, 2]]
        assert run(session, floats(3)) == [6]


def test_no_queue_is_none():
    """A limit of 0 enqueued batches still lets one wait, as in TensorFlow Serving."""
    with batching(Doubling(), max_enqueued_batches=0) as session:
        assert run(session, floats(1)) == [2]


def test_split_call_is_enqueued_whole_or_not_at_all(callers):
    """A large call whose pieces do not all find room leaves none of them behind."""
    runner = Gated()
    options = {"max_batch_size": 4, "enable_large_batch_splitting": True, "max_execution_batch_size": 1}
    with batching(runner, max_enqueued_batches=3, **options) as session:
        occupy(callers, session, runner)
        assert refusal(lambda: run(session, floats(1, 2, 3, 4))) == FULL
        assert session.enqueued_tasks() == 0


# Whose turn it is


def test_queues_take_turns(callers):
    """A caller with few requests is not kept waiting by one with many."""
    runner = Gated()
    with batching(runner, max_batch_size=1) as session:
        occupy(callers, session, runner)
        many = [call(callers, session, floats(value)) for value in (1, 2, 3)]
        few = call(callers, session, np.ones((1, 2)))
        runner.gate.set()
        for answer in (*many, few):
            answer.result(DEADLINE_SECONDS)
    assert [feeds["x"].shape for feeds in runner.feeds] == [(1, 9), (1,), (1, 2), (1,), (1,)]


def test_every_thread_works(callers):
    """A batch that is due does not wait for one that runs, as long as a thread is free."""
    runner = Gated()
    with batching(runner, num_batch_threads=2, max_batch_size=1) as session:
        occupy(callers, session, runner)
        callers.submit(session.run, {"x": floats(1)}, ["x"])
        assert runner.arrivals.acquire(timeout=DEADLINE_SECONDS)


def test_pieces_run_side_by_side(callers):
    """The pieces of a large call take as many threads as are free."""
    runner = Gated()
    options = {"max_batch_size": 2, "enable_large_batch_splitting": True, "max_execution_batch_size": 1}
    with batching(runner, num_batch_threads=2, **options) as session:
        answer = callers.submit(session.run, {"x": floats(1, 2)}, ["x"])
        for _ in range(2):
            assert runner.arrivals.acquire(timeout=DEADLINE_SECONDS)
        runner.gate.set()
        assert result(answer).tolist() == [2, 4]


def test_timeouts_of_two_queues(callers):
    """While one thread runs a batch, another wakes for the next batch that is due."""
    runner = Gated()
    with batching(runner, num_batch_threads=2, max_batch_size=2, batch_timeout_seconds=0.05) as session:
        for x in (floats(1), np.ones((1, 2))):
            callers.submit(session.run, {"x": x}, ["x"])
        for _ in range(2):
            assert runner.arrivals.acquire(timeout=DEADLINE_SECONDS)


def test_empty_queues_are_forgotten():
    """Callers choose shapes, so nothing is kept for a shape that no call waits for."""
    with batching(Doubling()) as session:
        for length in range(50):
            run(session, np.ones((1, length)))
        assert session._queues._queues == {}


# Deadlines


def test_expired_tasks_are_not_run():
    """A caller waits no longer than it said, and what nobody waits for is left out of its batch."""
    runner = Doubling()
    with batching(runner, max_batch_size=2, batch_timeout_seconds=FOREVER_SECONDS) as session:
        assert refusal(lambda: run(session, floats(1), timeout_seconds=0.01)) == TIMED_OUT
        assert run(session, floats(2)) == [4]
        assert refusal(lambda: run(session, floats(3), timeout_seconds=0.0)) == TIMED_OUT
        assert refusal(lambda: run(session, floats(4), timeout_seconds=-1.0)) == TIMED_OUT
    assert [feeds["x"].tolist() for feeds in runner.feeds] == [[2]]


def test_caller_does_not_wait_for_a_run():
    """A run that takes longer than its caller waits does not hold the caller."""
    runner = Gated()
    with batching(runner) as session:
        assert refusal(lambda: run(session, floats(1), timeout_seconds=0.05)) == TIMED_OUT


@pytest.mark.parametrize(
    ("timeouts", "expected"), [((100.0, 200.0), (100.0, 200.0)), ((100.0, None), None), ((100.0, 1e15), None)]
)
def test_merged_timeout(callers, timeouts, expected):
    """A merged run may take as long as the most patient of its callers waits."""
    runner = Doubling()
    with batching(runner, max_batch_size=2, batch_timeout_seconds=FOREVER_SECONDS) as session:
        for answer in [call(callers, session, floats(1), seconds) for seconds in timeouts]:
            assert result(answer) == [2]
    [given] = runner.timeouts
    assert given is None if expected is None else expected[0] < given <= expected[1]


# Errors


def test_only_the_bad_input_fails(refuse_nan_path, callers):
    """If a merged run fails, only the caller whose input is bad gets the error."""
    with batching(
        Session(refuse_nan_path, ["serve"]), max_batch_size=3, batch_timeout_seconds=FOREVER_SECONDS
    ) as session:
        answers = [
            callers.submit(session.run, {"x:0": floats(value)}, ["y:0"], DEADLINE_SECONDS) for value in (1, np.nan, 3)
        ]
        assert result(answers[0]) == [1]
        assert result(answers[2]) == [3]
        code, message = refusal(lambda: result(answers[1]))
    assert code == "INVALID_ARGUMENT"
    assert "refused" in message


def test_expired_tasks_are_not_run_again(callers):
    """Of a merged run that fails, only what somebody still waits for is run again."""

    def fail_late(doubled):
        if len(doubled) == 2:
            wait_until(expired.done, "the first caller to give up")
            raise ServingError("INTERNAL", "late")
        return doubled

    runner = Outputs(fail_late)
    with batching(runner, max_batch_size=2, batch_timeout_seconds=0.1) as session:
        expired = callers.submit(session.run, {"x": floats(1)}, ["x"], 0.5)
        assert run(session, floats(2)) == [4]
        with suppress(ServingError):
            result(expired)
    first, *again = (feeds["x"].tolist() for feeds in runner.feeds)
    assert len(first) == 1 or again == [[2]]  # a machine may be too slow to merge the two


def test_failed_batch_is_observed_once(callers):
    """A batch whose tasks are run again by themselves counts as one batch."""
    runner, observed = Failing(ServingError("INTERNAL", "NaN")), []
    with batching(runner, observed.append, max_batch_size=2, batch_timeout_seconds=FOREVER_SECONDS) as session:
        bad = call(callers, session, floats(np.nan))
        assert run(session, floats(1)) == [2]
        assert refusal(lambda: result(bad)) == ("INTERNAL", "NaN")
    assert [len(feeds["x"]) for feeds in runner.feeds] == [2, 1, 1]
    assert [observation.batch_size for observation in observed] == [2]


@pytest.mark.parametrize("error", [ValueError("no"), TimeoutError("no"), SystemExit("no"), KeyboardInterrupt("no")])
def test_threads_outlive_errors(error):
    """Whatever a runner raises is its caller's; the thread goes on."""
    with batching(Failing(error)) as session:
        with pytest.raises(type(error), match="no"):
            run(session, floats(np.nan))
        assert run(session, floats(1)) == [2]


def test_threads_outlive_the_observer():
    """An observer that raises disturbs no request."""

    def observe(observation: BatchObservation) -> None:
        raise RuntimeError(f"cannot write down {observation}")

    with batching(Doubling(), observe) as session:
        assert [run(session, floats(value)).item() for value in (1, 2)] == [2, 4]


def test_failed_calls_leave_nothing_behind():
    """The arrays of a call that failed are freed at once, not when the garbage collector comes."""

    def forget_and_fail(_: object) -> None:
        runner.feeds.clear()
        raise ServingError("INTERNAL", "no")

    runner = Outputs(forget_and_fail)
    x = np.zeros((1, 1))
    freed = weakref.ref(x)
    gc.disable()
    try:
        with batching(runner) as session:
            with suppress(ServingError):
                run(session, x)
            del x
            wait_until(lambda: freed() is None, "the array to be freed")
    finally:
        gc.enable()


# The end


def test_close_finishes_what_waits(callers):
    """Closing answers the calls that wait, refuses new ones, ends the threads, and closes the runner last."""
    runner = Doubling()
    with batching(runner, num_batch_threads=2, max_batch_size=2, batch_timeout_seconds=FOREVER_SECONDS) as session:
        waiting = [call(callers, session, x) for x in (floats(1), np.ones((1, 2)))]
    assert [result(answer).tolist() for answer in waiting] == [[2], [[2, 2]]]
    assert runner.closed
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batch-")]
    for feeds in ({"x": floats(1)}, {}):
        assert refusal(lambda feeds=feeds: session.run(feeds, [])) == (
            "UNAVAILABLE",
            "The batching session is closed",
        )


# All at once


@pytest.mark.parametrize(
    "options",
    [
        {"max_batch_size": 8},
        {"max_batch_size": 8, "batch_timeout_seconds": 0.001, "allowed_batch_sizes": (2, 4, 8)},
        {
            "max_batch_size": 8,
            "enable_large_batch_splitting": True,
            "max_execution_batch_size": 3,
            "max_enqueued_batches": 100,
        },
    ],
    ids=["no timeout", "allowed sizes", "splitting"],
)
def test_under_load(half_plus_path, callers, options):
    """Many callers with calls of many sizes each get the answers to their own questions."""

    def ask(seed: int) -> int:
        random = np.random.default_rng(seed)
        wrong = 0
        for _ in range(200):
            shape = (random.integers(1, 9), 2)[: random.integers(1, 3)]
            x = random.random(shape, np.float32)
            [y] = session.run({"x:0": x}, ["y:0"], DEADLINE_SECONDS)
            wrong += not np.array_equal(y, x / 2 + 2)
        return wrong

    observed: list[BatchObservation] = []
    with batching(Session(half_plus_path, ["serve"]), observed.append, num_batch_threads=3, **options) as session:
        assert sum(callers.map(ask, range(8), timeout=DEADLINE_SECONDS)) == 0
    assert max(observation.padded_size for observation in observed) <= 8
