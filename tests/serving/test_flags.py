"""The command line is read as tensorflow_model_server reads it."""

from __future__ import annotations

import pytest

from serving.flags import FLAGS, FlagError, parse_flags, suggestion, usage


def test_of_a_repeated_flag_the_last_counts():
    """So that a wrapper's flags can be overridden."""
    assert parse_flags(["--port=1", "--port=2"]).port == 2


@pytest.mark.parametrize(
    ("argument", "value"),
    [("--enable_batching", True), ("--enable_batching=true", True), ("--enable_batching=false", False)],
)
def test_a_boolean_may_stand_alone(argument, value):
    """A boolean flag is on when it is named."""
    assert parse_flags([argument]).enable_batching is value


@pytest.mark.parametrize("argument", ["--port=abc", "--enable_batching=maybe", "--port=", "--enable_batching=1"])
def test_a_value_of_another_type_is_refused(argument):
    """The message names the flag, its type and the value."""
    name, _, value = argument.removeprefix("--").partition("=")
    with pytest.raises(FlagError, match=f"--{name} takes a .*{value!r}"):
        parse_flags([argument])


@pytest.mark.parametrize("argument", ["--port=-1", "--rest_api_port=70000", "--grpc_max_threads=99999999999"])
def test_a_number_out_of_range_is_refused(argument):
    """Before anything is loaded."""
    with pytest.raises(FlagError, match="Received: "):
        parse_flags([argument])


@pytest.mark.parametrize(
    ("argument", "hint"),
    [("--modelname=x", "--model_name"), ("--port", "--port=VALUE"), ("8500", ""), ("-port=1", "--port")],
)
def test_what_is_no_flag_is_kept_and_explained(argument, hint):
    """An unknown argument stops nothing, and a misspelt one is recognized."""
    assert parse_flags([argument]).unknown == [argument]
    assert hint in suggestion(argument)


def test_flags_without_a_meaning_here_are_known():
    """They are accepted, and told apart from those that work."""
    line = parse_flags(["--enable_profiler=false", "--port=1", "--no_such=1"])
    assert (line.ignored, line.unknown) == (["enable_profiler"], ["--no_such=1"])


def test_every_flag_is_told():
    """The usage text has each flag with its default and a sentence."""
    text = usage()
    for flag in FLAGS:
        assert f"--{flag.name}=" in text
        assert flag.text.endswith((".", ",..."))
