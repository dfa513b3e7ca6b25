"""The command lines of the agents: ids without a namespace, JSON flags, and one line for what is wrong."""

import json
from dataclasses import dataclass, field

import pytest

from agents.cli import Json, Spec, command_line, making
from agents.evaluate import EvaluateArgs, main


def evaluate(*argv):
    return command_line(EvaluateArgs, main, "evaluate", argv)


def test_an_id_needs_no_namespace(capsys):
    evaluate("--env", "Copy-v0", "--agent", "reference", "--episodes", "3", "--samples", "1")
    short = capsys.readouterr().out
    evaluate("--env", "textgym/Copy-v0", "--agent", "reference", "--episodes", "3", "--samples", "1")
    assert capsys.readouterr().out == short and "textgym/Copy-v0" in short and "#0" in short and "#1" not in short


@pytest.mark.parametrize(
    "argv, words",
    [
        ((), "say which environment"),
        (("--env", "Copi-v0"), "Did you mean 'Copy-v0'"),
        (("--env", "no.such:Copy-v0"), "cannot import 'no.such'"),
        (("--env-kwargs", '{"lenght": 3}'), "Did you mean 'length'"),
        (("--env-kwargs", '{"length": "x"}'), "length must be a whole number"),
        (("--env-kwargs", '{"reward": 3}'), "a reward is"),
        (("--env-kwargs", '{"split": "test"}'), "--split"),
        (("--agent", "rnadom"), "Did you mean 'random'"),
        (("--agent", "runs/last.zip"), "no file 'runs/last.zip'"),
        (("--split", "tets"), "Did you mean 'test'"),
        (("--episodes", "0"), "episodes must be a whole number, at least 1"),
        (("--samples", "-1"), "samples must be"),
        (("--json", "no/such/folder/x.json"), "no folder 'no/such/folder'"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(argv, words, capsys):
    argv = argv if not argv or "--env" in argv else ("--env", "Copy-v0", *argv)
    with pytest.raises(SystemExit) as stop:
        evaluate(*argv)
    assert stop.value.code.startswith("error: ") and words in stop.value.code and "\n" not in stop.value.code
    assert capsys.readouterr().out == "", "before anything is evaluated"


@dataclass
class Flags:
    """Flags of both kinds."""

    spec: Spec = None
    kwargs: Json = None
    more: Json = field(default_factory=dict)


def flags(*argv):
    return command_line(Flags, lambda args: args, "flags", argv)


def test_json_flags():
    assert flags() == Flags(None, None, {})
    given = {"a": [1, {"b": None}]}
    for text, value in (("delta:cer", "delta:cer"), (json.dumps(given), given), ("[1]", [1]), ("3", "3")):
        assert flags("--spec", text).spec == value
    assert flags("--kwargs", json.dumps(given), "--more", "{}") == Flags(None, given, {})


@pytest.mark.parametrize(
    "argv, words",
    [
        (("--spec", '{"name"'), "a name, or JSON such as"),
        (("--kwargs", '{"a":'), "takes JSON such as '{\"length\": 5}', got '{\"a\":' (Expecting value"),
        (("--more", "[3]"), "takes a JSON object such as '{\"length\": 5}', got '[3]'"),
    ],
)
def test_json_that_cannot_be_read_is_told_without_the_insides(argv, words, capsys):
    with pytest.raises(SystemExit):
        flags(*argv)
    printed = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert words in printed and "function" not in printed and "Annotated" not in printed


def test_errors_of_making_are_the_users():
    for error in (TypeError("a"), AssertionError("a"), RuntimeError("a"), ValueError("cannot make x: a")):
        with pytest.raises(ValueError, match="^cannot make x: a$"), making("x"):
            raise error
    with pytest.raises(KeyError), making("x"):
        raise KeyError
