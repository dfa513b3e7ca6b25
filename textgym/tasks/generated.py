"""Tasks whose episodes are made on the fly by a rule."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from textgym.episode import Episode
from textgym.tasks.base import SPLITS, Task, split_of
from textgym.tokenizers import Vocabulary, make_vocabulary

_TRIES = 10_000
_PROBES = 100  # episodes looked at when a task is built


T = TypeVar("T")


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of ``options``, each with the same probability, in a tenth of the time of ``rng.choice``."""
    return options[int(rng.random() * len(options))]


def count_words(text: str) -> int:
    """Words between white space."""
    return len(text.split())


def _count_of(vocabulary: Vocabulary) -> Callable[[str], int] | None:
    """What counts the tokens of a text without encoding it; None: nothing does."""
    if vocabulary.kind == "word" and vocabulary.cut is None:
        return count_words
    return len if vocabulary.kind == "character" else None


class GeneratedTask(Task):
    """A task that makes its episodes: subclasses give :meth:`generate` and ``metric``.

    Splits are disjoint by prompt, or by what :meth:`identity` says: of all prompts 8 in 10 are train, 1 validation,
    1 test, by a checksum (where :meth:`generate` takes what is its split's alone, ``_split_of`` may say so).
    Episodes that do not fit are never returned; ``dropped`` counts them among the first 100 generated.
    Tasks whose prompt is always the same set ``one_prompt = True``: all splits are then the same.

    Args:
        alphabet: every character that prompts and references may contain; with ``words``, every word.
        prompt_length: characters of the longest prompt (or words, if the vocabulary is one of words).
        text_length: those of the longest reference; the budget is one more, for EOS.
        words: the same two lengths in words, for a vocabulary of words between white space, which then has those of
            ``alphabet``.
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
        words: tuple[int, int] | None = None,
        split: str = "train",
        tokenizer="character",
        budget: int | None = None,
        lossy: bool = False,
    ):
        # the alphabet has every token: no need to generate texts
        listed = tokenizer == "character" or (tokenizer == "word" and words is not None)
        vocabulary = make_vocabulary(tokenizer, lambda: [alphabet] if listed else self._training_texts(alphabet))
        self._count = _count_of(vocabulary)
        room = 0
        if self._count is count_words and words is not None:
            prompt_length, text_length = words
        elif vocabulary.kind not in ("character", "word"):
            # a token of another vocabulary is at least a byte, after one token for the start of the text
            bytes_each, room = max(len(character.encode()) for character in alphabet), 1
            prompt_length, text_length = prompt_length * bytes_each, text_length * bytes_each
        super().__init__(
            vocabulary=vocabulary,
            prompt_length=prompt_length + room,
            budget=text_length + room + 1 if budget is None else budget,
            split=split,
            lossy=lossy,
        )
        if vocabulary.kind == "character":
            vocabulary.encode(alphabet)  # raises where a vocabulary given by the user lacks a character
        rng = np.random.default_rng(0)
        self.dropped.update(filter(None, (self._misfit(self.generate(rng)) for _ in range(_PROBES))))
        self._check_round_trip(map(self.episode, range(min(_PROBES, len(self)))))

    @abstractmethod
    def generate(self, rng: np.random.Generator) -> Episode:
        """Make an episode, of whatever split."""

    def identity(self, episode: Episode) -> str:
        """What no two splits share: the prompt, or what several prompts may say."""
        return episode.prompt

    def __len__(self):
        return self.fixed_episodes

    def sample(self, rng):
        for _ in range(_TRIES):
            episode = self.generate(rng)
            if (self.one_prompt or self._split_of(self.identity(episode)) == self.split) and not self._misfit(episode):
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
        count = self._count
        if count is None:
            return super()._misfit(episode)
        if count(episode.prompt) > self.prompt_length:
            return "prompt too long"
        return "reference too long" if any([count(r) >= self.budget for r in episode.references]) else None

    _split_of = staticmethod(split_of)

    def _training_texts(self, alphabet: str) -> list[str]:
        rng = np.random.default_rng(0)
        texts = [alphabet]
        for _ in range(1000):
            episode = self.generate(rng)
            if self.one_prompt or self._split_of(self.identity(episode)) == "train":
                texts += [episode.prompt, *episode.references]
        return texts


class OneEpisodeTask(GeneratedTask):
    """A task with one episode, the same in every split. Trained vocabularies do not see its references.

    Args:
        episode: the one.
        alphabet: every character that the references may contain.
        text_length: characters of the longest text; the budget is one more, for EOS.
        split, tokenizer, budget, lossy: as for every task.
    """

    one_prompt = True

    def __init__(
        self,
        episode: Episode,
        alphabet: str,
        text_length: int,
        *,
        split: str = "train",
        tokenizer="character",
        budget: int | None = None,
        lossy: bool = False,
    ):
        self._episode = episode
        super().__init__(
            alphabet + episode.prompt,
            len(episode.prompt),
            text_length,
            split=split,
            tokenizer=tokenizer,
            budget=budget,
            lossy=lossy,
        )

    def generate(self, rng):
        return self._episode

    def from_prompt(self, prompt, references=()):
        """The episode of a prompt that a user gives; without references, the task's own are the ones."""
        return Episode(prompt, references or self._episode.references)

    def _training_texts(self, alphabet):
        return [alphabet]  # pairs merged from the references would give them away
