"""Labels that a model which did not see the photo contradicts with confidence.

The idea is that of confident learning (Northcutt et al. 2021, arXiv:1911.00068): every photo is
scored out of fold; a label is suspicious where the score of the other value reaches the mean score
that photos *of* that value get. Scores come from one logistic regression a label on the features
of a network that never saw these labels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from training.checks.finding import Check, Finding
from training.config import DataConfig
from training.dataset import sources
from training.features import Features

SUSPICIOUS = Check(
    "suspicious-label", "hint", "Look at the photos, the first ones first; correct the table where it is wrong."
)

FOLDS = 5

MIN_PHOTOS = 10
"""A label with fewer photos of either kind is not judged."""

_COMPONENTS = 512
_INVERSE_REGULARISATION = 3e-3
"""With 512 components as good, in average precision out of fold, as all features, and many times faster."""

Column = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]


def check_suspicious(table: pd.DataFrame, config: DataConfig, features: Features) -> list[Finding]:
    """Find suspicious labels, the most suspicious first.

    Parameters
    ----------
    features
        Of the table's photos, in its order: see :func:`training.features.features_of`.
    """
    groups = sources(table, config).to_numpy()
    principal = _principal(features)
    names = table[config.image_name_col].to_numpy()
    findings: list[Finding] = []
    for label in config.targets:
        given = table[label].to_numpy()
        findings += _doubts(names, label, given, out_of_fold(principal, given, groups))
    return sorted(findings, key=_certainty, reverse=True)


def _principal(features: Features) -> Matrix:
    """Reduce the features to what most tells these photos apart; labels have no part in it."""
    components = min(_COMPONENTS, *features.shape)
    reduce = make_pipeline(StandardScaler(), PCA(components, random_state=0))
    principal: Matrix = reduce.fit_transform(features.astype(np.float32))
    return principal


def out_of_fold(features: Matrix, given: Integers, groups: npt.NDArray[np.object_]) -> Column:
    """Score each photo by a model that saw neither it nor another of its source.

    Returns
    -------
    float64 [n], in [0, 1]; nan where the other folds do not hold both values, or too few photos.
    """
    scores = np.full(len(given), np.nan)
    folds = min(FOLDS, len(set(groups)))
    if folds < 2 or min(np.bincount(given, minlength=2)) < MIN_PHOTOS:
        return scores
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
    for others, these in splitter.split(given, given, groups):
        if len(set(given[others])) == 2:
            model = LogisticRegression(C=_INVERSE_REGULARISATION, class_weight="balanced", max_iter=1000)
            scores[these] = model.fit(features[others], given[others]).predict_proba(features[these])[:, 1]
    return scores


def _doubts(names: npt.NDArray[np.object_], label: str, given: Integers, scores: Column) -> Iterator[Finding]:
    """Doubt each label whose other value is as likely as it is on the photos that have it."""
    judged = ~np.isnan(scores)
    for value, likelihood in ((0, 1 - scores), (1, scores)):
        alike = likelihood[judged & (given == value)]
        if not len(alike):
            continue
        for place in np.flatnonzero(judged & (given != value) & (likelihood >= alike.mean())):
            name, score = str(names[place]), round(float(scores[place]), 4)
            finding = SUSPICIOUS.found(f"{name}: {label} is {1 - value}, and might be {value}.", [name], [label])
            yield dataclasses.replace(finding, suggested=value, score=score)


def _certainty(finding: Finding) -> float:
    score = finding.score or 0.0
    return score if finding.suggested else 1 - score
