"""What a photo costs in the shipped version, in counts that no machine changes: operations and bytes, not seconds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.framework import node_def_pb2, step_stats_pb2

from scenery import contract
from tests.photographs import encode
from tests.processes import PHOTOS, ROOT

PHOTO = PHOTOS / "0546.jpg"
"""400 pixels wide."""
NETWORK_BYTES = 224 * 224 * 3
"""Of the pixels that the network sees."""
CONVOLUTIONS = {"Conv2D": 35, "DepthwiseConv2dNative": 17}
"""MobileNetV2's own."""


@dataclass(frozen=True)
class Executed:
    """An operation that ran, as the runtime had rewritten it."""

    node: node_def_pb2.NodeDef
    stats: step_stats_pb2.NodeExecStats

    def output_bytes(self) -> int:
        described = (output.tensor_description for output in self.stats.output)
        return sum(
            int(np.prod([d.size for d in each.shape.dim])) * tf.dtypes.as_dtype(each.dtype).size for each in described
        )


@pytest.fixture(scope="module")
def loaded():
    with tf.compat.v1.Session(graph=tf.Graph()) as session, session.graph.as_default():
        yield session, tf.compat.v1.saved_model.load(session, ["serve"], str(ROOT / "models/scenery/1"))


@pytest.fixture(scope="module")
def network(loaded) -> list[node_def_pb2.NodeDef]:
    """The nodes from the decoded pixels to the scores."""
    _, meta_graph = loaded
    return [node for node in meta_graph.graph_def.node if node.name.startswith("network/")]


@pytest.fixture(scope="module", params=["400 pixels", "12 megapixels"])
def executed(request, loaded) -> list[Executed]:
    """What runs for one photo; the second time, when nothing is set up any more."""
    session, meta_graph = loaded
    photo = PHOTO.read_bytes()
    if request.param == "12 megapixels":
        photo = encode(Image.open(PHOTO).resize((4000, 3000)), "JPEG")
    signature = meta_graph.signature_def[contract.SIGNATURE_CLASSIFY]
    feeds = {signature.inputs[contract.INPUT_IMAGE_BYTES].name: np.array([photo], object)}
    scores = signature.outputs[contract.OUTPUT_SCORES].name
    options = tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE, output_partition_graphs=True)
    session.run(scores, feeds, options=options)
    metadata = tf.compat.v1.RunMetadata()
    session.run(scores, feeds, options=options, run_metadata=metadata)
    nodes = {node.name: node for graph in metadata.partition_graphs for node in graph.node}
    ran = [stats for device in metadata.step_stats.dev_stats for stats in device.node_stats]
    return [Executed(nodes[stats.node_name], stats) for stats in ran if stats.node_name in nodes]


def test_nothing_is_normalised_padded_or_restored(loaded, network):
    """Batch normalisation and padding are in the convolutions, and weights are constants, each there once."""
    _, meta_graph = loaded
    operations = Counter(node.op for node in network)
    assert {name: operations[name] for name in CONVOLUTIONS} == CONVOLUTIONS
    assert not {name for name in operations if "Norm" in name or "Pad" in name or "Rsqrt" in name}
    everywhere = [*meta_graph.graph_def.node, *(n for f in meta_graph.graph_def.library.function for n in f.node_def)]
    assert not {node.op for node in everywhere if "Var" in node.op or "Restore" in node.op}
    weights = sum(
        int(np.prod(tf.make_ndarray(node.attr["value"].tensor).shape)) for node in network if node.op == "Const"
    )
    assert weights < 2_300_000
    assert meta_graph.ByteSize() < 4.5 * weights


def test_every_convolution_runs_with_its_bias(executed):
    """TensorFlow fuses them as it fuses constants; the depthwise ones too where oneDNN computes."""
    operations = Counter(each.node.op for each in executed)
    fused = sum(count for name, count in operations.items() if name.endswith("FusedConv2D"))
    assert fused == CONVOLUTIONS["Conv2D"]
    assert not {name for name in operations if "Norm" in name or "Pad" in name} - {"DecodePaddedRaw"}


def test_a_photo_is_decoded_once_and_small(executed):
    """At the smallest scale that covers the network's input: less than five times its pixels, whatever it had."""
    (decoded,) = (each for each in executed if each.node.op == "DecodeJpeg")
    assert NETWORK_BYTES <= decoded.output_bytes() < 5 * NETWORK_BYTES


def test_bytes_are_resized_not_floats(executed):
    """The only floats before the network are those that the resizing itself computes."""
    (resized,) = (each for each in executed if each.node.op == "ResizeBilinear")
    assert resized.node.attr["T"].type == tf.uint8.as_datatype_enum
    floats = [
        each
        for each in preparing(executed)
        if any(o.tensor_description.dtype == tf.float32.as_datatype_enum for o in each.stats.output)
    ]
    assert max(each.output_bytes() for each in floats) == 4 * NETWORK_BYTES


def test_what_precedes_the_network_is_bounded(executed):
    """So many operations run, and write so many bytes, before the network's first; more is a step back."""
    before = preparing(executed)
    assert len(before) <= 630
    assert sum(each.output_bytes() for each in before) <= 30 * NETWORK_BYTES


def preparing(executed: list[Executed]) -> list[Executed]:
    """Return what ran outside the network."""
    return [each for each in executed if not each.node.name.startswith("network/")]
