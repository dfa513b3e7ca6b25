"""What expressions cost: hostile ones at most, right ones beside Python's own ``eval``, and the metrics at every token.

    python -m experiments.benchmarks.expressions [--quick] [--output FILE]

Hostile: a list of known attacks, and random expressions of any functions and methods on anything, with large numbers.
The time of a text is the CPU time to read it, evaluate it once and say why it has no value, the least of three rounds;
memory is what ``tracemalloc`` sees at its peak.
"""

from __future__ import annotations

import argparse
import platform
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from experiments.benchmarks.hostile_expressions import FORMS, HOSTILE, NAMES, VALUES, filled
from experiments.benchmarks.timing import compare
from textgym import CasesPassed, Episode, ValidPrefix
from textgym.expressions import Expression, ExpressionError
from textgym.tasks.code_generation import CodeGeneration


def evaluate(text: str) -> object:
    try:
        return Expression(text).evaluate(NAMES)
    except ExpressionError as error:
        return str(error)


def milliseconds(text: str) -> float:
    times = []
    for _ in range(3):
        start = time.process_time()
        evaluate(text)
        times.append(time.process_time() - start)
    return 1000 * min(times)


def peak_megabytes(text: str) -> float:
    tracemalloc.start()
    evaluate(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def random_attacks(count: int) -> list[str]:
    rng = np.random.default_rng(0)

    def several(choices: Sequence[str], n: int) -> list[str]:
        return [choices[i] for i in rng.integers(len(choices), size=n)]

    return [filled(several(FORMS, rng.integers(1, 12)), several(VALUES, 20)) for _ in range(count)]


def cost_row(name: str, texts: Sequence[str]) -> str:
    costs = np.array([milliseconds(text) for text in tqdm(texts, desc=name)])
    worst = np.argsort(costs)[::-1][:50]
    memory = max(peak_megabytes(texts[i]) for i in worst)
    share = np.mean([not isinstance(evaluate(text), str) for text in texts])
    return (
        f"| {name} | {len(texts):,} | {share:.0%} | {np.median(costs):.3f} | {np.percentile(costs, 99):.2f} "
        f"| {costs.max():.2f} | {memory:.1f} | `{texts[worst[0]][:60]}` |"
    )


def beside_eval(rounds: int) -> str:
    """References of the task on their hidden cases: the expression read once, then a call a case; both sides."""
    task = CodeGeneration(steps=4, arguments=2)
    episodes = [task.episode(i) for i in range(100)]
    jobs = [
        (e.references[0], e.meta["parameters"], [arguments for arguments, _ in e.meta["hidden_cases"]])
        for e in episodes
    ]

    def ours():
        for text, parameters, inputs in jobs:
            expression = Expression(text)
            for arguments in inputs:
                expression.evaluate(dict(zip(parameters, arguments, strict=True)))

    def pythons():
        for text, parameters, inputs in jobs:
            code = compile(text, "", "eval")
            for arguments in inputs:
                eval(code, dict(zip(parameters, arguments, strict=True)))

    ratio = compare(ours, pythons, rounds, 0.2)
    us, baseline = (1e6 * seconds / len(jobs) for seconds in (ratio.seconds, ratio.baseline_seconds))
    return f"| references, 8 cases each | {us:.0f} | {baseline:.0f} | {1 / ratio.median:.1f} |"


def tokens(metric, texts: Sequence[tuple[Episode, str]]) -> float:
    """Microseconds a character."""
    start, count = time.process_time(), 0
    for episode, text in texts:
        progress = metric.start(episode)
        for character in text:
            progress.push(character)
        count += len(text)
    return 1e6 * (time.process_time() - start) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer random expressions and rounds")
    parser.add_argument("--output", type=Path, help="also write the tables to this Markdown file")
    args = parser.parse_args()
    columns = ["expressions", "texts", "have a value", "median ms", "99 % ms", "most ms", "most MB", "the dearest"]
    lines = [f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}", ""]
    lines += ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    lines.append(cost_row("known attacks", HOSTILE))
    lines.append(cost_row("random attacks", random_attacks(1_000 if args.quick else 20_000)))
    lines += ["", "| right expressions | us | us of compile and eval | times as slow |", "|---|---|---|---|"]
    lines.append(beside_eval(3 if args.quick else 9))
    task = CodeGeneration()
    texts = [(episode, episode.references[0]) for episode in map(task.episode, range(200))]
    lines += ["", "| metric, on references | us a character |", "|---|---|"]
    for metric in (ValidPrefix(), CasesPassed("visible_examples"), CasesPassed("hidden_cases")):
        tokens(metric, texts)
        lines.append(f"| {metric.name} | {tokens(metric, texts):.2f} |")
    text = "\n".join(lines)
    print(text)
    if args.output:
        args.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
