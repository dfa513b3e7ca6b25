"""How fast the environments step, against the best plain-Python environment one would write by hand.

    python -m experiments.benchmarks.envs [--quick] [--output FILE]

Vocabulary 128, budget 64, uniformly random actions, one thread. Ratios are medians over rounds in which
both sides are timed one after the other; in brackets the 10th and 90th percentile. Two rewards: the
array metric ``token_match`` and the text metric ``character_accuracy`` (incremental edit distance),
whose Python code is the same on both sides and bounds what batching can gain.
"""

from __future__ import annotations

import cProfile
import platform
import pstats
import time
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
from gymnasium.vector import SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv
from tqdm import tqdm

import textgym
from experiments.benchmarks.flags import flags
from experiments.benchmarks.reference_env import ReferenceEnv
from experiments.benchmarks.task import CopyWide
from experiments.benchmarks.timing import Ratio, compare
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


def vector(metric: str, n: int, copy: bool = True) -> tuple[Callable, Callable]:
    recipe = textgym.make_metric(metric)
    env = textgym.TextGenVectorEnv(TASK, n, reward=f"delta:{metric}", autoreset_mode="SameStep", copy=copy)
    reference = SyncVectorEnv([lambda: ReferenceEnv(TASK, recipe)] * n, autoreset_mode="SameStep")
    env.reset(seed=0)
    reference.reset(seed=0)
    return stepper(env, n), stepper(reference, n)


def sb3(metric: str, n: int) -> tuple[Callable, Callable]:
    recipe = textgym.make_metric(metric)
    env = SB3VecEnv(textgym.TextGenVectorEnv(TASK, n, reward=f"delta:{metric}", autoreset_mode="SameStep"))
    reference = DummyVecEnv([lambda: ReferenceEnv(TASK, recipe)] * n)
    env.reset()
    reference.reset()
    return stepper(env, n), stepper(reference, n)


def flatness(metric: str, n: int = 1024, passes: int = 5) -> Ratio:
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


def resets(n: int = 64) -> tuple[Callable, Callable]:
    """Resets over 200,000 items against resets over 200."""
    small, large = (textgym.TextGenVectorEnv(CopyWide(items=items), n) for items in (200, 200_000))
    return large.reset, small.reset


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
    args = flags("experiments.benchmarks.envs", __doc__)
    budget = {"rounds": 5, "seconds": 0.05} if args.quick else {"rounds": 21, "seconds": 0.2}
    jobs: list[tuple[str, int, Callable[[], Ratio]]] = []  # what, rows, measure

    def add(what: str, rows: int, make: Callable, *arguments) -> None:
        jobs.append((what, rows, lambda: compare(*make(*arguments), **budget)))

    for metric in METRICS:
        add(f"TextGenEnv against the reference env, {metric}", 1, single, metric)
        for n in (64, 1024):
            add(f"vector env, {n} rows, against SyncVectorEnv, {metric}", n, vector, metric, n)
            add(f"SB3 adapter, {n} rows, against DummyVecEnv, {metric}", n, sb3, metric, n)
        late = f"a token after 960 others against one after few, 1,024 rows, {metric}"
        jobs.append((late, 1024, lambda metric=metric: flatness(metric)))
    add(
        "vector env with copy=False, 1,024 rows, against SyncVectorEnv, token_match",
        1024,
        vector,
        "token_match",
        1024,
        False,
    )
    add("reset of 64 rows over 200,000 items against over 200", 64, resets)
    lines = [
        f"gymnasium {gym.__version__}, numpy {np.__version__}, Python {platform.python_version()}",
        "",
        "| what | us a step of a row | baseline | times as fast |",
        "|---|---|---|---|",
    ]
    for what, rows, measure in tqdm(jobs, desc="benchmarks"):
        ratio = measure()
        us, baseline = ratio.seconds / rows * 1e6, ratio.baseline_seconds / rows * 1e6
        lines.append(f"| {what} | {us:.2f} | {baseline:.2f} | {ratio} |")
    for n in (64, 1024):
        lines += ["", f"Where a step of {n} rows goes (delta:token_match, share under a profiler):", ""]
        lines += [f"- {name}: {share:.0%}" for name, share in shares(n)]
    text = "\n".join(lines)
    print(text)
    if args.output:
        args.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
