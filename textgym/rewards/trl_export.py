"""Rewards as reward functions of TRL's trainers (GRPO, RLOO). The way here is in ``trl.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from textgym.episode import Episode
from textgym.errors import did_you_mean, one_of
from textgym.replay import as_rows, replay
from textgym.rewards.base import RewardFunction, part_of
from textgym.rewards.trl import OF_TRAINER
from textgym.tokenizers import Vocabulary

REFERENCE_COLUMNS = ("references", "reference", "answer", "solution", "ground_truth", "target")


def to_trl(
    reward: Any, vocabulary: Vocabulary | None = None, name: str | None = None, references: str | None = None
) -> TRLReward:
    """A reward as a TRL reward function, ``f(prompts, completions, completion_ids=None, **columns) -> list[float]``.

    ``f`` replays the completions token by token, each as an episode of its own, all in one batch, and returns what
    the tokens of each are paid together. The sum is all that TRL sees: where in a text the reward is paid makes no
    difference to it. Random rewards draw from a generator seeded with 0 when ``f`` is made.

    Args:
        reward: any spec of :func:`~textgym.rewards.make_reward` that needs no task ("delta:chrf", not "delta").
        vocabulary: the trainer's. ``completion_ids`` are replayed as they are, so that rewards of token ids, or that
            pay by the token, see the trainer's tokens. None: single characters.
        name: ``f.__name__``, under which TRL logs it; by default the reward's.
        references: the column with the references of each completion, a text or several. By default the first of
            "references", "reference", "answer", "solution", "ground_truth" and "target" that holds texts. All
            columns are in ``episode.meta``. A completion whose cell is None has no references.

    Raises:
        TypeError, ValueError: a wrong reward. ``f`` raises ``ValueError`` for columns of another length, a column of
            references that is not there or holds no texts, a reward that compares with references where no column
            has them, and ids that are not those of the completion.
    """
    return TRLReward(part_of(reward), vocabulary, name, references)


class TRLReward:
    """What :func:`to_trl` returns. An object rather than a function so that it can be pickled; TRL calls it as well."""

    def __init__(self, reward: RewardFunction, vocabulary: Vocabulary | None, name: str | None, references: str | None):
        self.__name__ = name or reward.name
        self.reward = reward
        self.reads_ids = vocabulary is not None
        self.vocabulary = vocabulary or Vocabulary.characters(" ")  # which grows with the texts
        self.references = references
        self.rng = np.random.default_rng(0)
        reward.run(1, [self.rng], self.vocabulary)  # raises where it cannot be run without a task

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any], completion_ids=None, **columns: Any
    ) -> list[float]:
        texts = [_content(completion) for completion in completions]
        if len(prompts) != len(texts):
            raise ValueError(f"{len(prompts)} prompts for {len(texts)} completions")
        if not texts:
            return []
        episodes = self._episodes([_content(prompt) for prompt in prompts], columns)
        if self.reads_ids and completion_ids is not None:
            ids = [self._checked(*each) for each in zip(completion_ids, texts, strict=True)]
        else:
            if not self.reads_ids:
                self._learn_characters(texts, episodes)
            ids = [[*each.tolist(), self.vocabulary.eos] for each in self.vocabulary.encode_all(texts)]
        tokens, lengths = as_rows(ids, self.vocabulary)
        paid = payments(self.reward, episodes, tokens, lengths, self.vocabulary, self.rng.spawn(len(texts)))
        return paid.sum(axis=1).tolist()

    def _episodes(self, prompts: Sequence[str], columns: Mapping[str, Any]) -> list[Episode]:
        # what is no list, or the trainer's own, is no column
        columns = {k: c for k, c in columns.items() if isinstance(c, (list, tuple)) and k not in OF_TRAINER}
        for name, cells in columns.items():
            if len(cells) != len(prompts):
                raise ValueError(f"column {name!r} has {len(cells)} values for {len(prompts)} completions")
        source = self._column_of_references(columns)
        episodes = []
        for i, prompt in enumerate(prompts):
            meta = {name: cells[i] for name, cells in columns.items()}
            found = meta.get(source)
            if not _are_texts(found):
                raise ValueError(f"column {source!r} must hold texts, or lists of texts, got {found!r}")
            references = () if found is None else (found,) if isinstance(found, str) else tuple(found)
            episodes.append(Episode(prompt, references, meta))
        return episodes

    def _column_of_references(self, columns: Mapping[str, Any]) -> str | None:
        """Its name; None where there is none, and the reward needs none."""
        if self.references is not None:
            return one_of("column of references", self.references, columns)
        for name in REFERENCE_COLUMNS:
            if name in columns and all(map(_are_texts, columns[name])):
                return name
        if not self.reward.needs_references:
            return None
        hint = next(filter(None, (did_you_mean(name, REFERENCE_COLUMNS) for name in columns)), "")
        raise ValueError(
            f"reward {self.reward.name!r} compares with references, and none of {', '.join(REFERENCE_COLUMNS)} is a "
            f"column of texts; given: {', '.join(columns) or 'no columns'}.{hint} Or say which one it is: "
            "to_trl(..., references='...')"
        )

    def _learn_characters(self, texts: Sequence[str], episodes: Sequence[Episode]) -> None:
        new = set().union(*texts, *(text for e in episodes for text in (e.prompt, *e.references)))
        known = self.vocabulary.decode(range(self.vocabulary.eos))
        if not new <= set(known):
            self.vocabulary = Vocabulary.characters([*new, known])

    def _checked(self, ids: Sequence[int], text: str) -> list[int]:
        """``ids`` as one episode: up to the first EOS, and never empty."""
        vocabulary, ids = self.vocabulary, [int(i) for i in ids]
        ids = ids[: ids.index(vocabulary.eos) + 1] if vocabulary.eos in ids else ids
        known = all(0 <= i < vocabulary.size for i in ids)
        if not known or vocabulary.decode(ids) != text:
            other = (
                f"but of {vocabulary.decode(ids)!r}" if known else f"since the vocabulary has {vocabulary.size} tokens"
            )
            raise ValueError(
                f"completion_ids {ids[:20]} are not those of the completion {text!r}, {other}: is vocabulary the "
                "trainer's own? Without one, single characters are replayed"
            )
        return ids or [vocabulary.eos]


def payments(
    reward: RewardFunction,
    episodes: Sequence[Episode],
    tokens: np.ndarray,
    lengths: np.ndarray,
    vocabulary: Vocabulary,
    rngs: Sequence[np.random.Generator],
) -> np.ndarray:
    """What each token is paid, float64 (k, width), 0 after the last ones.

    Args:
        reward: the reward, metrics resolved.
        episodes, tokens, lengths, vocabulary: as for :func:`~textgym.replay.replay`.
        rngs: k generators, for rewards that draw random numbers.

    Raises:
        RewardError: the reward or a metric raised, or paid no finite number.
    """
    running = reward.run(len(tokens), rngs, vocabulary)
    running.reset(np.arange(len(tokens)), episodes)
    paid = np.zeros(tokens.shape)
    for step in replay(episodes, tokens, lengths, vocabulary, running.needs_text):
        paid[step.rows, step.lengths - 1] = running.step(step)
    return paid


def _content(given: str | Sequence[Mapping[str, Any]]) -> str:
    """The text of a prompt or completion; of a conversation that of all messages."""
    return given if isinstance(given, str) else "\n".join(message["content"] for message in given)


def _are_texts(given: Any) -> bool:
    """Whether a cell of a column can be references: a text, several, or none."""
    several = isinstance(given, (list, tuple)) and all(isinstance(text, str) for text in given)
    return several or given is None or isinstance(given, str)
