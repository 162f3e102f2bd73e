"""TF Serving's JSON: its layout, its spelling of numbers, its words for what is no JSON."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from scenery import wire
from serving import rest_answers
from serving.errors import ServingError
from serving.json_text import float_texts, layout, request_node
from serving.rest_examples import read_examples
from serving.rest_json import parse_document, read_predict


def signature(**inputs: str) -> dict[str, wire.SignatureDef]:
    """Return the signatures of a model whose default one has these inputs."""
    made = wire.SignatureDef()
    for alias, data_type in inputs.items():
        made.inputs[alias].dtype = wire.enum_values("tensorflow.DataType")[data_type]
    return {"serving_default": made}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The document is empty"),
        ('{"a" 1}', "Missing a colon after a name of object member. at offset: 5"),
        ('{"a": 1', "Missing a comma or '}' after an object member. at offset: 7"),
        ('{"a": [1 2]}', "Missing a comma or ']' after an array element. at offset: 9"),
        ('{"a": [{"b": "]"} 2]}', "Missing a comma or ']' after an array element. at offset: 18"),
        ('{"é": [1 2]}', "Missing a comma or ']' after an array element. at offset: 10"),
        ('{"a": }', "Invalid value. at offset: 6"),
        ('{"a": nul}', "Invalid value. at offset: 9"),
        ("{a: 1}", "Missing a name for object member. at offset: 1"),
        ('{"a": 1} x', "The document root must not be followed by other values. at offset: 9"),
        ('{"a": "b', "Missing a closing quotation mark in string. at offset: 8"),
        ('{"a": "\\q"}', "Invalid escape character in string. at offset: 7"),
        ("[" * 100_000, "The document is nested too deeply."),
        ('{"a": 1' + "0" * 5000 + "}", "Number too big to be stored in double. at offset: 6"),
    ],
)
def test_what_is_no_json_is_told_in_rapidjsons_words(text, message):
    """With the offset in bytes at which it goes wrong."""
    with pytest.raises(ServingError) as caught:
        parse_document(text.encode())
    assert caught.value.message == f"JSON Parse error: {message}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (1.0, "1.0"),
        (0.1, "0.1"),
        (-0.0, "-0.0"),
        (1e21, "1e21"),
        (1.5e30, "1.5e30"),
        (123456789.125, "123456789.125"),
        (0.000123, "0.000123"),
        (1e-7, "1e-7"),
        (2**63, "9223372036854775808"),
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        (True, "true"),
        (None, "null"),
        ("é\n", '"é\\n"'),
        ({}, "{}"),
        ({"a": [1, {"b": 2}]}, '{\n    "a": [1, {\n            "b": 2\n        }]\n}'),
    ],
)
def test_errors_repeat_values_as_rapidjson_prints_them(value, text):
    """Objects on lines of their own, arrays in one line, numbers by their shortest digits."""
    assert layout(request_node(value)) == text


def test_float32_is_spelt_by_six_digits_or_nine():
    """Every spelling reads back as the same number."""
    numbers = np.random.default_rng(0).normal(size=2000).astype(np.float32) * np.float32(10) ** np.arange(-20, 20, 0.02)
    numbers = numbers.astype(np.float32)
    texts = float_texts(numbers)
    assert np.array_equal(np.array(list(map(float, texts)), np.float32), numbers)
    assert float_texts(np.array([0.1, 1e6, 123456.78, 3, math.nan, -math.inf], np.float32)) == [
        *("0.1", "1e+06", "123456.781", "3.0", "NaN", "-Infinity")
    ]


def test_rows_of_several_outputs_are_objects():
    """Each row an object on lines of its own, the tensors in it in one line."""
    outputs = {"a": np.array([[1, 2], [3, 4]], np.int32), "b_bytes": np.array([b"x", b"y"], object)}
    text = rest_answers.predictions(outputs)
    assert json.loads(text)["predictions"][1] == {"a": [3, 4], "b_bytes": {"b64": "eQ=="}}
    assert text.startswith('{\n    "predictions": [\n        {\n            "a": [1, 2],\n            "b_bytes": {')


@pytest.mark.parametrize("shape", [(), (0,), (2,), (2, 3), (2, 0), (2, 1, 2)])
def test_columns_are_read_back(shape):
    """Any shape is written so that a reader gets it back."""
    array = np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)
    assert json.loads(rest_answers.columns({"y": array}))["outputs"] == array.tolist()


@pytest.mark.parametrize(
    ("data_type", "text", "expected"),
    [
        ("DT_FLOAT", "[1, 2.5]", [1.0, 2.5]),
        ("DT_INT8", "[300, -129]", [44, 127]),
        ("DT_UINT64", "[18446744073709551615]", [2**64 - 1]),
        ("DT_STRING", '["a", {"b64": "AP8"}]', [b"a", b"\0\xff"]),
        ("DT_STRING", '[{"b64": "aGVs\\nbG8="}]', [b"hello"]),
        ("DT_BOOL", "[[true], [false]]", [[True], [False]]),
        ("DT_DOUBLE", "[NaN, -Infinity]", [math.nan, -math.inf]),
    ],
)
def test_columns_become_tensors(data_type, text, expected):
    """Numbers are taken as TF Serving takes them, small types with their overflow."""
    document = parse_document(b'{"inputs": ' + text.encode() + b"}")
    array = read_predict(document, signature(x=data_type)).arrays["x"]
    assert repr(array.tolist()) == repr(expected)


@pytest.mark.parametrize(
    ("data_type", "text", "message"),
    [
        ("DT_FLOAT", "[1e39]", "Cannot convert JSON value: 1e39 to float without loss of precision."),
        ("DT_FLOAT", "[[1], 2]", "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
        ("DT_FLOAT", "[1, [2]]", "Encountered list at unexpected level: 1 expected < 1"),
        ("DT_FLOAT", "[[1, 2], [3]]", "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
        ("DT_INT32", "[2147483648]", "JSON Value: 2147483648 Type: Number is not of expected type: int32"),
        ("DT_INT32", "[true]", "JSON Value: true Type: True is not of expected type: int32"),
        ("DT_STRING", '["\\ud83d"]', "The surrogate pair in string is invalid."),
        ("DT_BFLOAT16", "[[1.5]]", "Conversion of JSON Value: 1.5 to type: bfloat16"),
        ("DT_FLOAT", "[" * 80 + "1" + "]" * 80, "has more than 64 nested lists"),
    ],
)
def test_what_is_no_tensor_of_the_type_is_told(data_type, text, message):
    """The value, and what was expected instead."""
    document = parse_document(b'{"inputs": ' + text.encode() + b"}")
    with pytest.raises(ServingError) as caught:
        read_predict(document, signature(x=data_type))
    assert message in caught.value.message


def test_a_long_value_is_not_repeated_whole():
    """An error does not send a request's megabytes back."""
    document = parse_document(json.dumps({"instances": ["x" * 100_000]}).encode())
    with pytest.raises(ServingError) as caught:
        read_predict(document, signature(x="DT_FLOAT"))
    assert len(caught.value.message) < 2000


def test_features_take_numbers_texts_and_bytes():
    """A value or a list of values; whole numbers are int64, others float."""
    document = {"examples": [{"i": [1, True], "f": 1.5, "s": ["a", {"b64": "AP8="}], "none": []}]}
    features = read_examples(document).example_list.examples[0].features.feature
    assert list(features["i"].int64_list.value) == [1, 1]
    assert list(features["f"].float_list.value) == [1.5]
    assert list(features["s"].bytes_list.value) == [b"a", b"\0\xff"]
    assert features["none"].WhichOneof("kind") is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"x": [[1]]}, "Feature: x has element with unexpected JSON type: Array"),
        ({"x": {"y": 1}}, "Feature: x has element with unexpected JSON type: Object"),
        ({"x": 2**63}, "Feature: x has uint64 element. Only int64 is supported."),
        ({"x": 1e39}, "Cannot convert JSON value: 1e39 to float without loss of precision."),
        ({"x": [1, 1.5]}, "Unexpected element type in feature: x expecting type: int64"),
    ],
)
def test_what_is_no_feature_is_told(value, message):
    """The feature, and what is wrong with it."""
    with pytest.raises(ServingError) as caught:
        read_examples({"examples": [value]})
    assert caught.value.message == message
