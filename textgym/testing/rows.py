"""The contract of what runs along rows: rewards, and metrics, which are tried as rewards that pay them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from textgym.episode import Episode
from textgym.errors import said
from textgym.metrics import BatchMetric, Metric
from textgym.rewards import EveryStep, RewardFunction, Terminal
from textgym.tasks import Task
from textgym.testing.examples import ContractError, close, shown
from textgym.testing.scripts import (
    ExampleTask,
    Paid,
    Play,
    Script,
    Stage,
    difference,
    forbidden_token,
    make_scripts,
)
from textgym.testing.watched import WatchedMetric
from textgym.tokenizers import Vocabulary


def check_metric_rows(
    metric: BatchMetric,
    episodes: Sequence[Episode],
    texts: Sequence[str] | None,
    vocabulary: Vocabulary | None,
    reference: Metric | None,
    tolerance: float,
) -> None:
    """Raise where a metric along rows breaks its contract."""
    task, watched = ExampleTask(episodes, texts, vocabulary), WatchedMetric(metric)
    reward = Terminal(watched) if metric.only_at_end else EveryStep(watched)
    contract = RowContract(f"metric {metric.name!r}", reward, watched.faults, task, tolerance, watched, reference)
    contract.check(metric)


class RowContract:
    """The clauses of the contract; each takes those before it for granted.

    Args:
        subject: what is tried, for messages.
        reward: the reward that is paid, watched or of a watched metric.
        faults: what the watching has found.
        task: gives the episodes.
        tolerance: how much numbers that should be equal may differ.
        metric: the metric of which the reward pays every value; None: it is the reward that is tried.
        reference: what the metric must be.
    """

    def __init__(
        self,
        subject: str,
        reward: RewardFunction,
        faults: list[str],
        task: Task,
        tolerance: float,
        metric: BatchMetric | None = None,
        reference: Metric | None = None,
    ):
        self.subject, self.reward, self.faults, self.task = subject, reward, faults, task
        self.tolerance, self.metric, self.reference = tolerance, metric, reference
        self.forbidden = forbidden_token(task)
        self.couples_rows = reward.couples_rows
        self.coupled = False  # whether a row was seen to depend on others

    def check(self, recipe: Any) -> None:
        """Try all clauses; ``recipe`` is what must be possible to pickle."""
        stages = [(script, None) for script in make_scripts(self.task)]
        if self.forbidden is not None:
            stages += [(script, self.forbidden) for script in make_scripts(self.task, self.forbidden)]
        for clause in (
            self.keeps_its_hands_off,
            self.is_shared,
            self.has_rows_and_episodes_of_their_own,
            self.is_the_same_at_the_end,
            self.agrees_with_the_reference,
            self.takes_scalars,
            self.saves_and_restores,
        ):
            for script, forbidden in stages:
                clause(script, forbidden)
        script, forbidden = stages[-1]
        self.can_be_pickled(recipe, script, forbidden)

    # -- what the clauses use

    def wrong(self, words: str) -> ContractError:
        return ContractError(f"{self.subject}: {words}")

    def stage(self, script: Script, forbidden: int | None, **more: Any) -> Stage:
        return self.tried(Stage, self.reward, self.task, script, forbidden=forbidden, **more)

    def paid(self, script: Script, forbidden: int | None) -> Paid:
        return self.finish(self.stage(script, forbidden)).paid

    def finish(self, stage: Stage) -> Stage:
        while self.tried(stage.advance):
            pass
        return stage

    def tried(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What ``call(...)`` gives; a :class:`ContractError` where something was found, or raised."""
        error = None
        try:
            result = call(*args, **kwargs)
        except Exception as raised:
            error = raised
        if self.faults:
            raise self.wrong(self.faults[0])
        if error is not None:
            raise self.wrong(said(error)) from error
        return result

    def compare(self, script: Script, first: Paid, second: Paid, words: str) -> None:
        if found := difference(script, first, second, self.task.vocabulary, self.tolerance):
            raise self.wrong(f"{words}: {found}")

    # -- the clauses

    def keeps_its_hands_off(self, script: Script, forbidden: int | None) -> None:
        """Types, shapes, sums, finite numbers are watched on the way."""
        fields = ("prompt", "references", "meta")
        episodes = [play.episode for row in script for play in row]
        before = [{name: copy.deepcopy(getattr(episode, name)) for name in fields} for episode in episodes]
        self.paid(script, forbidden)
        for episode, was in zip(episodes, before, strict=True):
            if any(getattr(episode, name) != was[name] for name in fields):
                raise self.wrong(
                    f"it changes the episode, which others use, too: it was {was}, is now {shown(episode)}"
                )

    def is_shared(self, script: Script, forbidden: int | None) -> None:
        paid = self.paid(script, forbidden)
        words = "the recipe remembers something, which belongs in the state: a first environment and a second one get"
        self.compare(script, paid, self.paid(script, forbidden), words)
        stage, other = self.stage(script, forbidden), self.stage(script[::-1], forbidden)
        while self.tried(stage.advance):
            self.tried(other.advance)
        words = "the recipe is changed by what belongs in the state: alone and beside another environment, one gets"
        self.compare(script, paid, stage.paid, words)

    def has_rows_and_episodes_of_their_own(self, script: Script, forbidden: int | None) -> None:
        together, rows = self.paid(script, forbidden), [self.paid([row], forbidden)[0] for row in script]
        if self.couples_rows:  # statistics over all rows, which outlive an episode
            self.coupled |= difference(script, together, rows, self.task.vocabulary, self.tolerance) is not None
            return
        episodes = [[self.paid([[play]], forbidden)[0][0] for play in row] for row in script]
        words = (
            "reset() does not forget what was before it (or keeps an item of rngs, which a seed replaces: keep the "
            "sequence). After other episodes, and as the first one of its row, an episode gets"
        )
        self.compare(script, rows, episodes, words)
        hint = "" if self.metric else " (if this is meant, declare couples_rows = True)"
        self.compare(script, together, rows, f"rows are not independent{hint}: together and alone a row gets")

    def is_the_same_at_the_end(self, script: Script, forbidden: int | None) -> None:
        if self.metric is None:
            return
        stage = self.finish(self.stage(script, forbidden, value_at_end=self.metric.at_end))
        for plays, paid, at_end in zip(script, stage.paid, stage.at_end, strict=True):
            for play, values, value in zip(plays, paid, at_end, strict=True):
                if not close(values[-1], value, self.tolerance):
                    text = self.task.vocabulary.decode(play.tokens)
                    raise self.wrong(
                        f"score_rows() of the finished text {text!r} gives {value!r}, following it token by token "
                        f"{values[-1]!r}: they must agree\n  episode: {shown(play.episode)}"
                    )

    def agrees_with_the_reference(self, script: Script, forbidden: int | None) -> None:
        if self.reference is None:
            return
        for plays, paid in zip(script, self.paid(script, forbidden), strict=True):
            for play, values in zip(plays, paid, strict=True):
                for t, value in enumerate(values):
                    last = t + 1 == len(values)
                    if play.tokens[t] == forbidden or (self.metric.only_at_end and not last):
                        continue
                    text = self.task.vocabulary.decode(play.tokens[: t + 1])
                    if not close(value, right := self.reference.score(text, play.episode), self.tolerance):
                        raise self.wrong(
                            f"it gives {value!r} for the text {text!r}, the reference function {right!r}\n"
                            f"  episode: {shown(play.episode)}"
                        )

    def takes_scalars(self, script: Script, forbidden: int | None) -> None:
        for row in script:
            stage = self.stage([row], forbidden, scalar=True)
            if stage.state.scalar:
                words = "it says takes_scalars, but a step of scalars and an array of one do not get the same"
                self.compare([row], self.finish(stage).paid, self.paid([row], forbidden), words)

    def saves_and_restores(self, script: Script, forbidden: int | None) -> None:
        paid = self.paid(script, forbidden)
        longest = max(map(len, paid[0]))
        for steps in (longest // 2, longest + 2):  # in mid-episode; and where rows have begun again
            stage = self.stage(script, forbidden)
            for _ in range(steps):
                self.tried(stage.advance)
            saved = self.tried(stage.save)
            untouched = copy.deepcopy(saved)
            self.compare(script, paid, self.finish(stage).paid, "get_state() changes what is paid after it, to")
            self.tried(stage.restore, untouched)
            words = "set_state() does not go back to what was saved: at first and then the same steps get"
            self.compare(script, paid, self.finish(stage).paid, words)
            for words in (
                "the saved state is changed by going on (get_state() must give a copy)",
                "a saved state can be restored only once (set_state() must copy it)",
            ):
                self.tried(stage.restore, saved)
                self.compare(script, paid, self.finish(stage).paid, f"{words}: at first and then the same steps get")
            other = self.stage(script, forbidden)
            self.tried(other.restore, saved)
            words = "a state that is set in another environment goes on otherwise: here and there the same steps get"
            self.compare(script, paid, self.finish(other).paid, words)

    def can_be_pickled(self, recipe: Any, script: Script, forbidden: int | None) -> None:
        paid = self.paid(script, forbidden)
        stage = self.stage(script, forbidden)
        for _ in range(3):
            self.tried(stage.advance)
        try:
            pickle.loads(pickle.dumps(recipe))
            saved = pickle.loads(pickle.dumps(stage.save()))
        except Exception as error:
            raise self.wrong(
                f"it, or its saved state, cannot be pickled ({said(error)}); environments are, to be saved and sent to "
                "other processes. A lambda, or a function or class inside a function, must move to the top of a module"
            ) from error
        resumed = self.stage(script, forbidden)
        self.tried(resumed.restore, saved)
        words = "a state that was pickled and loaded goes on otherwise: here and there the same steps get"
        self.compare(script, paid, self.finish(resumed).paid, words)


def plays_of(task: Task) -> list[tuple[int | None, Play]]:
    """Single plays to try, each with the token that is illegal in it, short ones first."""
    forbidden = forbidden_token(task)
    scripts = [(None, make_scripts(task))]
    scripts += [] if forbidden is None else [(forbidden, make_scripts(task, forbidden))]
    plays = [(token, play) for token, each in scripts for script in each for row in script for play in row]
    plays += [(None, Play(play.episode, (task.vocabulary.eos,))) for _, play in plays]
    return sorted(plays, key=lambda pair: len(pair[1].tokens))


def alone(reward: RewardFunction, task: Task, play: Play, forbidden: int | None) -> np.ndarray:
    """What each token of one play is paid, float64 (T,)."""
    return np.array(Stage(reward, task, [[play]], forbidden=forbidden).run().paid[0][0])
