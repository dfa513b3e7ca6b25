"""Does a metric keep its contract?"""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from numbers import Real
from typing import Any

import numpy as np

from textgym.episode import Episode
from textgym.errors import said
from textgym.metrics import Metric, Progress, make_metric
from textgym.rewards import metric_alone
from textgym.testing import examples
from textgym.testing.examples import ContractError, Writing, check_name, close, shown
from textgym.testing.rows import check_metric_rows
from textgym.tokenizers import Vocabulary

# what a push did where it did not give the value of the whole text so far
MINDS_THE_CUTS = (
    "the value depends on how the text is cut: the last push gave {value}, but {text} pushed at once gives {right}. "
    "push() must return the value of the WHOLE text so far"
)
LEAVES_OUT_PROVISIONAL_TEXT = (
    "provisional text does not count as if it were written: {value}, but {text} pushed as a piece gives {right}. "
    "push() must return the value of committed + provisional"
)
KEEPS_PROVISIONAL_TEXT = (
    "provisional text leaves a trace after it was replaced: the last push gave {value}, but {text} without it gives "
    "{right}. Undo, in push(), what was provisional before"
)


def check_metric(
    metric: Any,
    episodes: Iterable[Episode] | None = None,
    texts: Iterable[str] | None = None,
    vocabulary: Vocabulary | None = None,
    reference: Any = None,
    tolerance: float = 1e-9,
) -> None:
    """Raise where a metric breaks its contract.

    Of a metric of texts: :meth:`~textgym.metrics.Progress.push` gives the finite value of the whole text so far,
    however it is cut into pieces and whatever was provisional in between; ``score`` says the same; texts that are
    followed at the same time do not disturb each other, and deep copies go on alike. Of every metric: rows do not
    depend on each other, resets concern their rows alone, the value at the end is that of ``score_rows``, states can
    be saved and restored, what was returned is not changed later. The episode stays as it was, all can be pickled, and
    there is a name.

    Args:
        metric: an object, a name, a plain function ``f(text, references)``.
        episodes: what to answer; by default six small ones, with none, one or two references.
        texts: what to answer them with; by default the references, wrong and unfinished.
        vocabulary: the tokens the rows are written in; by default bytes.
        reference: what the value must be at every prefix: a function ``f(text, references)``, or a metric.
        tolerance: how much numbers that should be equal may differ, relatively above 1. Models that compute in
            float32 need more: how many rows there are changes their rounding.

    Raises:
        ContractError: says what is wrong, with the smallest example found.
    """
    metric = metric_alone(metric)
    check_name("metric", metric)
    episodes = list(examples.EPISODES if episodes is None else episodes)
    texts = None if texts is None else list(texts)
    if not episodes or texts == []:
        raise ValueError("at least one episode and one text are needed to try a metric on")
    reference = None if reference is None else make_metric(reference)
    if isinstance(metric, Metric) and not metric.only_at_end:
        _TextContract(metric, reference, tolerance).check(episodes, texts)
    # rows of a metric of texts are followed one by one, by code that is not the author's
    own = [getattr(type(metric), name) is not getattr(Metric, name) for name in ("start_rows", "score_rows")]
    if any(own) or metric.only_at_end:
        check_metric_rows(metric, episodes, texts, vocabulary, reference, tolerance)


class _TextContract:
    """The clauses of the contract, in the order in which they are tried: each takes those before it for granted."""

    def __init__(self, metric: Metric, reference: Metric | None, tolerance: float):
        self.metric = metric
        self.reference = reference
        self.close = partial(close, tolerance=tolerance)
        self.known: dict[tuple[int, str], float] = {}  # (id of the episode, text) -> its value, pushed at once

    def check(self, episodes: Sequence[Episode], texts: Sequence[str] | None) -> None:
        rng = np.random.default_rng(0)
        ways = (examples.in_pieces, examples.with_provisional_end, examples.with_provisional_text)
        pieces, ends, between = (
            [
                Writing(episode, pushes)
                for episode in episodes
                for text in examples.texts_for(episode, texts)
                for pushes in way(text, rng)
            ]
            for way in ways
        )
        every = [*pieces, *ends, *between]
        few = every[:: 1 + len(every) // 60]
        clauses: list[tuple[Callable[[Writing], str | None], Sequence[Writing]]] = [
            (self.leaves_the_episode_alone, few),
            (self.gives_finite_numbers, every),
            (self.gives_the_same_again, few),
            (self.follows_two_texts_at_once, few),
            (self.whole_text(MINDS_THE_CUTS), pieces),
            (self.whole_text(LEAVES_OUT_PROVISIONAL_TEXT), ends),
            (self.whole_text(KEEPS_PROVISIONAL_TEXT), between),
            (self.scores_as_it_pushes, pieces[::3]),
            (self.goes_on_from_a_copy, few),
            (self.agrees_with_the_reference, [*pieces, *between]),
        ]
        for clause, writings in clauses:
            for writing in writings:
                if self.fault(clause, writing):
                    raise ContractError(self.told(clause, writing))
        self.can_be_pickled(between[-1])

    def fault(self, clause: Callable[[Writing], str | None], writing: Writing) -> tuple[bool, str] | None:
        """(whether it raised, in words), None where the clause holds."""
        try:
            words = clause(writing)
        except Exception as error:
            return True, f"it raised {said(error)}"
        return None if words is None else (False, words)

    def told(self, clause: Callable[[Writing], str | None], writing: Writing) -> str:
        raised, _ = self.fault(clause, writing) or (False, "")

        def fails_alike(candidate: Writing) -> bool:
            fault = self.fault(clause, candidate)
            return fault is not None and fault[0] == raised

        writing = examples.smallest(writing, fails_alike)
        _, words = self.fault(clause, writing) or (False, "it failed, but not when it was tried again")
        return f"metric {self.metric.name!r}: {words}\n  episode: {shown(writing.episode)}\n  text: {writing}"

    # -- what the clauses use

    def follow(self, writing: Writing) -> list[float]:
        return self.push(self.metric.start(writing.episode), writing.pushes)

    def push(self, progress: Progress, pushes: Iterable[tuple[str, str]]) -> list[float]:
        return [progress.push(*push) for push in pushes]

    def at_once(self, episode: Episode, text: str) -> float:
        key = id(episode), text
        if key not in self.known:
            self.known[key] = self.metric.start(episode).push(text)
        return self.known[key]

    def whole_text(self, words: str) -> Callable[[Writing], str | None]:
        """The clause that every push gives the value of the text so far, pushed at once; ``words``, where not."""

        def clause(writing: Writing) -> str | None:
            for value, text in zip(self.follow(writing), writing.texts, strict=True):
                if not self.close(value, right := self.at_once(writing.episode, text)):
                    return words.format(value=repr(value), text=repr(text), right=repr(right))

        return clause

    # -- the clauses: None, or what is wrong

    def leaves_the_episode_alone(self, writing: Writing) -> str | None:
        episode = writing.episode
        fields = ("prompt", "references", "meta")
        before = {name: copy.deepcopy(getattr(episode, name)) for name in fields}
        self.follow(writing)
        self.metric.score(writing.texts[-1], episode)
        for name, was in before.items():
            if getattr(episode, name) != was:
                return (
                    f"it changes the episode, which others use, too: {name} was {was!r}, now {getattr(episode, name)!r}"
                )

    def gives_finite_numbers(self, writing: Writing) -> str | None:
        for value, text in zip(self.follow(writing), writing.texts, strict=True):
            if not isinstance(value, Real) or not math.isfinite(value):
                return f"push() returned {value!r} for the text {text!r}: a finite number (float) is needed, always"

    def gives_the_same_again(self, writing: Writing) -> str | None:
        first, second = self.follow(writing), self.follow(writing)
        if not all(map(self.close, first, second)):
            return (
                f"the same text, followed twice, has two values: {first[-1]!r}, then {second[-1]!r}. start() must give "
                "a new progress object that knows nothing of earlier texts, and nothing may be random"
            )

    def follows_two_texts_at_once(self, writing: Writing) -> str | None:
        alone = self.follow(writing)
        progress, other = self.metric.start(writing.episode), self.metric.start(writing.episode)
        together = []
        for push in writing.pushes:
            other.push("zz", " z")
            together.append(progress.push(*push))
        if not all(map(self.close, alone, together)):
            return (
                f"texts that are followed at the same time disturb each other: alone {alone[-1]!r}, beside another one "
                f"{together[-1]!r}. start() must give objects that share nothing that changes"
            )

    def scores_as_it_pushes(self, writing: Writing) -> str | None:
        text, episode = writing.texts[-1], writing.episode
        score, right = self.metric.score(text, episode), self.at_once(episode, text)
        if not isinstance(score, Real) or not math.isfinite(score):
            return f"score() of {text!r} is {score!r}: a finite number (float) is needed, always"
        if not self.close(score, right):
            return f"score() of {text!r} is {score!r}, but pushed it is {right!r}: they must agree"
        several = self.metric.score_all([text, "a", text] * 3, [episode] * 9)
        if not self.close(several[6], score) or not self.close(several[1], self.metric.score("a", episode)):
            return f"score_all() gives {several[6]!r} for {text!r} among others, score() {score!r}: they must agree"

    def goes_on_from_a_copy(self, writing: Writing) -> str | None:
        right, half = self.follow(writing), len(writing.pushes) // 2
        for disturbed in ("copy", "original"):
            original = self.metric.start(writing.episode)
            self.push(original, writing.pushes[:half])
            duplicate = copy.deepcopy(original)
            other, kept = (duplicate, original) if disturbed == "copy" else (original, duplicate)
            other.push("zz", " z")
            if not all(map(self.close, right[half:], rest := self.push(kept, writing.pushes[half:]))):
                return (
                    f"a progress object and its copy.deepcopy after {half} pushes are not independent, or the copy "
                    f"does not go on alike: {right[-1]!r} without a copy, {rest[-1]!r} after the {disturbed} was "
                    "given another text"
                )

    def agrees_with_the_reference(self, writing: Writing) -> str | None:
        if self.reference is None:
            return None
        for value, text in zip(self.follow(writing), writing.texts, strict=True):
            if not self.close(value, right := self.reference.score(text, writing.episode)):
                return f"it gives {value!r} for the text {text!r}, the reference function {right!r}"

    def can_be_pickled(self, writing: Writing) -> None:
        half = len(writing.pushes) // 2
        try:
            metric = pickle.loads(pickle.dumps(self.metric))
            progress = metric.start(writing.episode)
            self.push(progress, writing.pushes[:half])
            progress = pickle.loads(pickle.dumps(progress))
            values = self.push(progress, writing.pushes[half:])
        except Exception as error:
            raise ContractError(
                f"metric {self.metric.name!r}: it, or a progress object of it, cannot be pickled ({said(error)}); "
                "environments are, to be saved and sent to other processes. A lambda, or a function or class inside a "
                "function, must move to the top of a module"
            ) from error
        if not all(map(self.close, values, self.follow(writing)[half:])):
            raise ContractError(f"metric {self.metric.name!r}: pickled and loaded again it gives other values")
