"""``score``: a metric of texts in files, and what each of their tokens would be paid."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from textgym.commands.common import Refused, colour, value
from textgym.envs.render import as_text, visible
from textgym.envs.state import TextGenState
from textgym.episode import Episode
from textgym.metrics import BatchMetric, Metric
from textgym.replay import as_rows, replay
from textgym.rewards import RewardFunction, make_reward, metric_alone
from textgym.tasks import Task
from textgym.tokenizers import Vocabulary, make_vocabulary


def score(args: argparse.Namespace) -> None:
    """Score texts, one a line, against the same lines of reference files, and show what each token would be paid.

    The mean is that of the lines' scores. The corpus score of a metric such as BLEU is another number: it adds up the
    counts of all lines before it divides.
    """
    texts, episodes = _read(args.hyp, args.ref)
    state = None
    try:
        metric = metric_alone(args.metric)
        _need_references(metric, episodes)
        if args.tokens or not isinstance(metric, Metric):
            schedule = args.schedule if args.tokens else "terminal"
            state = _written(texts, episodes, args.tokenizer, metric, schedule)
        values = _values(metric, texts, episodes, state)
    except (ValueError, TypeError, OSError, ImportError) as error:
        raise Refused(error) from error
    shown = state if args.tokens else None
    if args.json:
        print(json.dumps(_report(metric, texts, values, shown), indent=1))
    else:
        _print(metric, texts, values, shown)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--metric", type=value, required=True, metavar="SPEC",
        help='a name, "package.module:name", or JSON: {"name": "edit_distance", "unit": "word"}',
    )  # fmt: skip
    parser.add_argument(
        "--hyp", required=True, metavar="FILE", help='the texts, UTF-8, one a line; "-": standard input'
    )
    parser.add_argument(
        "--ref", action="append", default=[], metavar="FILE",
        help="their references, for metrics that compare; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--tokenizer", type=value, default="character", metavar="SPEC",
        help="the tokens: character (default), byte_bpe or word, trained on these files; or a saved tokenizer",
    )  # fmt: skip
    parser.add_argument(
        "--schedule", type=value, metavar="SPEC",
        help='when the metric is paid: delta (default), every_step, terminal, delayed, ..., or JSON with arguments: '
        '{"name": "delayed", "k": 4, "reward": "every_step"}',
    )  # fmt: skip
    parser.add_argument(
        "--tokens", action=argparse.BooleanOptionalAction, default=True, help="show what each token is paid (default)"
    )
    parser.add_argument(
        "--json", action="store_true",
        help="one JSON object, for machines; the tokens of a line, as the text that each one adds, make up its text",
    )  # fmt: skip


def _read(hypotheses: str, references: Sequence[str]) -> tuple[list[str], list[Episode]]:
    names = [hypotheses, *references]
    if names.count("-") > 1:
        raise Refused('only one file can be "-", standard input')
    files = [_lines(name) for name in names]
    for name, lines in zip(names, files, strict=True):
        if len(lines) != len(files[0]):
            raise Refused(f"{hypotheses} has {len(files[0])} lines, {name} has {len(lines)}: line i answers line i")
    if not files[0]:
        raise Refused(f"{hypotheses} has no lines")
    texts, *others = files
    return texts, [Episode("", right) for right in (zip(*others, strict=True) if others else [()] * len(texts))]


def _lines(name: str) -> list[str]:
    try:
        if name == "-":
            text = io.TextIOWrapper(io.BytesIO(sys.stdin.buffer.read()), encoding="utf-8-sig").read()
        else:
            with open(name, encoding="utf-8-sig") as file:
                text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"cannot read {name!r}: {error}") from error
    return text.removesuffix("\n").split("\n") if text else []


def _need_references(what: BatchMetric | RewardFunction, episodes: Sequence[Episode]) -> None:
    if what.needs_references and not episodes[0].references:
        raise Refused(f"{what.name!r} compares with references: give their file, line by line, --ref FILE")


class _Lines(Task):
    """The lines of the files as a task, whose score is the metric, so that this is what schedules pay."""

    def __init__(self, metric: BatchMetric, episodes: Sequence[Episode], vocabulary: Vocabulary, budget: int):
        super().__init__(vocabulary=vocabulary, prompt_length=0, budget=budget)
        self.metric, self.episodes = metric, episodes

    def __len__(self):
        return len(self.episodes)

    def episode(self, index):
        return self.episodes[index]

    def sample(self, rng):
        raise ValueError("a metric that learns from a task has none to learn from here: give it texts, or a model")


def _written(
    texts: Sequence[str], episodes: Sequence[Episode], tokenizer: Any, metric: BatchMetric, schedule: Any
) -> TextGenState:
    """One row a text, each written to its end and paid."""
    every = [" ", *texts, *(reference for episode in episodes for reference in episode.references)]
    vocabulary = make_vocabulary(tokenizer, lambda: every)
    ids = vocabulary.encode_all(texts)
    for i, (text, each) in enumerate(zip(texts, ids, strict=True), 1):
        if vocabulary.decode(each) != text:
            raise Refused(
                f"line {i} is {text!r}, of which the tokenizer makes {vocabulary.decode(each)!r}: choose another "
                "--tokenizer, or --no-tokens"
            )
    tokens, lengths = as_rows([[*each, vocabulary.eos] for each in ids], vocabulary)
    task = _Lines(metric, episodes, vocabulary, budget=tokens.shape[1])
    if schedule is None:
        schedule = "terminal" if metric.only_at_end else "delta"
    reward = make_reward(schedule).resolve(task)
    _need_references(reward, episodes)
    state = TextGenState(len(texts), task, reward, keep_payments=True)
    for row in range(len(texts)):
        state.streams.seed(row, np.random.default_rng(row))  # for random rewards
    state.begin(state.all_rows, episodes)
    for t in range(task.budget):
        rows = np.flatnonzero(lengths > t)
        state.append(tokens[rows, t].astype(np.int64), rows)
    return state


def _values(
    metric: BatchMetric, texts: Sequence[str], episodes: Sequence[Episode], state: TextGenState | None
) -> list[float]:
    if isinstance(metric, Metric):
        values = metric.score_all(texts, episodes)
    else:
        values = metric.at_end(state.last_step(state.all_rows)).tolist()
    for i, (given, text) in enumerate(zip(values, texts, strict=True), 1):
        if not np.isfinite(given):
            raise Refused(f"metric {metric.name!r} gave {given} for line {i}, {text!r}")
    return values


def _print(metric: BatchMetric, texts: Sequence[str], values: Sequence[float], state: TextGenState | None) -> None:
    for row, (text, given) in enumerate(zip(texts, values, strict=True)):
        if state is None:
            print(f"{given:.4f}\t{visible(text)}")
        else:
            print(f"{row + 1}: {given:.4f}")
            print(as_text(state, row, colour=colour(), parts=("text", "references")), end="\n\n")
    mean = f"{np.mean(values):.4f}"
    print(f"{mean}\tmean {visible(metric.name)} of {len(texts)} lines, which is not the corpus score")


def _report(
    metric: BatchMetric, texts: Sequence[str], values: Sequence[float], state: TextGenState | None
) -> dict[str, Any]:
    lines: list[dict[str, Any]] = [{"text": text, "value": given} for text, given in zip(texts, values, strict=True)]
    if state is not None:
        for line, size, payments in zip(lines, state.lengths, state.payments, strict=True):
            line |= {"tokens": [], "payments": payments[:size].tolist()}
        for step in replay(state.episodes, state.written, state.lengths, state.vocabulary, needs_text=True):
            for row, piece in zip(step.rows.tolist(), step.pieces, strict=True):
                lines[row]["tokens"].append(piece)
    reward = None if state is None else state.reward.name
    return {"metric": metric.name, "reward": reward, "mean_of_lines": float(np.mean(values)), "lines": lines}
