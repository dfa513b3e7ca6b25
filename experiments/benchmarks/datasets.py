"""Tasks over data of one's own: time of a draw, memory of a stream, and real translation by agents that do not learn.

    python -m experiments.benchmarks.datasets [--smoke] [--folder DIR]
        [--parallel "data/{split}.en.gz" "data/{split}.de.gz" --splits '{"validation": "val"}']

Generated rows of JSON lines; the files are made in a temporary folder (1 GB) and deleted. Memory is the resident set of
a process that does nothing else; ratios are medians over rounds, in brackets the 10th and 90th percentile. With
``--parallel`` the texts of two parallel files, too.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import zip_longest
from operator import eq
from pathlib import Path

import gymnasium as gym
import numpy as np
import sacrebleu

from agents.baselines import make_baseline
from agents.evaluation import evaluate, evaluation_env
from experiments.benchmarks.flags import flags
from experiments.benchmarks.timing import TIMES, compare
from experiments.measurements import Table, measuring
from textgym.tasks import SPLITS
from textgym.tasks.own_data import Dataset

VOCABULARIES = {
    "byte_bpe": {"tokenizer": {"name": "byte_bpe", "size": 8192}},
    "word": {"tokenizer": {"name": "word", "size": 8192}, "lossy": True},
}
AGENTS = ("reference", "copy_prompt", "ngram")
COLUMNS = {"prompt": "{question}", "reference": "{answer}"}


def lines(words: int, seed: int = 0) -> Iterator[str]:
    """Rows without end: a question and an answer of so many made-up words each."""
    rng = np.random.default_rng(seed)
    known = ["".join(rng.choice(list("abcdefghijklmnop"), rng.integers(2, 9))) for _ in range(5000)]
    number = 0
    while True:
        for drawn in rng.integers(len(known), size=(1000, 2 * words)).tolist():
            texts = " ".join([known[i] for i in drawn[:words]]), " ".join([known[i] for i in drawn[words:]])
            yield json.dumps({"id": number, "question": texts[0], "answer": texts[1]}) + "\n"
            number += 1


def write(path: Path, *, rows: int | None = None, size: int | None = None, words: int = 4) -> str:
    """A file with so many rows, or of so many bytes."""
    with open(path, "w") as file:
        for number, line in enumerate(lines(words), 1):
            file.write(line)
            if number == rows or (size is not None and file.tell() >= size):
                return str(path)


def draws(folder: Path, rows: int, rounds: int) -> Table:
    """Resets and draws over many rows against 1,000."""
    paths = {n: write(folder / f"{n}.jsonl", rows=n) for n in (1000, rows)}
    made = []
    for streaming in (False, True):
        # no cache of a tokenizer or a metric, which a thousand texts would fit in
        arguments = {**COLUMNS, "streaming": streaming, "tokenizer": "character", "metric": "exact_match"}
        small, large = (gym.make_vec("textgym/Dataset-v0", num_envs=64, path=p, **arguments) for p in paths.values())
        how = "streamed" if streaming else "in memory"
        sampling = [partial(env.task.sample, np.random.default_rng(0)) for env in (large, small)]
        for what, functions in {"reset of 64 rows": (large.reset, small.reset), "sample": sampling}.items():
            ratio = compare(*functions, rounds=rounds, seconds=0.2)
            made.append([f"{what}, {how}", ratio.seconds * 1e6, ratio.baseline_seconds * 1e6, ratio.cell])
    columns = [("what", "{}"), (f"us, {rows:,} rows", "{:.1f}"), ("us, 1,000 rows", "{:.1f}"), ("times as fast", TIMES)]
    return Table("Draws over many rows and over few", columns, made)


def resident(what: str) -> float:
    """MB of the resident set: VmRSS, now, or VmHWM, at most (Linux; ``getrusage`` counts what the parent had, too)."""
    return int(re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024 / 1e6


def stream(path: str) -> dict[str, float]:
    """What a stream over a file costs: seconds of the processor, MB at most and afterwards."""
    before, start = resident("VmRSS"), time.process_time()
    task = gym.make("textgym/Dataset-v0", path=path, **COLUMNS, streaming=True).unwrapped.task
    made = {"seconds": time.process_time() - start, "peak": resident("VmHWM")}
    rng = np.random.default_rng(0)
    for _ in range(20_000):
        task.sample(rng)
    return {**made, "before": before, "after": resident("VmRSS")}


def translations(source: str, target: str, splits: dict[str, str | None]) -> list[Table]:
    """Vocabularies, drops, and corpus BLEU on the test split."""
    id, made = "textgym/TranslationDataset-v0", []
    for name, vocabulary in VOCABULARIES.items():
        data = {"path": {"source": source, "target": target}, "splits": splits, **vocabulary}
        start = time.process_time()
        tasks = {split: gym.make(id, **data, split=split).unwrapped.task for split in SPLITS}
        test, seconds = tasks["test"], time.process_time() - start
        sizes = f"V = {test.vocabulary.size}, prompt_length {test.prompt_length}, budget {test.budget}"
        caption = f"{name}, {sizes}; the three splits made in {seconds:.1f} s of the processor"
        made.append(Table(caption, KEPT, [[split, *about(task)] for split, task in tasks.items()]))
        env, rows = evaluation_env(id, "test", **data), []
        for agent in AGENTS:
            wrote = evaluate(make_baseline(agent, id, env.task, **data), env, len(env.task))
            bleu = sacrebleu.corpus_bleu(wrote.texts, [*zip_longest(*wrote.references)])
            rows.append([agent, bleu.score, wrote.mean_score])
        columns = [("agent on test", "{}"), ("corpus BLEU", "{:.2f}"), ("mean chrF", "{:.3f}")]
        made.append(Table(f"Agents that do not learn, {name}", columns, rows))
    return made


KEPT = [("split", "{}"), ("items", "{:,}"), ("left out", "{}"), ("references", "{:,}")]
KEPT += [("survive `decode(encode())`", "{:,}"), ("are references of train", "{:.1%}")]


def about(task: Dataset) -> list:
    """Items, drops, what the vocabulary loses, and what is in train, too."""
    texts = [reference for item in task.items for reference in item.references]
    written = map(task.vocabulary.decode, task.vocabulary.encode_all(texts))
    left_out = ", ".join(f"{count} {reason}" for reason, count in task.dropped.items()) or "nothing"
    return [len(task), left_out, len(texts), sum(map(eq, texts, written)), task.overlap]


def streams(folder: Path, size: int) -> Table:
    """What files of ``size`` bytes cost to stream, rows short and long, each in a process of its own."""
    rows = []
    for words in (14, 60):
        path = write(folder / f"{words}.jsonl", size=size, words=words)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:
            cost = other.submit(stream, path).result()
        with open(path, "rb") as file:
            count = sum(1 for _ in file)
        rows.append([count, os.path.getsize(path), *(cost[name] for name in ("seconds", "before", "peak", "after"))])
        os.remove(path)
    columns = [("rows streamed", "{:,}"), ("bytes", "{:,}"), ("s of the processor", "{:.0f}"), ("MB before", "{:.0f}")]
    return Table("A stream", [*columns, ("MB at most", "{:.0f}"), ("MB after 20,000 draws", "{:.0f}")], rows)


def main() -> None:
    parser = flags("experiments.benchmarks.datasets", __doc__)
    parser.add_argument("--parallel", nargs=2, metavar=("SOURCE", "TARGET"), help="text files, {split} in their names")
    parser.add_argument("--splits", type=json.loads, default={}, metavar="JSON", help="names of the splits in them")
    args = parser.parse_args()
    rows, size, rounds = (2_000, 10**6, 2) if args.smoke else (10**6, 10**9, 31)
    settings = {"parallel": " and ".join(Path(path).name for path in args.parallel)} if args.parallel else {}
    with (
        measuring("datasets", __doc__, args, ("sacrebleu", "numpy"), **settings) as tables,
        tempfile.TemporaryDirectory() as folder,
    ):
        tables.append(draws(Path(folder), rows, rounds))
        tables.append(streams(Path(folder), size))
        if args.parallel:
            tables += translations(*args.parallel, args.splits)


if __name__ == "__main__":
    main()
