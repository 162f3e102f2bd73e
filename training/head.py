"""Where the head starts: as the best linear classifier on what the backbone sees already.

Fine-tuning from a head of random numbers first bends the backbone's features to fit these; from a fitted one it keeps
what is good in them (Kumar et al. 2022, arXiv:2202.10054).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from training.config import TrainingConfig
from training.feed import Feed
from training.network import FEATURES, SCORES

VIEWS = 4
"""How often each photo is seen, changed by the recipe otherwise each time."""

INVERSE_STRENGTH = 0.006
"""The inverse of the ridge, on features of unit variance, for a photo seen once: the best of five in
five-fold cross-validation, by source, of the shipped photos."""

MOST_SEEN = 20_000
"""Views of photos in all, which bounds the memory: 10 KB each, twice."""

_FIRST_VIEW = 1_000_000
"""The number of the first view among the epochs: none that training uses."""

Floats = npt.NDArray[np.float32]


def start_head(network: Any, training: Feed, config: TrainingConfig) -> None:
    """Give the network's last layer the weights of a logistic regression a label, on the frozen backbone's features.

    Labels that all of the photos have, or none, are left as they are.
    """
    views = VIEWS if config.use_augmentation else 1
    features, targets = _see(network, training, config, views)
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation[deviation == 0] = 1
    features -= mean
    features /= deviation
    last = network.get_layer(SCORES)
    kernel, bias = last.get_weights()
    for place, target in enumerate(targets.T):
        if len(np.unique(target)) == 2:
            weights, intercept = _regress(features, target, views)
            kernel[:, place] = weights / deviation
            bias[place] = intercept - kernel[:, place] @ mean
    last.set_weights([kernel, bias])


def _see(network: Any, training: Feed, config: TrainingConfig, views: int) -> tuple[Floats, Floats]:
    """Return features [views, channels] and targets [views, labels] of photos, each seen so many times."""
    config = dataclasses.replace(config, mixup=0.0)  # a classifier is fitted to labels that are 0 or 1
    eye = keras.Model(network.input, network.get_layer(FEATURES).output)
    features, targets = [], []
    for view in range(views):
        batches = training.epoch(config, _FIRST_VIEW + view, MOST_SEEN // views)
        features.append(eye.predict(batches, verbose=0))
        targets.append(batches.targets)
    return np.concatenate(features), np.concatenate(targets)


def _regress(features: Floats, target: Floats, views: int) -> tuple[Floats, float]:
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=INVERSE_STRENGTH / views, max_iter=500).fit(features, target)
    return fitted.coef_[0], float(fitted.intercept_[0])
