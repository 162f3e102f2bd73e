"""Which operations a SavedModel may be published with."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest
import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from export.gate.operations import (
    _LIKE_AN_OPERATION,
    Refused,
    allowed,
    operations_of,
    read_saved_model,
    refused_operations,
)
from export.gate.saver import SAVER_ONLY
from scenery.errors import ExportError

v1 = tf.compat.v1
SHIPPED = Path(__file__).parents[2] / "models" / "scenery" / "1"
STRING = tf.TensorSpec([], tf.string)


def saved(folder, function):
    """Save a function of one string as a SavedModel, and parse it."""
    module = tf.Module()
    module.f = tf.function(function, input_signature=[STRING])
    tf.saved_model.save(module, str(folder), signatures=module.f)
    return read_saved_model(folder)


@pytest.fixture(scope="module")
def with_variables(tmp_path_factory):
    """A module with a variable and two tables, as ``tf.saved_model.save`` writes it."""
    module = tf.Module()
    module.weight = tf.Variable([1.0, 2.0])
    words = tf.lookup.KeyValueTensorInitializer(["a"], tf.constant([1], tf.int64))
    module.words = tf.lookup.StaticHashTable(words, 0)
    module.seen = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, 0)

    def score(text):
        return module.weight * tf.cast(module.words.lookup(text) + module.seen.lookup(text), tf.float32)

    module.score = tf.function(score, input_signature=[STRING])
    folder = tmp_path_factory.mktemp("variables")
    tf.saved_model.save(module, str(folder), signatures=module.score)
    return folder


@pytest.fixture(scope="module")
def from_session(tmp_path_factory):
    """A graph with variables of both kinds, as the builder of TensorFlow 1 writes it."""
    folder = tmp_path_factory.mktemp("session") / "1"
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        x = v1.placeholder(tf.float32, [None], name="x")
        y = x * v1.get_variable("v", [1], use_resource=False) + v1.get_variable("w", [1], use_resource=True)
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(folder), {"x": x}, {"y": y})
    return folder


def node_with(nodes, op):
    return next(node for node in nodes if node.op == op)


def function_with(meta_graph, op):
    return next(f for f in meta_graph.graph_def.library.function if any(node.op == op for node in f.node_def))


def found(saved_model):
    return {refused.operation for refused in refused_operations(saved_model)}


def test_the_shipped_model_may_be_published():
    """What Scenery exports holds nothing but listed operations."""
    shipped = read_saved_model(SHIPPED)
    assert refused_operations(shipped) == []
    assert operations_of(shipped) == 1655


def test_an_export_of_keras_may_be_published(tmp_path):
    """A Keras model with trained layers passes, its saver and gradients included."""
    network = keras.Sequential(
        [
            keras.Input((8, 8, 3), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3, activation="swish"),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, activation="sigmoid"),
        ]
    )
    network.export(str(tmp_path / "1"), verbose=0)
    saved_model = read_saved_model(tmp_path / "1")
    assert refused_operations(saved_model) == []
    assert function_with(saved_model.meta_graphs[0], "SaveV2")


def test_variables_and_tables_may_be_published(with_variables, from_session):
    """A saver's operations pass where it leads, in a function or in the graph."""
    assert refused_operations(read_saved_model(with_variables)) == []
    assert refused_operations(read_saved_model(from_session)) == []


def mapped(text):
    tf.raw_ops.ImmutableConst(dtype=tf.float32, shape=[1], memory_region_name="a file")
    return text


@pytest.mark.parametrize(
    ("operation", "function"),
    [
        ("ReadFile", tf.io.read_file),
        ("WriteFile", lambda text: [tf.io.write_file(text, text), text][1]),
        ("MatchingFiles", tf.io.matching_files),
        ("PyFunc", lambda text: tf.numpy_function(lambda given: given, [text], tf.string)),
        ("EagerPyFunc", lambda text: tf.py_function(lambda given: given, [text], tf.string)),
        ("PrintV2", lambda text: [tf.print(text), text][1]),
        ("DecodeProtoV2", lambda text: tf.io.decode_proto([text], "a.B", ["c"], [tf.int64]).values[0]),
        ("ImmutableConst", mapped),
    ],
)  # fmt: skip
def test_what_does_more_than_compute_is_refused(tmp_path, operation, function):
    """Files, Python and printing are refused wherever they stand."""
    assert operation in found(saved(tmp_path, function))


def called(text):
    inner = tf.function(tf.io.read_file)
    return tf.function(lambda given: inner(given))(text)


def looped(text):
    return tf.while_loop(lambda i, _: i < 2, lambda i, given: (i + 1, tf.io.read_file(given)), (0, text))[1]


def branched(text):
    return tf.cond(tf.equal(text, ""), lambda: text, lambda: tf.io.read_file(text))


def switched(text):
    return tf.switch_case(tf.strings.length(text), [lambda: text, lambda: tf.io.read_file(text)])


@pytest.mark.parametrize("function", [called, looped, branched, switched])
def test_what_hides_in_a_function_of_a_function_is_refused(tmp_path, function):
    """Calls, loops and branches are functions of the library, and all of it is looked into."""
    refused = refused_operations(saved(tmp_path, function))
    assert {each.operation for each in refused} == {"ReadFile"}
    assert all(each.function for each in refused)


def test_a_refusal_names_operation_node_and_function(tmp_path):
    """Whoever exported the model finds the line to change, and no escape sequence reaches the terminal."""
    refused = refused_operations(saved(tmp_path, looped))[0]
    assert str(refused) == (
        f"'ReadFile' (node {refused.node!r} of the function {refused.function!r}) is not on the list of operations "
        "that only compute. Export a graph without it."
    )
    assert "node '\\x1b[2J' of the graph" in str(Refused("ReadFile", "\x1b[2J", None))


def test_every_graph_of_a_file_is_looked_into(with_variables):
    """A graph with another tag does not pass unseen."""
    saved_model = read_saved_model(with_variables)
    other = saved_model.meta_graphs.add()
    other.meta_info_def.tags.append("train")
    other.graph_def.node.add(name="read", op="ReadFile")
    assert refused_operations(saved_model) == [Refused("ReadFile", "read", None)]


def test_saving_by_a_signature_is_refused(from_session):
    """That a saver needs an operation does not let a client run it."""
    saved_model = read_saved_model(from_session)
    meta_graph = saved_model.meta_graphs[0]
    save = node_with(meta_graph.graph_def.node, "SaveV2")
    meta_graph.graph_def.node.add(name="out", op="Identity", input=["x", f"^{save.name}"])
    meta_graph.signature_def["serving_default"].outputs["y"].name = "out:0"
    assert found(saved_model) == {"SaveV2", "ShardedFilename"}


def test_saving_by_a_component_of_a_signature_is_refused(from_session):
    """Tensors of which a signature's sparse and composite ones are made count as its own."""
    saved_model = read_saved_model(from_session)
    meta_graph = saved_model.meta_graphs[0]
    component = meta_graph.signature_def["serving_default"].outputs["z"].composite_tensor.components.add()
    component.coo_sparse.values_tensor_name = node_with(meta_graph.graph_def.node, "ShardedFilename").name + ":0"
    assert found(saved_model) == {"ShardedFilename"}


def test_saving_by_a_function_of_a_signature_is_refused(with_variables):
    """A call of the saver's function from a signature is found, even through an attribute that is only a string."""
    for kind in ("func", "s"):
        saved_model = read_saved_model(with_variables)
        meta_graph = saved_model.meta_graphs[0]
        name = function_with(meta_graph, "SaveV2").signature.name
        call = meta_graph.graph_def.node.add(name="out", op="StatefulPartitionedCall", input=["saver_filename"])
        if kind == "func":
            call.attr["f"].func.name = name
        else:
            call.attr["f"].s = name.encode()
        meta_graph.signature_def["serving_default"].outputs["y"].name = "out:0"
        assert found(saved_model) == {"SaveV2", "ShardedFilename", "MergeV2Checkpoints"}


def test_saving_by_a_function_that_may_replace_another_is_refused(with_variables):
    """TensorFlow's optimiser swaps functions that say they implement the same interface."""
    meta_graph = (saved_model := read_saved_model(with_variables)).meta_graphs[0]
    for op in ("SaveV2", "LookupTableFindV2"):
        function_with(meta_graph, op).attr["api_implements"].s = b"lstm"
    assert "SaveV2" in found(saved_model)


@pytest.mark.parametrize("key", ["saved_model_main_op", "legacy_init_op", "saved_model_train_op"])
def test_saving_by_an_initialiser_is_refused(from_session, key):
    """What runs while a version is loaded is no saver."""
    saved_model = read_saved_model(from_session)
    meta_graph = saved_model.meta_graphs[0]
    save = node_with(meta_graph.graph_def.node, "SaveV2").name
    meta_graph.collection_def[key].node_list.value.append(save)
    assert "SaveV2" in found(saved_model)


def test_saving_by_the_restorer_is_refused(from_session):
    """A model server restores each version, and must not write a file by it."""
    saved_model = read_saved_model(from_session)
    nodes = saved_model.meta_graphs[0].graph_def.node
    node_with(nodes, "RestoreV2").input.append("^" + node_with(nodes, "SaveV2").name)
    assert "SaveV2" in found(saved_model)


def test_a_saver_that_nothing_leads_to_is_refused(from_session, with_variables):
    """Saving and restoring that no saver needs is there for something else."""
    for folder in (from_session, with_variables):
        saved_model = read_saved_model(folder)
        saved_model.meta_graphs[0].ClearField("saver_def")
        assert found(saved_model) == SAVER_ONLY
    saved_model = read_saved_model(from_session)
    saved_model.meta_graphs[0].graph_def.node.add(name="orphan", op="SaveV2", input=["x"])
    assert [each.node for each in refused_operations(saved_model)] == ["orphan"]


def test_restoring_from_another_path_is_refused(from_session, with_variables):
    """A version restores its own variables, and reads no other file of the model server's machine."""
    saved_model = read_saved_model(from_session)
    nodes = saved_model.meta_graphs[0].graph_def.node
    nodes.add(name="elsewhere", op="Const")
    node_with(nodes, "RestoreV2").input[0] = "elsewhere"
    assert found(saved_model) == {"RestoreV2"}

    saved_model = read_saved_model(with_variables)
    meta_graph = saved_model.meta_graphs[0]
    restorer = meta_graph.saver_def.restore_op_name
    call = next(node for node in meta_graph.graph_def.node if node.name == restorer)
    meta_graph.graph_def.node.add(name="elsewhere", op="Const")
    call.input[0] = "elsewhere"
    assert found(saved_model) == {"RestoreV2"}


def test_a_function_named_like_an_operation_is_refused(with_variables):
    """A function cannot pass as an operation, listed or not, and neither the other way about."""
    for name in ("ReadFile", "Identity", "SaveV2", "SomeOperationOfAnotherServer", "_Send"):
        saved_model = read_saved_model(with_variables)
        library = saved_model.meta_graphs[0].graph_def.library
        library.function.add().signature.name = name
        assert Refused(name, "", name) in [
            Refused(each.operation, each.node, each.function) for each in refused_operations(saved_model)
        ]


def test_a_node_may_call_a_function_by_its_name(with_variables):
    """TensorFlow 1 writes a call so; what the function holds is judged all the same."""
    saved_model = read_saved_model(with_variables)
    graph_def = saved_model.meta_graphs[0].graph_def
    graph_def.library.function.add().signature.name = "my_function"
    graph_def.node.add(name="call", op="my_function")
    assert refused_operations(saved_model) == []
    graph_def.library.function[-1].node_def.add(name="read", op="ReadFile")
    assert refused_operations(saved_model) == [Refused("ReadFile", "read", "my_function")]


def test_an_operation_that_tensorflow_does_not_know_is_refused(with_variables):
    """A model server may have operations of its own, that nobody has judged."""
    saved_model = read_saved_model(with_variables)
    saved_model.meta_graphs[0].graph_def.node.add(name="load", op="SimpleMLLoadModelFromPath")
    assert found(saved_model) == {"SimpleMLLoadModelFromPath"}


def test_a_long_graph_is_followed_to_its_end(from_session):
    """The way back is walked, not recursed into, however long a graph is."""
    saved_model = read_saved_model(from_session)
    meta_graph = saved_model.meta_graphs[0]
    nodes = meta_graph.graph_def.node
    before = node_with(nodes, "MergeV2Checkpoints").name
    for number in range(20_000):
        nodes.add(name=f"n{number}", op="Identity", input=[f"^{before}"])
        before = f"n{number}"
    meta_graph.signature_def["serving_default"].outputs["y"].name = f"{before}:0"
    assert "MergeV2Checkpoints" in found(saved_model)


def test_the_list_names_what_tensorflow_has():
    """Every name is an operation's, stands once, and reads or writes nothing outside the process."""
    listed = [line for line in (SHIPPED.parents[2] / "export/gate/operations.txt").read_text().splitlines() if line]
    names = [line for line in listed if not line.startswith("#")]
    assert len(names) == len(set(names)) == len(allowed())
    assert [name for name in names if op_def_registry.get(name) is None] == []
    assert not allowed() & SAVER_ONLY
    outside = (
        "File",
        "Reader",
        "Dataset",
        "PyFunc",
        "Print",
        "Save",
        "Restore",
        "Queue",
        "Proto",
        "Send",
        "Recv",
        "Xla",
    )
    assert [name for name in names if any(word in name for word in outside)] == []


def test_operations_are_told_from_functions_by_their_names():
    """No operation that TensorFlow has could be the name of a function that passes."""
    names = [name for name in dir(tf.raw_ops) if op_def_registry.get(name)]
    assert len(names) > 1000
    assert [name for name in names if not _LIKE_AN_OPERATION.fullmatch(name)] == []


def test_a_missing_or_damaged_file_is_told(tmp_path):
    """The message says what is wrong with the file, and what to do."""
    with pytest.raises(ExportError, match=r"saved_model\.pb is missing\. Name a folder"):
        read_saved_model(tmp_path)
    file = tmp_path / "saved_model.pb"
    file.write_bytes((SHIPPED / "saved_model.pb").read_bytes()[:-100])
    with pytest.raises(ExportError, match=r"is damaged: .*Export it again"):
        read_saved_model(tmp_path)
    file.write_bytes(b"")
    with pytest.raises(ExportError, match=r"no graph with the tag 'serve'.*Received: \[\]"):
        read_saved_model(tmp_path)


@pytest.mark.parametrize("name", ["saved_model.pbtxt", "saved_model.cpb"])
def test_a_second_model_beside_the_first_is_refused(tmp_path, name):
    """What was looked into is what TensorFlow loads."""
    (tmp_path / "saved_model.pb").write_bytes((SHIPPED / "saved_model.pb").read_bytes())
    read_saved_model(tmp_path)
    (tmp_path / name).touch()
    with pytest.raises(ExportError, match=rf"{name} beside its saved_model\.pb.*Remove the other file"):
        read_saved_model(tmp_path)
