"""The loop of feedback: it runs, it goes on from wherever it was stopped, it learns."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from helpers import ROOT  # noqa: E402

from agents.feedback import Store  # noqa: E402
from agents.feedback import loop as module  # noqa: E402
from agents.feedback.loop import LoopArgs, loop  # noqa: E402

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


def test_what_cannot_be_is_said_before_anything_is_made(tmp_path):
    folder = tmp_path / "loop"
    for settings, said in (
        ({"policy": {"kl_wait": 1}}, "kl_weight"),
        ({"policy": {"steps": 1}}, "flag in policy"),
        ({"policy": {"layers": 3}}, "flag in policy"),
        ({"critic_start": 300}, "leaves none to learn from"),
        ({"penalty": 1.0, "members": 1}, "cannot disagree"),
    ):
        with pytest.raises(ValueError, match=said):
            loop(LoopArgs(folder=folder, **{**TINY, **settings}))
    assert not folder.exists()


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
