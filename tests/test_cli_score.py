"""``python -m textgym score``."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import textgym.__main__ as cli

ROOT = Path(cli.__file__).parent.parent


@pytest.fixture
def run(capsys, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*argv):
        code = cli.main(argv)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return code, captured.out, captured.err

    return run


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Write texts, one a line, into files of the working directory."""
    monkeypatch.chdir(tmp_path)

    def files(**lines):
        for name, each in lines.items():
            (tmp_path / name).write_text("".join(f"{line}\n" for line in each), encoding="utf-8")

    return files


def test_with_what_each_token_is_paid(run, files):
    files(hyp=["the cat", "我 sat\x1b", ""], one=["the mat", "x", "y"], two=["that cat", "我 sits", ""])
    code, out, err = run("score", "--metric", "character_match", "--hyp", "hyp", "--ref", "one", "--ref", "two")
    assert (code, err) == (0, "")
    first, second, third, mean = out.split("\n\n")
    assert first.splitlines() == [
        "1: 0.8571",
        "text        the cat<eos>",
        "            ++++ ++",
        "references  the mat",
        "            that cat",
    ]
    assert second.splitlines()[:2] == ["2: 0.6667", "text        我 sat\\x1b<eos>"]
    assert third.splitlines()[:2] == ["3: 1.0000", "text        <eos>"]
    assert mean.strip() == "0.8413\tmean character_match of 3 lines, which is not the corpus score"


def test_colours_of_a_terminal(run, files, monkeypatch):
    monkeypatch.setattr("textgym.commands.score.colour", lambda: True)
    files(hyp=["ab"], ref=["ax"])
    out = run("score", "--metric", "character_match", "--hyp", "hyp", "--ref", "ref")[1]
    assert "\x1b[38;5;16;48;5;46ma\x1b[0mb" in out, "paid at once for the first character, in bright green"


def test_without_tokens(run, files):
    files(hyp=["the cat", "a\tb"], ref=["the mat", "a\tb"])
    out = run("score", "--metric", "cer", "--hyp", "hyp", "--ref", "ref", "--no-tokens")[1]
    assert out.splitlines()[:2] == ["0.1429\tthe cat", "0.0000\ta⇥b"] and "0.0714\tmean cer of 2 lines" in out
    out = run(
        "score", "--metric", '{"name": "repetition", "n": 1, "unit": "character"}', "--hyp", "hyp", "--no-tokens"
    )[1]
    assert out.startswith("0.1429\tthe cat\n0.0000\ta"), "needs no references"


@pytest.mark.parametrize("metric", ["bleu", "token_match", "cer", '{"name": "edit_distance", "unit": "word"}'])
@pytest.mark.parametrize("tokenizer", ["character", "byte_bpe", '{"name": "byte_bpe", "size": 260}', "word"])
def test_for_machines(run, files, metric, tokenizer):
    files(hyp=["the cat sat on the mat", "a 😀"], ref=["the cat sat on a mat", "a 我"])
    argv = ["score", "--metric", metric, "--hyp", "hyp", "--ref", "ref", "--tokenizer", tokenizer, "--json"]
    report = json.loads(run(*argv)[1])
    assert report["mean_of_lines"] == pytest.approx(sum(line["value"] for line in report["lines"]) / 2)
    for line in report["lines"]:
        assert len(line["payments"]) == len(line["tokens"]) and line["tokens"][-1] == "", "EOS adds nothing"
        assert "".join(line["tokens"]) == line["text"]
        assert sum(line["payments"]) == pytest.approx(line["value"]), "delta pays the value"
    short = json.loads(run(*argv, "--no-tokens")[1])
    values = [[line["value"] for line in each["lines"]] for each in (short, report)]
    assert values[0] == values[1] and set(short["lines"][0]) == {"text", "value"} and short["reward"] is None


def test_schedules_of_score(run, files):
    files(hyp=["abc"], ref=["abd"])
    argv = ["score", "--metric", "character_match", "--hyp", "hyp", "--ref", "ref", "--json", "--schedule"]

    def payments(schedule):
        return pytest.approx(json.loads(run(*argv, schedule)[1])["lines"][0]["payments"])

    assert [0, 0, 0, 2 / 3] == payments("terminal")
    assert [1 / 3, 2 / 3, 2 / 3, 2 / 3] == payments("every_step")
    assert [1 / 3, 1 / 3, 0, 0] == payments("delta")
    assert [1 / 6, 0, -1 / 3, -2 / 3] == payments('{"name": "potential", "gamma": 0.5, "base": null}')
    assert [1 / 6, 0, -1 / 3, 0] == payments('{"name": "potential", "gamma": 0.5}'), "the base pays the metric, too"
    assert [0, 2 / 3, 0, 0] == payments('{"name": "delayed", "k": 2}'), "and so does a wrapped schedule"
    assert [0, 1, 0, 4 / 3] == payments('{"name": "delayed", "k": 2, "reward": "every_step"}')
    assert [1 / 3, 1 / 3, 0, 1] == payments('["delta", "constant"]')
    assert [0, 0, 0, 2 / 3] == payments("delayed")
    assert [0, 0, 0, -1 / 3] == payments('{"name": "terminal", "metric": "cer", "weight": -1}'), "another metric"


def test_what_compares_with_references_is_refused_without(run, files):
    files(hyp=["abc"])
    for metric, schedule in [("bleu", "delta"), ("length", "delta:cer"), ("token_match", "terminal")]:
        for more in ([], ["--no-tokens"]):
            code, out, err = run("score", "--hyp", "hyp", "--metric", metric, "--schedule", schedule, *more)
            if metric == "length" and more:
                assert code == 0 and out.startswith("3.0000")
            else:
                assert code == 2 and out == "" and "compares with references" in err and "--ref FILE" in err


def test_metrics_of_other_modules(run, files, tmp_path, monkeypatch):
    (tmp_path / "my_metrics.py").write_text(
        "import textgym\n"
        "def length(text, references):\n    return len(text)\n"
        "class AtTheEnd(textgym.ExactMatch):\n    name = 'late'\n    only_at_end = True\n"
        "def broken(text, references):\n    return float('nan')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    files(hyp=["abc"], ref=["abc"])
    argv = ["score", "--hyp", "hyp", "--ref", "ref", "--json", "--metric"]
    assert json.loads(run(*argv, "my_metrics:length")[1])["lines"][0]["payments"] == [1.0, 1.0, 1.0, 0.0]
    late = json.loads(run(*argv, "my_metrics:AtTheEnd")[1])
    assert late["reward"] == "terminal:late" and late["lines"][0]["payments"] == [0, 0, 0, 1.0]
    for more in ((), ("--no-tokens",)):
        code, out, err = run(*argv, "my_metrics:broken", *more)
        assert code == 2 and "nan" in err and out == ""


@pytest.mark.parametrize(
    "argv, reasons",
    [
        (["--metric", "belu"], ["'belu'", "Did you mean 'bleu'"]),
        (["--metric", "fluency"], ["learns from a task"]),
        (["--metric", "score"], ["'score'"]),
        (["--metric", "no.such:metric"], ["no.such"]),
        (["--metric", "cer", "--hyp", "gone"], ["cannot read 'gone'"]),
        (["--metric", "cer", "--ref", "."], ["cannot read '.'"]),
        (["--metric", "cer", "--ref", "binary"], ["cannot read 'binary'", "utf-8"]),
        (["--metric", "cer", "--ref", "short"], ["hyp has 2 lines, short has 1"]),
        (["--metric", "cer", "--hyp", "empty"], ["empty has 0 lines, ref has 2"]),
        (["--metric", "cer", "--hyp", "-", "--ref", "-"], ["only one file"]),
        (["--metric", "cer", "--schedule", "dleta"], ["Did you mean 'delta'"]),
        (["--metric", "delta:bleu"], ["'delta:bleu' is a reward", "needed: 'bleu' (its schedule is 'delta')"]),
        (["--metric", '{"name": "delta", "metric": "cer"}'], ["'delta'", "needed: 'cer' (its schedule is 'delta')"]),
        (["--metric", "terminal"], ["'terminal' is a reward", "metric alone is needed"]),
        (["--metric", "cer", "--schedule", "cer"], ["'cer' is a metric", "'delta:cer'"]),
        (["--metric", "cer", "--schedule", "noisy"], ["changes what another reward pays", '"reward": "delta"', "std"]),
        (["--metric", "cer", "--schedule", '{"name": "delayed", "metric": "cer"}'], ['"reward": "delta:cer"', "k"]),
        (["--metric", "cer", "--schedule", "[]"], ["a list of these"]),
        (["--metric", "ter", "--schedule", "delta"], ["'terminal:ter'"]),
        (["--metric", "cer", "--tokenizer", "wrod"], ["Did you mean 'word'"]),
        (["--metric", "cer", "--tokenizer", "word"], ["line 2 is 'b  b'", "makes 'b b'", "--no-tokens"]),
    ],
)
def test_what_cannot_be_scored_is_explained(run, files, tmp_path, argv, reasons):
    files(hyp=["a", "b  b"], ref=["a", "b"], short=["a"], empty=[])
    (tmp_path / "binary").write_bytes(b"\xff\xfe\n\n")
    argv = argv if "--hyp" in argv else [*argv, "--hyp", "hyp"]
    code, out, err = run("score", *argv, "--ref", "ref")
    assert code == 2 and out == "" and err.startswith("textgym: ") and all(reason in err for reason in reasons)


def test_nothing_to_score(run, files):
    files(empty=[])
    assert "empty has no lines" in run("score", "--metric", "length", "--hyp", "empty")[2]


def test_from_a_pipe(files):
    files(ref=["a b", "我"])
    command = [sys.executable, "-m", "textgym", "score", "--metric", "wer", "--hyp", "-", "--ref", "ref"]
    done = subprocess.run(
        command,
        input="a b\r\n我 x".encode(),
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
    )
    out = done.stdout.decode()
    assert done.returncode == 0 and done.stderr == b"" and "\x1b" not in out
    assert "1: 0.0000\ntext        a b<eos>" in out and "0.5000\tmean wer" in out
