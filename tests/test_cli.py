"""``python -m textgym list | show | play``."""

import json
import subprocess
import sys

import pytest

import textgym.__main__ as cli
from textgym.commands import listing
from textgym.registration import IDS

ONE_OF_EACH = {
    "Copy-v0": IDS["Copy-v0"],
    "Spelling-v0": IDS["Spelling-v0"],
    "Gone-v0": ("nowhere:Gone", {}, "delta"),
}


@pytest.fixture(autouse=True)
def no_colours(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture
def run(capsys):
    def run(*argv):
        code = cli.main(argv)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return code, captured.out, captured.err

    return run


@pytest.fixture
def play(run, monkeypatch):
    """Play with these lines typed."""

    def play(lines, *argv):
        typed = iter(lines)

        def answer(prompt):
            print(prompt, end="")
            try:
                reply = next(typed)
            except StopIteration:
                raise EOFError from None
            if reply is KeyboardInterrupt:
                raise KeyboardInterrupt
            print(reply)
            return reply

        monkeypatch.setattr("builtins.input", answer)
        code, out, err = run("play", *argv)
        assert (code, err) == (0, "")
        return out

    return play


def from_the_shell(*argv, **more):
    command = [sys.executable, "-m", "textgym", *argv]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60, **more)


# list


def test_list(run, monkeypatch):
    monkeypatch.setattr(listing, "IDS", ONE_OF_EACH)
    code, out, _ = run("list")
    header, copy, spelling, gone = out.splitlines()
    assert code == 0 and header.split() == [
        *"id V prompt budget episodes reward optimum random copy_prompt ngram reference description".split()
    ]
    *figures, random, copied, ngram, reference = copy.split()[:-4]
    assert figures == ["Copy-v0", "9", "5", "6", "generated", "delta", "1"]
    assert copied == reference == "1.000" > ngram > random and copy.endswith("Write the prompt again.")
    assert "?" in spelling and spelling.count("/") == 2
    assert gone.startswith("Gone-v0: cannot be built here") and "nowhere" in gone


def test_list_for_machines(run, monkeypatch):
    monkeypatch.setattr(listing, "IDS", ONE_OF_EACH)
    copy, spelling, gone = json.loads(run("list", "--json")[1])
    assert set(copy.pop("scores")) == {"random", "copy_prompt", "ngram", "reference"}
    assert copy == {
        "id": "Copy-v0", "vocabulary_size": 9, "prompt_length": 5, "budget": 6, "episodes": "generated",
        "reward": "delta", "optimum": 1.0, "description": "Write the prompt again.",
    }  # fmt: skip
    assert list(spelling["episodes"]) == ["train", "validation", "test"] and min(spelling["episodes"].values()) > 100
    assert spelling["optimum"] is None
    assert set(gone) == {"id", "error"}


def test_every_id_has_its_recorded_scores():
    record = listing.recorded()
    known = {name for name, (task, _, _) in IDS.items() if not task.startswith("own_data:")}
    assert set(record["scores"]) == known and record["episodes"] >= 200
    for name, scores in record["scores"].items():
        assert scores["reference"] == 1.0 and 0 <= scores["random"] <= 0.15, name


# show


def test_show(run):
    code, out, err = run("show", "Copy-v0", "--seed", "3")
    assert (code, err) == (0, "")
    settings, reference, random = out.split("\n--- ")
    assert settings.startswith("textgym/Copy-v0  Write the prompt again.")
    for part in (
        "split train (10000 fixed",
        "delta:character_match",
        "Discrete(9)",
        "Box(0, 9, (11,), int32)",
        "nothing",
    ):
        assert part in settings
    assert reference.startswith("the first reference") and "eos, score 1" in reference and "+0.2" in reference
    prompts = {part.split("prompt")[1].split()[0] for part in (reference, random)}
    assert len(prompts) == 1
    assert run("show", "textgym/Copy-v0", "--seed", "3") == (code, out, err), "with the prefix: the same"


def test_show_with_settings(run):
    _, out, _ = run(
        "show", "Brackets-v0", "--reward", "terminal", "--split", "test", "--set", "mask=task", "--set", "length=6"
    )
    assert "terminal:bracket_completion" in out and "split test" in out and "length=6" in out and "illegal=0" in out
    _, out, _ = run("show", "Copy-v0", "--reward", '[{"name": "delta", "weight": 0.5}, "terminal"]', "--index", "4")
    assert "0.5*delta:character_match + terminal:character_match" in out
    _, out, _ = run("show", "Copy-v0", "--set", "tokenizer=byte_bpe", "--set", "split=test")
    assert "byte_bpe, V = " in out and "split test" in out


@pytest.mark.parametrize(
    "argv, reasons",
    [
        (["Copyy-v0"], ["'Copyy-v0'", "Did you mean 'Copy-v0'"]),
        (["textgym/Sort-v1"], ["'Sort-v1'", "Did you mean 'Sort-v0'"]),
        (["CartPole-v1"], ["'CartPole-v1'"]),
        (["no.such.module:X-v0"], ["no.such.module"]),
        (["Copy-v0", "--reward", "dleta"], ["Did you mean 'delta'"]),
        (["Copy-v0", "--set", "lenght=3"], ["Did you mean 'length'"]),
        (["Copy-v0", "--set", "length=0"], ["length"]),
        (["Copy-v0", "--index", "10000"], ["9999"]),
        (["Brackets-v0", "--set", "mask=tusk"], ["Did you mean 'task'"]),
    ],
)
@pytest.mark.parametrize("command", ["show", "play"])
def test_what_cannot_be_done_is_explained(run, command, argv, reasons):
    code, _, err = run(command, *argv)
    assert code == 2 and err.startswith("textgym: ") and all(reason in err for reason in reasons)
    assert "environment creator" not in err, "which Gymnasium adds to some"


@pytest.mark.parametrize(
    "line", ["", "lits", "show", "show Copy-v0 --seed -1", "show Copy-v0 --split dev", "play Copy-v0 --set x"]
)
def test_arguments_that_argparse_refuses(line, capsys):
    with pytest.raises(SystemExit) as exit:
        cli.main(line.split())
    assert exit.value.code == 2 and "usage" in capsys.readouterr().err


def test_help(capsys):
    for command in cli.COMMANDS:
        with pytest.raises(SystemExit) as exit:
            cli.main([command, "-h"])
        assert exit.value.code == 0 and len(capsys.readouterr().out) > 200


def test_environments_of_other_modules(run, tmp_path, monkeypatch):
    (tmp_path / "shouting.py").write_text(
        "import textgym\n"
        "from textgym.tasks.symbolic import Copy\n"
        "class Shout(Copy):\n    'Write it loud! Or not.'\n    def answer(self, prompt):\n        return ''\n"
        "textgym.register('mine/Shout-v0', 'shouting:Shout', reward='terminal')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    code, out, _ = run("show", "shouting:mine/Shout-v0")
    assert code == 0 and out.startswith("mine/Shout-v0  Write it loud!\n")
    assert run("show", "mine/Shout-v0")[0] == 0, "registered by now"


# play


def test_play_to_the_end(play):
    out = play(["a", "bc", ":eos", "n"], "Copy-v0", "--index", "0", "--seed", "0")
    prompt = out.split("prompt")[1].split()[0]
    assert out.count("return") == 5  # four tokens and the end
    assert "eos, score" in out and f"references  {prompt}" in out
    assert out.index("references") > out.index("eos, score"), "hidden until the end"


def test_play_pays_token_by_token(play, run):
    prompt = run("show", "Copy-v0", "--index", "0")[1].split("prompt")[-1].split()[0]
    out = play([prompt, "", "n"], "Copy-v0", "--index", "0")
    for count, letter in enumerate(prompt, 1):
        total, left = f"{0.2 * count:+.3g}", 6 - count
        assert f"  {letter}        +0.2  (delta:character_match=+0.2)  return {total}, {left} left\n" in out
    assert "eos, score 1" in out


def test_undo_takes_one_token_back(play):
    undone = play(["ab", ":undo", "c", "", ":undo", ":undo", ":undo", ":undo", ":quit"], "Copy-v0", "--seed", "1")
    straight = play(["ac", "", "n"], "Copy-v0", "--seed", "1")
    ended = straight[straight.index("text        ac<eos>") : straight.index("again?")]
    assert ended in undone
    assert undone.count("nothing to take back") == 1


def test_play_more_than_one_episode(play):
    out = play(["", "y", "", "y"], "Copy-v0", "--seed", "1")
    assert out.count("task ") == 3 and out.rstrip().endswith("bye")


def test_play_explains(play):
    out = play(
        [":legal", ":help", ":bogus", "Z", ":id", ":id 99", ":id 2", "abcdefgh", ":quit"], "Copy-v0", "--seed", "1"
    )
    assert "0 a" in out and "8 <eos>" in out
    assert out.count("take the last token back") == 2
    assert "unknown command ':bogus'" in out and "'Z'" in out and ":id needs the number" in out and "99" in out
    assert "the last 3 tokens were not played" in out and "budget, score" in out


def test_colons_can_be_written(play):
    out = play(["::", "::a", ":quit"], "Copy-v0", "--set", "tokenizer=byte_bpe", "--set", "budget=9")
    assert "text        ::a" in out


def test_play_an_illegal_token_and_take_it_back(play):
    out = play(
        [":legal", "", ":undo", ":quit"], "Brackets-v0", "--set", "mask=task", "--seed", "1", "--set", "length=32"
    )
    legal, ended = out.split("\n> ")[1:3]
    assert "<eos>" not in legal and "<illegal <eos>>" in ended and "illegal, score 0" in ended


def test_tokens_refused_by_the_environment_are_not_played(play):
    arguments = ["--set", "mask=task", "--set", "on_illegal=raise", "--set", "length=32"]
    out = play(["", ":quit"], "Brackets-v0", "--seed", "1", *arguments)
    assert "is not legal after ''" in out and "score" not in out


def test_interrupts_are_polite(play):
    assert play(["a", KeyboardInterrupt], "Copy-v0").endswith("\nbye\n")
    assert play([], "Copy-v0").endswith("\nbye\n")


# from the shell


def test_play_from_a_pipe():
    done = from_the_shell("play", "Copy-v0", "--seed", "1", input="a\n:undo\nb\n\nn\n")
    assert done.returncode == 0 and done.stderr == ""
    assert "text        b<eos>" in done.stdout and "eos, score" in done.stdout and "\x1b" not in done.stdout


def test_play_bytes_that_are_no_text():
    command = [sys.executable, "-m", "textgym", "play", "Copy-v0", "--set", "tokenizer=byte_bpe"]
    done = subprocess.run(command, input=b"\xff\xfe\x1b[2J\n", capture_output=True, timeout=60)
    assert done.returncode == 0 and b"Traceback" not in done.stderr and b"\x1b" not in done.stdout


def test_unknown_ids_from_the_shell():
    done = from_the_shell("show", "textgym/Cpoy-v0")
    assert done.returncode == 2 and done.stdout == "" and "Did you mean 'Copy-v0'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGPIPE: a closed pipe is another error")
def test_output_closed_early():
    process = subprocess.Popen(
        [sys.executable, "-m", "textgym", "show", "Copy-v0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 1
