"""``tf.Example``s: how Classify, Regress and MultiInference hand a model its input."""

from __future__ import annotations

import numpy as np

from scenery import wire
from scenery.wire.tensors import Array
from serving.errors import invalid_argument


def serialized_examples(given: wire.Input) -> Array:
    """Serialize the examples of an ``Input`` → string [n].

    An example's own features win over those of the context, if there is one.

    Raises
    ------
    ServingError
        If there are none.
    """
    kind = given.WhichOneof("kind")
    if kind == "example_list_with_context":
        context = given.example_list_with_context.context
        examples = [_merged(context, example) for example in given.example_list_with_context.examples]
    else:
        examples = list(given.example_list.examples)
    if not examples:
        raise invalid_argument("Input is empty.")
    array = np.empty(len(examples), object)
    array[:] = [example.SerializeToString() for example in examples]
    return array


def _merged(context: wire.Example, example: wire.Example) -> wire.Example:
    merged = wire.Example()
    for source in (context, example):
        for name, feature in source.features.feature.items():
            merged.features.feature[name].CopyFrom(feature)
    return merged
