"""WHAT is to be written: prompts, references, and the true score of a text. Tasks know no reward."""

from __future__ import annotations

import hashlib
import zlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from textgym.episode import Episode
from textgym.errors import one_of, whole_number
from textgym.metrics import Metric, WholeText
from textgym.running import Recipe
from textgym.tokenizers import Vocabulary

SPLITS = ("train", "validation", "test")


def split_of(content: str) -> str:
    """The split of an item by a checksum of its content: of all contents 8 in 10 are train, 1 validation, 1 test."""
    remainder = zlib.crc32(content.encode()) % 10
    return "test" if remainder == 9 else "validation" if remainder == 8 else "train"


class Task(Recipe):
    """What is to be written. Immutable once built, shared by environments.

    Subclasses set ``metric`` and give :meth:`sample`, :meth:`episode` and ``__len__``; most are easier to
    write as a :class:`~textgym.tasks.generated.GeneratedTask` or a :class:`~textgym.tasks.dataset.DatasetTask`.

    Args:
        vocabulary: the tokens that prompts and texts are written in; the same for every split.
        prompt_length: tokens of the longest prompt the task accepts.
        budget: tokens of the longest text, EOS included.
        split: "train", "validation" or "test".
        lossy: accept references that do not survive ``decode(encode(reference))`` with their full score.

    Attributes:
        metric: the true score as a metric with values in [0, 1]. Rewards that name no metric pay it.
        optimum: the best mean true score there is, None where it is not known.
        dropped: reason -> how many items were left out because they did not fit.
        notes: what else a user should know about the data, in words.
        arguments: what it was made with; None where the user made the object.
    """

    metric: Metric
    optimum: float | None = 1.0
    notes: tuple[str, ...] = ()
    arguments: dict[str, Any] | None = None

    def __init__(
        self, *, vocabulary: Vocabulary, prompt_length: int, budget: int, split: str = "train", lossy: bool = False
    ):
        self.split = one_of("split", split, SPLITS)
        self.vocabulary = vocabulary
        self.prompt_length = int(prompt_length)
        self.budget = whole_number("budget", budget, 1)
        self.lossy = lossy
        self.dropped: Counter[str] = Counter()

    @classmethod
    def stamp(cls, arguments: Mapping[str, Any]) -> Any:
        """What the task depends on beside its arguments, such as the state of a file: hashable. Tasks are shared
        where both are the same."""
        return None

    @abstractmethod
    def __len__(self) -> int:
        """Number of fixed episodes: what :meth:`episode` takes is 0 .. len - 1."""

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> Episode:
        """Draw an episode of the split, with replacement, in O(1) of the size of the data."""

    @abstractmethod
    def episode(self, index: int) -> Episode:
        """The fixed episode ``index`` of the split: the same on every call and machine.

        Raises:
            IndexError: ``index`` is not in 0 .. len - 1.
        """

    def score(self, text: str, episode: Episode) -> float:
        """The true score of a finished text, in [0, 1]."""
        return self.metric.score(text, episode)

    def score_all(self, texts: Sequence[str], episodes: Sequence[Episode]) -> list[float]:
        """:meth:`score` of each text."""
        return self.score_metric.score_all(texts, episodes)

    @cached_property
    def score_metric(self) -> Metric:
        """:meth:`score` as a metric: ``metric``, or, where a task computes its score itself, that at every prefix."""
        return self.metric if type(self).score is Task.score else TaskScore(self)

    def with_split(self, split: str) -> Task:
        """The same task of another split, for what has to learn from the train split.

        Raises:
            ValueError: the task was given as an object, so that its arguments are not known.
        """
        if split == self.split:
            return self
        if self.arguments is None:
            raise ValueError(
                f"{type(self).__name__} of split {self.split!r} was given as an object, from which its split {split!r} "
                "cannot be made: give the environment the class and its arguments"
            )
        same = type(self)(**{**self.arguments, "split": split})
        same.arguments = {**self.arguments, "split": split}
        return same

    def from_prompt(self, prompt: str, references: Sequence[str] = ()) -> Episode:
        """The episode of a prompt that a user gives (``options={"prompt": ...}``)."""
        return Episode(prompt, references)

    def legal_tokens(self, tokens: np.ndarray, lengths: np.ndarray, episodes: Sequence[Episode]) -> np.ndarray | None:
        """The task's grammar: which tokens may come next, bool (k, V); None where the task has none.

        Args:
            tokens: int32 (k, prompt_length + budget), prompts and texts laid out as in the observation.
            lengths: int64 (k,), tokens written so far.
            episodes: k episodes.
        """
        return None

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that differ when the data, the vocabulary or the sizes do (Python versions carry
        different prose, for one). Results with different fingerprints are not comparable."""
        digest = hashlib.sha256(f"{type(self).__name__} {self.split} {self.vocabulary.fingerprint} ".encode())
        digest.update(f"{self.prompt_length} {self.budget}".encode())
        for episode in self._fingerprinted():
            digest.update(repr((episode.prompt, episode.references, sorted(episode.meta.items()))).encode())
        return digest.hexdigest()[:16]

    def _fingerprinted(self) -> Iterable[Episode]:
        return map(self.episode, range(min(len(self), 100)))

    def _misfit(self, episode: Episode) -> str | None:
        """Why an episode does not fit the task's sizes, or None."""
        return self._too_long(map(self.vocabulary.count, (episode.prompt, *episode.references)))

    def _too_long(self, counts: Iterable[int]) -> str | None:
        """Which of a prompt and its references, of so many tokens each, does not fit."""
        counts = iter(counts)
        if next(counts) > self.prompt_length:
            return "prompt too long"
        return "reference too long" if any(count >= self.budget for count in counts) else None

    def _check_round_trip(self, episodes: Iterable[Episode]) -> None:
        """Raise where the vocabulary cannot write a reference with its full score."""
        if self.lossy:
            return
        for episode in episodes:
            for reference in episode.references:
                written = self.vocabulary.decode(self.vocabulary.encode(reference))
                if written != reference and self.score(written, episode) < self.score(reference, episode):
                    raise ValueError(
                        f"the tokenizer ({self.vocabulary.kind}) writes the reference {reference!r} as {written!r}, "
                        f"which scores {self.score(written, episode):.3g} instead of "
                        f"{self.score(reference, episode):.3g}: choose another tokenizer, or accept the loss "
                        "with lossy=True"
                    )


class TaskScore(Metric):
    """The score of a task that computes it itself, recomputed on the whole text at every token."""

    name = "score"

    def __init__(self, task: Task):
        self.task = task

    def start(self, episode):
        return WholeText(self, episode)

    def score(self, text, episode):
        return float(self.task.score(text, episode))
