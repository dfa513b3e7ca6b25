"""What expressions cost: hostile ones at most, right ones beside Python's own ``eval``, and the metrics at every token.

    python -m experiments.benchmarks.expressions [--smoke] [--folder DIR]

Hostile: a list of known attacks, and random expressions of any functions and methods on anything, with large numbers.
The time of a text is the CPU time to read it, evaluate it once and say why it has no value, the least of three rounds;
memory is what ``tracemalloc`` sees at its peak.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from experiments.benchmarks.flags import flags
from experiments.benchmarks.hostile_expressions import FORMS, HOSTILE, NAMES, VALUES, filled
from experiments.benchmarks.timing import compare
from experiments.measurements import Table, measuring
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


def cost_row(name: str, texts: Sequence[str]) -> list:
    costs = np.array([milliseconds(text) for text in tqdm(texts, desc=name)])
    worst = np.argsort(costs)[::-1][:50]
    memory = max(peak_megabytes(texts[i]) for i in worst)
    share = np.mean([not isinstance(evaluate(text), str) for text in texts])
    times = np.percentile(costs, [50, 99, 100]).tolist()
    return [name, len(texts), float(share), *times, memory, texts[worst[0]][:60].replace("|", "¦")]


def beside_eval(rounds: int) -> list:
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
    return ["references, 8 cases each", us, baseline, 1 / ratio.median]


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
    args = flags("experiments.benchmarks.expressions", __doc__).parse_args()
    with measuring("expressions", __doc__, args, ("numpy",)) as tables:
        columns = [("expressions", "{}"), ("texts", "{:,}"), ("have a value", "{:.0%}"), ("median ms", "{:.3f}")]
        columns += [("99 % ms", "{:.2f}"), ("most ms", "{:.2f}"), ("most MB", "{:.1f}"), ("the dearest", "`{}`")]
        known, drawn = (HOSTILE[:10], 50) if args.smoke else (HOSTILE, 20_000)
        rows = [cost_row("known attacks", known), cost_row("random attacks", random_attacks(drawn))]
        tables.append(Table("Expressions that somebody would write to do harm", columns, rows))
        columns = [("right expressions", "{}"), ("us", "{:.0f}"), ("us of compile and eval", "{:.0f}")]
        rows = [beside_eval(2 if args.smoke else 9)]
        tables.append(Table("Beside Python's own eval", [*columns, ("times as slow", "{:.1f}")], rows))
        task, rows = CodeGeneration(), []
        texts = [(episode, episode.references[0]) for episode in map(task.episode, range(5 if args.smoke else 200))]
        for metric in (ValidPrefix(), CasesPassed("visible_examples"), CasesPassed("hidden_cases")):
            tokens(metric, texts)
            rows.append([metric.name, tokens(metric, texts)])
        tables.append(Table("At every token of references", [("metric", "{}"), ("us a character", "{:.2f}")], rows))


if __name__ == "__main__":
    main()
