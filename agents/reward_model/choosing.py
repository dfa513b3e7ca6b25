"""What an ensemble disagrees about, for :func:`agents.feedback.next_item`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agents.evaluation import evaluation_env
from agents.reward_model.judged import window_rows
from agents.reward_model.scorer import load_scorer

if TYPE_CHECKING:
    from agents.feedback.choosing import Item

KEPT = 100_000  # texts whose scores are remembered


def disagreement(path: str | Path, device: str = "cpu") -> Callable[[Sequence[Item]], np.ndarray]:
    """The standard deviation over the members of what they expect: the probability that the first text is preferred, of
    one text alone sigmoid(score). 0 for texts of other tasks, and those that are too long.

    Raises:
        FileNotFoundError, ValueError: as :func:`~agents.reward_model.scorer.load_scorer`; or it has one member.
    """
    scorer = load_scorer(path, device)
    if scorer.members < 2:
        raise ValueError(f"{path} has one member, which cannot disagree: train with --members 3")
    config = scorer.config
    env = evaluation_env(config["env"], "train", num_envs=1, **config["env_kwargs"])
    scorer.check(env.vocabulary, env.prompt_length, env.budget)
    known: dict[tuple[str, str], np.ndarray | None] = {}

    def of_items(items: Sequence[Item]) -> np.ndarray:
        if len(known) > KEPT:
            known.clear()
        texts = [[(text.prompt, text.text) for text in item.texts if text.task == config["task"]] for item in items]
        new = sorted({text for each in texts for text in each} - known.keys())
        known.update(dict.fromkeys(new))
        windows, lengths, fit = window_rows(
            env.vocabulary, env.prompt_length, env.budget, [prompt for prompt, _ in new], [text for _, text in new]
        )
        if fit:
            scores = scorer.scores(windows[:, 1:].numpy(), lengths.numpy())
            known.update(zip([new[i] for i in fit], scores, strict=True))
        return np.array([_of_item([known[text] for text in each]) for each in texts])

    return of_items


def _of_item(scores: list[np.ndarray | None]) -> float:
    if not scores or any(each is None for each in scores):
        return 0.0
    difference = scores[0] - scores[1] if len(scores) == 2 else scores[0]
    return float((1 / (1 + np.exp(-difference))).std())
