"""Scores to labels."""

from __future__ import annotations

import pytest

from proxy.labels import Description, describe_unnamed, label_scores, narrow

DESCRIPTION = Description(("beach", "city", "sunset"), (0.5, 0.4, 0.9))


def test_scores_get_names_and_thresholds():
    """Each score is held to its own threshold; the surest label comes first."""
    labelling = label_scores(DESCRIPTION, [0.5, 0.8, 0.85])
    assert labelling.scores == {"beach": 0.5, "city": 0.8, "sunset": 0.85}
    assert labelling.labels == ["city", "beach"]
    assert (labelling.top_index, labelling.top_label) == (2, "sunset")


def test_no_label_at_all():
    """A photo of nothing known has no label, and still a top class."""
    labelling = label_scores(DESCRIPTION, [0.1, 0.05, 0.0])
    assert labelling.labels == []
    assert labelling.top_label == "beach"


def test_a_wrong_number_of_scores_is_refused():
    """Scores that the labels do not fit are never mislabelled."""
    with pytest.raises(ValueError, match="zip"):
        label_scores(DESCRIPTION, [0.5, 0.5])


@pytest.mark.parametrize(
    ("threshold", "top", "labels", "scores"),
    [
        (None, None, ["city", "beach"], ["beach", "city", "sunset"]),
        (0.85, None, ["sunset"], ["beach", "city", "sunset"]),
        (0, 2, ["sunset", "city"], ["sunset", "city"]),
        (None, 1, [], ["sunset"]),
        (None, 9, ["city", "beach"], ["sunset", "city", "beach"]),
    ],
)
def test_a_labelling_is_narrowed_to_what_was_asked(threshold, top, labels, scores):
    """A threshold cuts all labels alike; the highest scores come surest first, and no label without its score."""
    told = narrow(label_scores(DESCRIPTION, [0.5, 0.8, 0.85]), threshold, top)
    assert (told.labels, list(told.scores)) == (labels, scores)
    assert (told.top_index, told.top_label) == (2, "sunset")


def test_scores_without_names():
    """They are numbered, unless there is a name for each; cut in the middle."""
    assert describe_unnamed(2, ()) == Description(("0", "1"), (0.5, 0.5), "index")
    assert describe_unnamed(2, ("a", "b")) == Description(("a", "b"), (0.5, 0.5), "setting")
    assert describe_unnamed(2, ("a", "b", "c")).source == "index"
