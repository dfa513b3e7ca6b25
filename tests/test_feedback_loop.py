"""The loop of feedback: it runs, it goes on from wherever it was stopped, it learns."""

import json
import os
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from helpers import ROOT  # noqa: E402

from agents.feedback import Comparison, Rating, Store, Text, collecting, next_item  # noqa: E402
from agents.feedback import loop as module  # noqa: E402
from agents.feedback.collecting import judged  # noqa: E402
from agents.feedback.loop import LoopArgs, loop  # noqa: E402
from agents.feedback.simulated import SimulatedAnnotator  # noqa: E402

TINY = {"env": "Copy-v0", "env_kwargs": {"length": 3}, "rounds": 2, "comparisons": 30, "prompts": 20, "each": 3}
TINY |= {"members": 2, "epochs": 1, "pretrain": 3, "steps": 300, "critic_start": 50, "width": 32}
TINY |= {"n_envs": 64, "eval_episodes": 10, "progress": False}


class Stopped(BaseException):
    pass


STAGES = ["sample", "SimulatedAnnotator.annotate", "_Loop._train_reward", "_Loop._train", "_Loop.report"]


@pytest.mark.slow
def test_a_loop_stopped_before_and_after_every_stage_goes_on(tmp_path, monkeypatch):
    args, stops = LoopArgs(folder=tmp_path / "loop", **TINY), 0
    for name in STAGES:
        for after in (False, True):
            owner, _, attribute = name.rpartition(".")
            owner = getattr(module, owner) if owner else module
            real = getattr(owner, attribute)

            def stopping(*arguments, real=real, after=after, **more):
                if after:
                    real(*arguments, **more)
                raise Stopped

            with monkeypatch.context() as patch:
                patch.setattr(owner, attribute, stopping)
                with pytest.raises(Stopped):
                    loop(args)
            args.resume, stops = True, stops + 1
    rows = loop(args)
    assert stops == 10 and [row["round"] for row in rows] == [0, 1, 2]
    assert [row["judgements"] for row in rows] == [0, 30, 60]
    assert all(0 <= row["score"] <= 1 for row in rows) and all(0 < row["learned"] < 1 for row in rows[1:])
    with Store(args.folder / "feedback.db") as store:
        assert len(store.judgements("comparison")) == 60 and len(store.texts()) == 120
    made = {path: path.stat().st_mtime_ns for path in args.folder.rglob("*.pt")}
    assert loop(args) == rows and {path: path.stat().st_mtime_ns for path in made} == made  # nothing is done twice
    assert (args.folder / "rounds.png").exists() and "| 2 | 60 |" in (args.folder / "rounds.md").read_text()
    with pytest.raises(ValueError, match="comparisons was 30, is 31"):
        loop(LoopArgs(folder=args.folder, resume=True, **{**TINY, "comparisons": 31}))
    with pytest.raises(ValueError, match="--resume goes on"):
        loop(LoopArgs(folder=args.folder, **TINY))
    start = {"init": args.folder / "warm_start" / "last.pt", "policy": {"kl_weight": 0.5, "n_envs": 8}}
    other = loop(LoopArgs(folder=tmp_path / "other", **{**TINY, "rounds": 1, "width": 99}, **start))
    assert other[0] == rows[0] and [row["steps"] for row in other[1]["curve"]][-1] >= 300
    assert all(np.isfinite(row["start_kl"]) for row in other[1]["curve"][1:])


def trained(folder, **settings):
    """The last.pt of a policy that has learned nothing."""
    from agents.transformer.settings import TrainArgs
    from agents.transformer.train import train

    size = {"layers": 1, "width": 16, "heads": 2, "n_envs": 8, "steps": 0, "eval_episodes": 8, "progress": False}
    return train(TrainArgs(folder=folder, **size, **settings)).folder / "last.pt"


def test_what_cannot_be_is_said_before_anything_is_made(tmp_path):
    folder, other = tmp_path / "loop", trained(tmp_path / "other", env="Reverse-v0", env_kwargs={"length": 5})
    (tmp_path / "text.pt").write_text("no checkpoint")
    for settings, said in (
        ({"env": "Cpy-v0"}, "Copy-v0"),
        ({"env_kwargs": {"lenght": 3}}, "length"),
        ({"policy": {"kl_wait": 1}}, "kl_weight"),
        ({"policy": {"steps": 1}}, "flag in policy"),
        ({"policy": {"layers": 3}}, "flag in policy"),
        ({"policy": {"epochs": "x"}}, "policy .*epochs must be a whole number, at least 1, got 'x'"),
        ({"policy": {"top_p": "x"}}, "policy .*top_p"),
        ({"policy": {"decay": "linaer"}}, "Did you mean 'linear'"),
        ({"policy": {"measure_kl": 3}}, "measure_kl must be true or false, got 3"),
        ({"policy": {"eval_at": [100, "x"]}}, "eval_at must be a whole number"),
        ({"policy": {"algo": "grpo"}}, "grpo has no values"),
        ({"policy": {"critic_start": 300}}, "leaves none to learn from"),
        ({"critic_start": 300}, "leaves none to learn from"),
        ({"penalty": 1.0, "members": 1}, "cannot disagree"),
        ({"schedule": "dleta"}, "unknown schedule 'dleta'. Did you mean 'delta'"),
        ({"schedule": "clipped"}, "Allowed: delta, every_step, potential, terminal"),
        ({"schedule": "delta:cer"}, "unknown schedule"),
        ({"schedule": "test_feedback_loop:nothing"}, "test_feedback_loop"),
        ({"annotator": "peple"}, "Did you mean 'people'"),
        ({"annotator": "people", "speed": 3.0}, "people judge as fast as they do"),
        ({"speed": 0.0}, "speed must be a finite number, above 0"),
        ({"error": 0.7}, "error must be from 0 to 0.5"),
        ({"kl_target": -1.0}, "kl_target"),
        ({"width": 33}, "width"),
        ({"init": other.with_name("lst.pt")}, "lst.pt: there is no such file. Did you mean '.*last.pt'"),
        ({"init": other.parent}, "there is no such file.*best.pt"),
        ({"init": tmp_path / "text.pt"}, "is no checkpoint of agents.transformer.train"),
        ({"init": other}, "was trained in textgym/Reverse-v0 with env_kwargs {'length': 5}; textgym/Copy-v0"),
        ({"folder": other}, "is a file"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=said):
            loop(LoopArgs(**{"folder": folder, **TINY, **settings}))
    assert not folder.exists()


@pytest.mark.slow
def test_a_loop_that_was_begun_with_the_wrong_settings_is_begun_anew(tmp_path, monkeypatch):
    args, small = LoopArgs(folder=tmp_path / "loop", **{**TINY, "rounds": 1}), {"comparisons": 20, "prompts": 15}
    loop(args)
    (args.folder / "own.txt").write_text("stays")
    changed = LoopArgs(folder=args.folder, **{**TINY, "rounds": 1, **small})
    with pytest.raises(ValueError, match="--overwrite starts anew"):
        loop(changed)
    changed.overwrite, changed.init = True, args.folder / "1" / "policy" / "last.pt"
    with pytest.raises(ValueError, match="which --overwrite would take away"):
        loop(changed)
    assert changed.init.exists()
    changed.init = None
    with monkeypatch.context() as patch:  # killed while it takes away: what is left is not taken for the new loop's
        patch.setattr(module, "write_json", lambda *_: (_ for _ in ()).throw(Stopped))
        with pytest.raises(Stopped):
            loop(changed)
    with pytest.raises(ValueError, match="comparisons was 30, is 20"):
        loop(LoopArgs(folder=args.folder, resume=True, **{**TINY, "rounds": 1, **small}))
    assert [row["judgements"] for row in loop(changed)] == [0, 20]
    assert (args.folder / "own.txt").exists()
    with Store(args.folder / "feedback.db") as store:
        assert len(store.texts()) == 45
        first, second = (text.id for text in store.texts()[:2])
        store.submit(Rating(first, 3), "ann", "one")
    with pytest.raises(ValueError, match="1 judgements of people"):
        loop(changed)
    with Store(args.folder / "feedback.db") as store:
        assert len(store.judgements()) == 21


def judging(folder, may, stop):
    """A person, in a thread: compares as many pairs of a loop as ``may()`` says, as long as it is not stopped."""

    def judge():
        right, done = SimulatedAnnotator(0.0), 0
        while not (folder / "feedback.db").exists() and not stop.wait(0.02):
            pass
        with Store(folder / "feedback.db") as store:
            while not stop.wait(0.001):
                item = next_item(store, "ann", "comparison") if done < may() else None
                if item is not None:
                    done += 1
                    store.submit(right.answer(item), "ann", f"number {done}", seconds=1.0)

    thread = threading.Thread(target=judge)
    thread.start()
    return thread


@pytest.mark.parametrize("rounds", [pytest.param(2, marks=pytest.mark.slow), 1])
def test_people_judge_while_the_loop_waits(tmp_path, monkeypatch, capsys, rounds):
    monkeypatch.setattr(collecting, "POLL", 0.02)
    folder, stop = tmp_path / "the loop", threading.Event()
    args = LoopArgs(folder=folder, annotator="people", **{**TINY, "rounds": rounds, "progress": True})
    invited = []
    monkeypatch.setattr(module, "invitation", lambda *of: invited.append(of) or collecting.invitation(*of))
    person = judging(folder, lambda: 30 * len(invited), stop)
    try:
        rows = loop(args)
    finally:
        stop.set()
        person.join()
    assert [row["judgements"] for row in rows] == [0, 30, 60][: rounds + 1]
    said = capsys.readouterr()
    assert "round 1, 0 of 30 comparisons: compare texts on the page" in said.out and "goes on with" not in said.out
    assert f"serve --store '{folder / 'feedback.db'}'" in said.out and "comparisons=30 of 30" in said.err
    if rounds == 2:
        second = next(line for line in said.out.splitlines() if line.startswith("round 2, 30 of 60"))
        assert "it has the new ones" in second and "end it (Ctrl-C)" in second
        assert f"--reward-model '{folder / '1' / 'reward' / 'reward.pt'}'" in second


@pytest.mark.parametrize("annotator", ["people", "simulated"])
def test_where_too_few_pairs_are_left_to_judge_it_says_so_and_goes_on(tmp_path, monkeypatch, capsys, annotator):
    monkeypatch.setattr(collecting, "POLL", 0.02)
    folder, stop = tmp_path / "loop", threading.Event()
    few = {"rounds": 1, "prompts": 12, "each": 2}
    person = judging(folder, lambda: 100 if annotator == "people" else 0, stop)
    try:
        rows = loop(LoopArgs(folder=folder, annotator=annotator, **{**TINY, **few}))
    finally:
        stop.set()
        person.join()
    with Store(folder / "feedback.db") as store:
        pairs = zip(*[iter(sorted(store.texts(), key=lambda text: text.prompt))] * 2, strict=True)
        different = sum(first.text != second.text for first, second in pairs)
        assert rows[1]["judgements"] == len(store.judgements()) == different <= 12
    assert f"round 1 goes on with {different} of 30 comparisons" in capsys.readouterr().out


def test_only_comparisons_that_stand_of_the_task_are_waited_for(tmp_path, monkeypatch):
    with Store(tmp_path / "f.db") as store:
        ids = store.add_texts([Text(task, "p", text) for task in ("t", "other") for text in ("a", "b", "b", "c")])
        assert len(set(ids)) == 6  # the same text twice is once
        store.add_texts([Text("t", "p", "b", seed=1)])
        a, b, c, *others, b_again = (text.id for text in store.texts())
        store.submit(Comparison(a, b, "a"), "ann", "1")
        store.submit(Comparison(others[0], others[1], "a"), "ann", "2")
        store.submit(Rating(a, 3), "ann", "3")
        store.submit(Comparison(b, c, "tie"), "ann", "4")
        store.submit(Comparison(c, a, "both_bad"), "ann", "5")
        store.undo("ann", "6")
        assert judged(store, "t") == 2

        def look():
            looks.append(judged(store, "t"))
            return looks[-1]

        def sleep(seconds):  # somebody else compares what is left, and more
            pair = left.pop()
            store.submit(Comparison(*pair, "a"), "bob", str(pair))

        monkeypatch.setattr(collecting, "time", SimpleNamespace(sleep=sleep))
        looks, left = [], [(b_again, c), (a, b_again), (a, c)]
        assert collecting.wait_for_people(store, "t", 4, look) == 4 and looks == [2, 3, 4]
        assert collecting.wait_for_people(store, "t", 100, look) == 5 and looks[2:] == [4, 4, 5] and not left


@pytest.mark.slow
def test_a_loop_of_the_size_in_its_defaults_goes_on_after_it_was_killed(tmp_path):
    command = [sys.executable, "-m", "agents.feedback", "loop", "--env", "Copy-v0", "--env-kwargs", '{"length": 3}']
    command += ["--folder", str(tmp_path / "loop"), "--pretrain", "100", "--steps", "40000"]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        deadline = time.monotonic() + 200
        while not (tmp_path / "loop" / "1" / "policy" / "last.pt").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        process.kill()
        process.wait()
    subprocess.run([*command, "--resume"], cwd=ROOT, check=True)
    rows = json.loads((tmp_path / "loop" / "rounds.json").read_text())
    assert [row["judgements"] for row in rows] == [0, 600, 1200]
    assert rows[1]["learned"] > 0.5  # what the policy was paid it found, whatever it is worth


@pytest.mark.slow
def test_a_loop_with_the_defaults_learns_a_reward_that_is_better_than_chance(tmp_path):
    rows = loop(LoopArgs(folder=tmp_path / "loop", progress=False))
    assert rows == json.loads((tmp_path / "loop" / "rounds.json").read_text())
    assert [(row["round"], row["judgements"]) for row in rows] == [(0, 0), (1, 600), (2, 1200)]
    assert all(0 < row["score"] < 1 and 0 < row["sampled"] < 1 and row["length"] > 0 for row in rows)
    for row in rows[1:]:
        assert 0.5 + 2 * row["accuracy_se"] < row["accuracy"]
        assert row["accuracy"] < row["true_score"] + 2 * row["accuracy_se"]
        assert abs(row["true_score"] - 0.9) < 4 * row["accuracy_se"]  # the annotator's error is 0.1
        assert 0 < row["learned"] < 1 and row["start_kl"] > 0
        steps = [each["steps"] for each in row["curve"]]
        assert steps == sorted(steps) and steps[-1] >= 80_000 and len(steps) == 6
    assert (tmp_path / "loop" / "rounds.png").read_bytes().startswith(b"\x89PNG")
    with Store(tmp_path / "loop" / "feedback.db") as store:
        assert {judgement.annotator for judgement in store.judgements()} == {SimulatedAnnotator(0.1).name}
