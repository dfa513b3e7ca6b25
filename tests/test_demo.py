"""The demo: its verdict says what the numbers say, and the whole of it runs, also after a kill."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("stable_baselines3")

from experiments.demo import COLUMNS, DemoArgs, Lines, curve, demo, draw, steps_done, verdict  # noqa: E402


def result(reward, seed, scores):
    events = ["start", "warm_start", "train"]
    rows = zip(events, (0, 100, 200), scores, strict=True)
    return {
        "reward": reward,
        "seed": seed,
        "evaluations": [{"event": e, "steps": steps, "score": s, "sampled": s / 2} for e, steps, s in rows],
    }


RESULTS = [
    result("delta", 0, (0.0, 0.5, 0.8)),
    result("delta", 1, (0.0, 0.5, 0.6)),
    result("terminal", 0, (0.0, 0.5, 0.4)),
    result("terminal", 1, (0.0, 0.5, 0.72)),
]


def test_the_curve_begins_where_reinforcement_learning_does():
    steps, scores = curve(RESULTS[0], "score")
    assert steps.tolist() == [100, 200] and scores.tolist() == [0.5, 0.8]


def test_the_verdict_names_each_line_for_each_reward():
    said = verdict(RESULTS, Lines(copy_prompt=0.65, warm_start={"score": 0.5, "sampled": 0.25}, overlap=0.1))
    greedy, sampled = said.split(" Sampled: ")
    assert "\n" not in said
    assert "delta beat copy-the-prompt (0.700 against 0.650, 1 of 2 runs)" in greedy
    assert "terminal did not beat copy-the-prompt (0.560 against 0.650, 1 of 2 runs)" in greedy
    assert "terminal beat the warm start (0.560 against 0.500, 1 of 2 runs)" in greedy
    assert "delta did not beat copy-the-prompt (0.350 against 0.650, 0 of 2 runs)" in sampled


def test_without_a_warm_start_no_line_is_made_up():
    said = verdict(RESULTS, Lines(copy_prompt=0.65, warm_start={}, overlap=0.1))
    assert "warm start" not in said and said.count("copy-the-prompt") == 2 * len(COLUMNS)


def test_the_figure_is_drawn(tmp_path):
    lines = Lines(copy_prompt=0.65, warm_start={"score": 0.5, "sampled": 0.25}, overlap=0.1)
    assert draw(DemoArgs(folder=tmp_path), RESULTS, lines).read_bytes().startswith(b"\x89PNG")


def test_progress_of_a_run_that_has_not_been_evaluated_is_zero(tmp_path):
    assert steps_done(tmp_path) == 0
    (tmp_path / "evaluations.csv").write_text("event,steps,score\n")
    assert steps_done(tmp_path) == 0
    (tmp_path / "evaluations.csv").write_text("event,steps,score\ntrain,2048,0.5\n")
    assert steps_done(tmp_path) == 2048


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"env": "Speling-v0"}, "Did you mean 'Spelling-v0'"),
        ({"steps": 0}, "steps must be a whole number, at least 1"),
        ({"seeds": 0}, "seeds must be"),
        ({"processes": 0}, "processes must be"),
        ({"eval_episodes": 0}, "eval_episodes must be"),
        ({"warm_start": -1}, "warm_start must be"),
        ({"steps": 100}, "steps=100 leaves no reinforcement learning"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_runs(changes, words, tmp_path):
    with pytest.raises(ValueError, match=re.escape(words)):
        demo(DemoArgs(folder=tmp_path / "demo", **changes))
    assert not (tmp_path / "demo").exists()


@pytest.mark.slow
def test_the_demo_runs_and_goes_on_after_a_kill(tmp_path):
    command = [sys.executable, "-m", "experiments.demo", "--folder", str(tmp_path / "demo"), "--seeds", "1"]
    command += ["--steps", "30000", "--warm-start", "20", "--eval-episodes", "50"]
    root = Path(__file__).parents[1]
    killed = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    runs = [tmp_path / "demo" / f"{reward}-s0" for reward in ("delta", "terminal")]
    while not 0 < sum(map(steps_done, runs)) < 2 * 30000:  # in the middle
        assert killed.poll() is None, "over before it could be killed"
        time.sleep(0.1)
    killed.kill()
    killed.wait()
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    first = (tmp_path / "demo" / "report.md").read_text().splitlines()[0]
    assert "copy-the-prompt" in first and str(tmp_path / "demo") in first and first in done.stdout
    assert (tmp_path / "demo" / "figure.png").stat().st_size > 10_000
