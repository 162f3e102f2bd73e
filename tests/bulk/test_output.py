"""What is finished, what is not, and what an output may be."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from bulk.output import output_at
from bulk.part import Failure, ScoredPart, key_of, written
from bulk.pipeline import WritePart
from bulk.plan import as_lines, make_plan, part_of
from bulk.scorer import Identity
from scenery.errors import ConfigurationError, ScoringError

IDENTITY = Identity(2, "0f" * 32)
REFUSED = Failure("bad.jpg", "damaged", "It is cut off.")
UNREADABLE = Failure("away.jpg", "file-not-readable", "It is not there.")


@pytest.fixture(params=["", "disk://"])
def output(request, tmp_path):
    from tests.bulk import disk  # noqa: F401  it makes itself known to Beam

    made = output_at(f"{request.param}{tmp_path}/scores.parquet")
    made.make()
    made.begin(IDENTITY, replace=False)
    return made


def part_of_photos(*photos: str, failures: tuple[Failure, ...] = ()) -> ScoredPart:
    scores = [np.array([0.25, 0.75], np.float32)] * len(photos)
    return ScoredPart(key_of(photos), 2, ("city", "sea"), (0.25, 0.5), list(photos), scores, list(failures))


def test_a_part_is_a_row_a_photo(output, tmp_path):
    """Labels come the surest first, those at their threshold too, and each label has a column of float32."""
    output.write(part_of_photos("a.jpg", "b.jpg"))
    (file,) = (tmp_path / "scores.parquet").glob("part-*.parquet")
    table = pq.read_table(file)
    assert table.schema.names == ["photo", "version", "labels", "top", "score_city", "score_sea"]
    assert [str(each) for each in table.schema.types] == [
        "string", "int64", "list<element: string>", "string", "float", "float"
    ]  # fmt: skip
    row = {"version": 2, "labels": ["sea", "city"], "top": "sea", "score_city": 0.25, "score_sea": 0.75}
    assert table.to_pylist() == [{"photo": name, **row} for name in ("a.jpg", "b.jpg")]


def test_only_what_is_not_finished_is_planned(output):
    """Scored photos are left out, refused ones too, and those that could not be read are tried again."""
    output.write(part_of_photos("a.jpg", failures=(REFUSED, UNREADABLE)))
    found = ["a.jpg", "bad.jpg", "away.jpg", "b.jpg", "c.jpg"]
    plan = make_plan(found, output, 2, retry_failed=False)
    assert [list(part) for part in plan.parts] == [["away.jpg", "b.jpg"], ["c.jpg"]]
    assert (plan.scored_before, plan.failed_before, plan.photos) == (1, 1, 3)
    assert list(output.failures().values()) == [[REFUSED]]
    plan = make_plan(found, output, 10, retry_failed=True)
    assert [list(part) for part in plan.parts] == [["bad.jpg", "away.jpg", "b.jpg", "c.jpg"]]
    assert output.failures() == {}


def test_a_part_that_is_written_again_is_there_once(output):
    """A runner that repeats a part, even with another outcome, leaves what the last attempt found."""
    part = part_of_photos("a.jpg", "away.jpg")
    first = part_of_photos("a.jpg", failures=(UNREADABLE,))
    output.write(ScoredPart(part.key, *list(vars(first).values())[1:]))
    output.write(part)
    assert output.finished() == {part.key}
    assert output.scored() == {part.key: ["a.jpg", "away.jpg"]}
    assert output.failures() == {}


def test_a_photo_that_was_refused_in_a_part_not_finished_is_not_lost(output, tmp_path):
    """Dead letters are written first: killed in between, the rest of the part is planned again."""
    output.write(part_of_photos("a.jpg", failures=(REFUSED,)))
    next((tmp_path / "scores.parquet").glob("part-*")).unlink()
    plan = make_plan(["a.jpg", "bad.jpg"], output, 10, retry_failed=False)
    assert [list(part) for part in plan.parts] == [["a.jpg"]]


def test_scores_of_two_models_are_not_mixed(output):
    """Another version, or another model of that number, is refused, until its scores are to be replaced."""
    output.write(part_of_photos("a.jpg", failures=(REFUSED,)))
    for other in (Identity(3, IDENTITY.digest), Identity(2, "1e" * 32)):
        with pytest.raises(ConfigurationError, match=r"has scores of version 2 .*--replace"):
            output.begin(other, replace=False)
    assert output.finished()
    output.begin(other, replace=True)
    assert not output.finished()
    assert not output.failures()
    output.begin(other, replace=False)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    """Neither a folder with other files nor a file is written to, not even to replace it."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other/data.csv").write_text("mine")
    with pytest.raises(ConfigurationError, match="holds files that are no scores"):
        output_at(f"{tmp_path}/other").begin(IDENTITY, replace=True)
    for place in ("other/data.csv", "other/data.csv/scores"):
        with pytest.raises(ConfigurationError, match="is a file, and scores are a folder"):
            output_at(f"{tmp_path}/{place}").make()
    assert (tmp_path / "other/data.csv").read_text() == "mine"


def test_a_damaged_part_is_named(output, tmp_path):
    """A file that cannot be read says what to do: removed, its photos are scored again."""
    part = part_of_photos("a.jpg")
    output.write(part)
    (tmp_path / f"scores.parquet/part-{part.key}.parquet").write_bytes(b"PAR1")
    with pytest.raises(ConfigurationError, match=rf"part-{part.key}\.parquet cannot be read.*or remove it"):
        make_plan(["a.jpg"], output, 10, retry_failed=False)


def test_what_a_killed_run_had_begun_to_write_is_removed(output, tmp_path):
    """Half a part is no part, and does not stay; nor does the plan, without which workers left over write nothing."""
    left = (".0123abcd.part-0123456789abcdef.parquet", output.write_plan(b"").rpartition("/")[2])
    for name in left:
        (tmp_path / "scores.parquet" / name).write_bytes(b"")
    assert not output.finished()
    output.begin(IDENTITY, replace=False)
    assert [file.name for file in (tmp_path / "scores.parquet").iterdir()] == ["_scenery.json"]


def test_one_run_at_a_time_writes_an_output(tmp_path):
    """A second run is told of the first, and another output is free."""
    output = output_at(f"{tmp_path}/scores.parquet")
    output.make()
    code = "import sys; from bulk.output import output_at\nwith output_at(sys.argv[1]).alone(): print(1)"
    with output.alone():
        done = subprocess.run([sys.executable, "-c", code, output.scores], capture_output=True, text=True, check=False)
    assert f"Another run is writing {output.scores}" in done.stderr


def test_a_plan_carries_any_name():
    """Names that are no text, with line ends in them, come back as they were."""
    parts = [["a\nb.jpg", "\udcff.jpg", "Küste 🌊.jpg"], ["c.jpg"]]
    read = [part_of(line) for line in as_lines(parts).decode().splitlines()]
    assert [[os.fsdecode(path) for path in part] for part in read] == parts


def test_a_worker_whose_run_was_taken_over_writes_nothing(output):
    """A part of a plan that another run has removed would be there twice."""
    writer = WritePart(output, output.write_plan(b""), patience_seconds=0)
    writer.process(part_of_photos("a.jpg"))
    output.begin(IDENTITY, replace=False)
    with pytest.raises(ScoringError, match="Another run has begun"):
        writer.process(part_of_photos("b.jpg"))
    assert list(output.scored().values()) == [["a.jpg"]]


def test_two_outputs_share_nothing(tmp_path):
    """With or without a suffix, each output has dead letters of its own."""
    assert output_at(f"{tmp_path}/s/").failed == f"{tmp_path}/s.failed"
    assert output_at(f"{tmp_path}/s.parquet").failed == f"{tmp_path}/s.parquet.failed"


def test_dead_letters_end_with_their_scores(output, tmp_path):
    """Who removes the folder of scores begins anew: no photo counts as refused before."""
    output.write(part_of_photos("a.jpg", failures=(REFUSED,)))
    for file in (tmp_path / "scores.parquet").iterdir():
        file.unlink()
    output.begin(IDENTITY, replace=False)
    assert output.failures() == {}


def test_a_model_that_scored_nothing_claims_nothing(output):
    """Another one may take up an output in which no photo has scores or a dead letter."""
    other = Identity(3, IDENTITY.digest)
    output.begin(other, replace=False)
    output.write(part_of_photos(failures=(REFUSED,)))
    with pytest.raises(ConfigurationError, match="has scores of version 3"):
        output.begin(IDENTITY, replace=False)


def test_a_part_that_is_planned_again_is_not_finished(output):
    """Photos that all failed make the same part once more, which counts when it is scored, and not before."""
    key = key_of(["away.jpg"])
    empty = part_of_photos(failures=(UNREADABLE,))
    output.write(ScoredPart(key, *list(vars(empty).values())[1:]))
    plan = make_plan(["away.jpg"], output, 10, retry_failed=False)
    assert plan.sizes == {key: 1}
    assert output.finished() == set()


def test_no_two_names_are_written_alike():
    """A byte that is no text and the letters that stand for it are two photos, and plain names stay as they are."""
    names = [r"\xff", "\udcff", "\\" + "\udcff", r"\\xff", r"a\b", "Küste"]
    assert len(set(map(written, names))) == len(names)
    assert [written(name) for name in ("\udcff.jpg", *names[-2:])] == [r"\xff.jpg", r"a\b", "Küste"]
