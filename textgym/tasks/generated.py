"""Tasks whose episodes are made on the fly by a rule."""

from __future__ import annotations

import zlib
from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from textgym.episode import Episode
from textgym.tasks.base import SPLITS, Task
from textgym.tokenizers import make_vocabulary

_TRIES = 10_000
_PROBES = 100  # episodes looked at when a task is built


T = TypeVar("T")


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of ``options``, each with the same probability, in a tenth of the time of ``rng.choice``."""
    return options[int(rng.random() * len(options))]


class GeneratedTask(Task):
    """A task that makes its episodes: subclasses give :meth:`generate` and ``metric``.

    Splits are disjoint by prompt: of all prompts 8 in 10 are train, 1 validation, 1 test, by a checksum (where
    :meth:`generate` takes what is its split's alone, ``_split_of`` may say so).
    Episodes that do not fit are never returned; ``dropped`` counts them among the first 100 generated.
    Tasks whose prompt is always the same set ``one_prompt = True``: all splits are then the same.

    Args:
        alphabet: every character that prompts and references may contain.
        prompt_length: characters of the longest prompt (or words, if the vocabulary is one of words).
        text_length: those of the longest reference; the budget is one more, for EOS.
        split, tokenizer, budget, lossy: as for every task. ``tokenizer`` is what
            :func:`~textgym.tokenizers.make_vocabulary` takes.
    """

    one_prompt = False
    fixed_episodes = 10_000

    def __init__(
        self,
        alphabet: str,
        prompt_length: int,
        text_length: int,
        *,
        split: str = "train",
        tokenizer="character",
        budget: int | None = None,
        lossy: bool = False,
    ):
        vocabulary = make_vocabulary(tokenizer, lambda: self._training_texts(alphabet))
        # a word is at least a character; a token of another vocabulary a byte, after one for the start of the text
        room = 0 if vocabulary.kind in ("character", "word") else 1
        super().__init__(
            vocabulary=vocabulary,
            prompt_length=prompt_length + room,
            budget=text_length + room + 1 if budget is None else budget,
            split=split,
            lossy=lossy,
        )
        self._by_character = vocabulary.kind == "character"
        if self._by_character:
            vocabulary.encode(alphabet)  # raises where a vocabulary given by the user lacks a character
        rng = np.random.default_rng(0)
        self.dropped.update(filter(None, (self._misfit(self.generate(rng)) for _ in range(_PROBES))))
        self._check_round_trip(map(self.episode, range(min(_PROBES, len(self)))))

    @abstractmethod
    def generate(self, rng: np.random.Generator) -> Episode:
        """Make an episode, of whatever split."""

    def __len__(self):
        return self.fixed_episodes

    def sample(self, rng):
        for _ in range(_TRIES):
            episode = self.generate(rng)
            if (self.one_prompt or self._split_of(episode.prompt) == self.split) and not self._misfit(episode):
                return episode
        raise ValueError(
            f"{type(self).__name__}: none of {_TRIES} generated episodes is in split {self.split!r} and fits "
            f"prompt_length={self.prompt_length} and budget={self.budget}: use a larger size or budget"
        )

    def episode(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"episode index {index} is not in 0 .. {len(self) - 1}")
        return self.sample(np.random.default_rng([SPLITS.index(self.split), index]))

    def _misfit(self, episode):
        if not self._by_character:
            return super()._misfit(episode)
        if len(episode.prompt) > self.prompt_length:  # one token a character: no need to encode
            return "prompt too long"
        return "reference too long" if any([len(r) >= self.budget for r in episode.references]) else None

    @staticmethod
    def _split_of(prompt: str) -> str:
        remainder = zlib.crc32(prompt.encode()) % 10
        return "test" if remainder == 9 else "validation" if remainder == 8 else "train"

    def _training_texts(self, alphabet: str) -> list[str]:
        rng = np.random.default_rng(0)
        texts = [alphabet]
        for _ in range(1000):
            episode = self.generate(rng)
            if self.one_prompt or self._split_of(episode.prompt) == "train":
                texts += [episode.prompt, *episode.references]
        return texts
