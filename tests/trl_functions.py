"""Reward functions as people write them for TRL, what TRL computes with them, and a task with their columns."""

import asyncio
import math
import re

from textgym import CharacterMatch, Episode, make_vocabulary
from textgym.tasks import DatasetTask


def accuracy(completions, solution, log_extra=None, **kwargs):
    """1 for the right answer, None where there is none to compare with."""
    log_extra("solution", solution)
    return [None if s == "" else float(c == s) for c, s in zip(completions, solution, strict=True)]


def starts_with_a(completions, **kwargs):
    """Conversational, as format rewards are."""
    return [1.0 if re.match("a", completion[0]["content"]) else 0.0 for completion in completions]


class RepetitionPenalty:
    """On token ids; an object with a name."""

    __name__ = "repetition_penalty"

    def __call__(self, completion_ids, **kwargs):
        pairs = [list(zip(ids, ids[1:], strict=False)) for ids in completion_ids]
        return [len(set(each)) / len(each) - 1 if each else 0.0 for each in pairs]


def cosine_length(prompts, completions, completion_ids, trainer_state, log_metric):
    """No ``**kwargs``: takes exactly this."""
    log_metric("length", sum(map(len, completion_ids)) / len(completion_ids))
    assert trainer_state is None
    return [0.5 * (1 + math.cos(math.pi * min(len(ids) / 20, 1))) for ids in completion_ids]


async def slow_length(completions, **kwargs):
    await asyncio.sleep(0)
    return [len(completion) / 10 for completion in completions]


async def pairs(completions, **kwargs):
    """Applies to texts of an even length alone."""
    await asyncio.sleep(0)
    return [None if len(completion) % 2 else 1 + completion.count("a") for completion in completions]


def as_trl_calls(fn, episodes, texts, ids, columns=(), chat=False, none=0.0):
    """The oracle: one call with all completions; ``none`` where it says None."""

    def message(role, text):
        return [{"role": role, "content": text}] if chat else text

    logged = {"trainer_state": None, "log_extra": lambda *a: None, "log_metric": lambda *a: None}
    if fn is cosine_length:
        logged.pop("log_extra")
    values = fn(
        prompts=[message("user", episode.prompt) for episode in episodes],
        completions=[message("assistant", text) for text in texts],
        completion_ids=ids,
        **{column: [episode.meta[column] for episode in episodes] for column in columns},
        **logged,
    )
    values = asyncio.run(values) if asyncio.iscoroutine(values) else values
    return [none if value is None else value for value in values]


FUNCTIONS = {
    "accuracy": (accuracy, {"columns": ["solution"]}),
    "format": (starts_with_a, {"chat": True}),
    "repetition": (RepetitionPenalty(), {}),
    "cosine": (cosine_length, {}),
    "async": (slow_length, {}),
    "now and then": (pairs, {}),
}


class Answers(DatasetTask):
    """Short answers, some of them unknown, with columns of their own."""

    metric = CharacterMatch()

    def __init__(self, split="train", tokenizer="character", budget=8, lossy=False):
        items = [
            Episode(f"{i}", (answer,) if answer else (), {"solution": answer, "level": i})
            for i, answer in enumerate(["a", "ab", "b a", "", "aab"])
        ]
        vocabulary = make_vocabulary(tokenizer, lambda: ["ab 01234"])
        super().__init__(items, vocabulary=vocabulary, prompt_length=3, budget=budget, split=split, lossy=lossy)
