"""How fast the environments step, against the best plain-Python environment one would write by hand.

    python -m experiments.benchmarks.envs [--smoke] [--folder DIR]

Vocabulary 128, budget 64, uniformly random actions, one thread. Ratios are medians over rounds in which
both sides are timed one after the other, five in each of five processes (which differ by several percent);
in brackets the 10th and 90th percentile. Two rewards: the
array metric ``token_match`` and the text metric ``character_accuracy`` (incremental edit distance),
whose Python code is the same on both sides and bounds what batching can gain.
"""

from __future__ import annotations

import cProfile
import pstats
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from gymnasium.vector import SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv
from tqdm import tqdm

import textgym
from experiments.benchmarks.flags import flags
from experiments.benchmarks.reference_env import ReferenceEnv
from experiments.benchmarks.task import CopyWide
from experiments.benchmarks.timing import TIMES, Ratio, compare, in_fresh_processes
from experiments.measurements import Table, measuring
from textgym.sb3 import SB3VecEnv

METRICS = ("token_match", "character_accuracy")
TASK = CopyWide()


def stepper(env, n: int | None) -> Callable[[], object]:
    """A function that steps ``env`` once with the next of some random actions (n None: a single env)."""
    rng = np.random.default_rng(0)
    actions = rng.integers(0, TASK.vocabulary.size, (512, n or 1))
    state = {"t": 0}

    def step():
        state["t"] = (state["t"] + 1) % 512
        if n is not None:
            return env.step(actions[state["t"]])
        result = env.step(actions[state["t"], 0])
        if result[2]:
            env.reset()

    return step


def single(metric: str) -> tuple[Callable, Callable]:
    env, reference = textgym.TextGenEnv(TASK, reward=f"delta:{metric}"), ReferenceEnv(TASK, textgym.make_metric(metric))
    env.reset(seed=0)
    reference.reset(seed=0)
    return stepper(env, None), stepper(reference, None)


def vector_envs(metric: str, n: int, copy: bool = True) -> tuple[textgym.TextGenVectorEnv, SyncVectorEnv]:
    recipe = textgym.make_metric(metric)
    env = textgym.TextGenVectorEnv(TASK, n, reward=f"delta:{metric}", autoreset_mode="SameStep", copy=copy)
    reference = SyncVectorEnv([lambda: ReferenceEnv(TASK, recipe)] * n, autoreset_mode="SameStep")
    env.reset(seed=0)
    reference.reset(seed=0)
    return env, reference


def vector(metric: str, n: int, copy: bool = True) -> tuple[Callable, Callable]:
    env, reference = vector_envs(metric, n, copy)
    return stepper(env, n), stepper(reference, n)


def without_ends(metric: str, n: int, rounds: int) -> Ratio:
    """Tokens 2-60 of texts none of which ends: steps without reports of ends and without new episodes."""
    envs = vector_envs(metric, n)
    actions = np.random.default_rng(0).integers(0, TASK.vocabulary.size - 1, (60, n))  # no EOS
    times = np.empty((rounds, 2))
    for r in range(rounds):
        for i, env in enumerate(envs):
            env.reset(seed=r)
            env.step(actions[0])
            start = time.perf_counter()
            for action in actions[1:]:
                env.step(action)
            times[r, i] = (time.perf_counter() - start) / 59
    return Ratio(float(np.median(times[:, 0])), float(np.median(times[:, 1])), times[:, 1] / times[:, 0])


def sb3(metric: str, n: int) -> tuple[Callable, Callable]:
    recipe = textgym.make_metric(metric)
    env = SB3VecEnv(textgym.TextGenVectorEnv(TASK, n, reward=f"delta:{metric}", autoreset_mode="SameStep"))
    reference = DummyVecEnv([lambda: ReferenceEnv(TASK, recipe)] * n)
    env.reset()
    reference.reset()
    return stepper(env, n), stepper(reference, n)


def flatness(metric: str, n: int, passes: int) -> Ratio:
    """Tokens 961-1,020 of a text against tokens 1-60, in each of some passes over texts of 1,023 tokens."""
    env = textgym.TextGenVectorEnv(CopyWide(length=1023, items=200), n, reward=f"delta:{metric}", copy=False)
    actions = np.random.default_rng(0).integers(0, TASK.vocabulary.size - 1, (1020, n))  # no EOS
    times = np.empty((passes, 2))
    for r in range(passes):
        env.reset(seed=r)
        spent = np.empty(1020)
        for t, action in enumerate(actions):
            start = time.perf_counter()
            env.step(action)
            spent[t] = time.perf_counter() - start
        times[r] = np.median(spent[960:]), np.median(spent[:60])
    return Ratio(float(np.median(times[:, 0])), float(np.median(times[:, 1])), times[:, 1] / times[:, 0])


def resets(n: int) -> tuple[Callable, Callable]:
    """Resets over 200,000 items against resets over 200."""
    small, large = (textgym.TextGenVectorEnv(CopyWide(items=items), n) for items in (200, 200_000))
    return large.reset, small.reset


def against(make: Callable, arguments: tuple, rounds: int, seconds: float) -> Ratio:
    """The ratio of what ``make(*arguments)`` gives: a step of ours and one of the baseline."""
    return compare(*make(*arguments), rounds=rounds, seconds=seconds)


def shares(n: int, metric: str = "token_match", steps: int = 2000) -> list[tuple[str, float]]:
    """Where the vector env's time goes: share of each part, by a profile (which slows Python calls down)."""
    env = textgym.TextGenVectorEnv(TASK, n, reward=f"delta:{metric}", autoreset_mode="SameStep")
    env.reset(seed=0)
    step = stepper(env, n)
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(steps):
        step()
    profile.disable()
    cumulative = {}
    for (file, _, name), (_, _, _, total, _) in pstats.Stats(profile).stats.items():
        cumulative[Path(file).name, name] = cumulative.get((Path(file).name, name), 0.0) + total
    whole = cumulative["vector.py", "step"]
    parts = {
        "write tokens and find ends": cumulative["state.py", "append"] - cumulative["state.py", "_pay"],
        "reward": cumulative["state.py", "_pay"],
        "ends: score, text, final info": cumulative["vector.py", "_add_final"],
        "new episodes": cumulative["state.py", "begin"],
        "check actions": cumulative["checks.py", "checked_actions"],
        "copy of the observation": cumulative["vector.py", "observe"],
    }
    parts["infos and the rest"] = whole - sum(parts.values())
    return [(name, seconds / whole) for name, seconds in parts.items()]


def main() -> None:
    args = flags("experiments.benchmarks.envs", __doc__).parse_args()
    rounds, seconds = (2, 0.01) if args.smoke else (5, 0.2)
    rows = (8, 16) if args.smoke else (64, 1024)
    jobs: list[tuple[str, int, Callable[..., Ratio], tuple]] = []  # what, rows, measure, its arguments

    def add(what: str, n: int, make: Callable, *arguments) -> None:
        jobs.append((what, n, against, (make, arguments, rounds, seconds)))

    for metric in METRICS:
        add(f"TextGenEnv against the reference env, {metric}", 1, single, metric)
        for n in rows:
            add(f"vector env, {n} rows, against SyncVectorEnv, {metric}", n, vector, metric, n)
            going_on = f"vector env, {n} rows, steps in which no episode ends, {metric}"
            jobs.append((going_on, n, without_ends, (metric, n, rounds)))
            add(f"SB3 adapter, {n} rows, against DummyVecEnv, {metric}", n, sb3, metric, n)
        n, passes = rows[1], 1 if args.smoke else 5
        late = f"a token after 960 others against one after few, {n:,} rows, {metric}"
        jobs.append((late, n, flatness, (metric, n, passes)))
    many = f"vector env with copy=False, {rows[1]:,} rows, against SyncVectorEnv, token_match"
    add(many, rows[1], vector, "token_match", rows[1], False)
    add(f"reset of {rows[0]} rows over 200,000 items against over 200", rows[0], resets, rows[0])
    with measuring("envs", __doc__, args, ("gymnasium", "stable-baselines3", "numpy")) as tables:
        columns = [("what", "{}"), ("us a step of a row", "{:.2f}"), ("baseline", "{:.2f}"), ("times as fast", TIMES)]
        tables.append(Table("What the environments cost, and what they are held against", columns, []))
        for what, n, measure, arguments in tqdm(jobs, desc="benchmarks"):
            ratio = measure(*arguments) if args.smoke else in_fresh_processes(measure, arguments, 5)
            us, baseline = ratio.seconds / n * 1e6, ratio.baseline_seconds / n * 1e6
            tables[0].rows.append([what, us, baseline, ratio.cell])
        for n in rows:
            where = f"Where a step of {n} rows goes (delta:token_match, under a profiler)"
            parts = [list(part) for part in shares(n, steps=100 if args.smoke else 2000)]
            tables.append(Table(where, [("part", "{}"), ("share", "{:.0%}")], parts))


if __name__ == "__main__":
    main()
