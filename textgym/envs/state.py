"""The one state machine behind every face: n rows of text that grow by a token at a time and are paid for it.

``TextGenVectorEnv``, ``TextGenEnv`` (a batch of one) and the Stable-Baselines3 adapter lay out what
happens here; none of them knows the dynamics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from textgym.arrays import MANY, put_ragged, some
from textgym.envs.checks import illegal_action, reset_needed
from textgym.envs.legality import Legality
from textgym.envs.masks import Mask
from textgym.envs.streams import EpisodeStreams
from textgym.episode import Episode, Step
from textgym.errors import RewardError, said
from textgym.metrics import BatchMetric
from textgym.rewards import RewardFunction
from textgym.running import RunningState
from textgym.tasks import Task


class TextGenState(RunningState):
    """n episodes in progress.

    Args:
        n: number of rows.
        task: what is to be written.
        reward: how it is paid, metrics resolved.
        mask: which tokens are legal; None: all of them.
        on_illegal: "raise", or what an illegal end pays (term ``illegal``).
        metrics: metrics to report at the end of an episode.
        group_size: how many rows one group has.
        keep_payments: remember what each token was paid (to be rendered).
        scalar: compute the one row on NumPy scalars where the reward takes them (see :class:`Step`).

    Attributes:
        window: int32 (n, prompt_length + budget): the prompt, right-aligned in the first prompt_length
            columns, then the tokens written; PAD = V elsewhere.
        lengths: int64 (n,), tokens written, EOS included.
        over: bool (n,), the row has no episode in progress.
        illegal_actions: int64 (n,), the token that ended the episode of a row illegally; -1: none has. None without
            a mask.
        streams: where the episodes come from.
        legal: which tokens may come next; None: all of them, always.
        payments: float64 (n, budget), what each token of the episode was paid; None unless kept.
        failure: what went wrong in an earlier step; None: nothing. Only a reset of all rows helps.
    """

    not_saved = frozenset(
        {"task", "reward", "mask", "on_illegal", "metrics", "vocabulary", "all_rows", "text_start", "scalar"}
        | {"one", "budget"}
    )

    def __init__(
        self,
        n: int,
        task: Task,
        reward: RewardFunction,
        *,
        mask: Mask | None = None,
        on_illegal: float | str = 0.0,
        metrics: Sequence[BatchMetric] = (),
        group_size: int = 1,
        keep_payments: bool = False,
        scalar: bool = False,
    ):
        self.n, self.task, self.reward, self.mask, self.on_illegal = n, task, reward, mask, on_illegal
        self.vocabulary = task.vocabulary
        self.metrics = tuple(metrics)
        self.all_rows = np.arange(n)
        self.window = np.full((n, task.prompt_length + task.budget), self.vocabulary.pad, np.int32)
        self.text_start = self.all_rows * self.window.shape[1] + task.prompt_length  # flat index of token 0
        self.lengths = np.zeros(n, np.int64)
        self.over = np.ones(n, bool)
        self.illegal_actions = None if mask is None else np.full(n, -1)
        self.episodes: list[Episode] = [Episode()] * n
        self.streams = EpisodeStreams(n, task, group_size)
        self.paying = reward.run(n, self.streams.reward_rngs, self.vocabulary)
        self.stream = self.vocabulary.stream(n) if self.paying.needs_text else None
        self.legal = None if mask is None else Legality(mask, n, self.vocabulary.size, self.vocabulary.eos)
        self.paid_terms: dict[str, Any] = {}  # see ``terms``; of scalars where self.scalar
        self.payments = np.zeros((n, task.budget)) if keep_payments else None
        self.failure: str | None = None
        self.scalar = scalar and n == 1 and mask is None and self.paying.takes_scalars
        # arrays without dimensions: in array code they take half the time that Python numbers take
        self.one, self.budget = (1, task.budget) if self.scalar else (np.array(1), np.array(task.budget))

    @property
    def written(self) -> np.ndarray:
        """int32 (n, budget), the columns of ``window`` that hold the text: a view."""
        return self.window[:, self.task.prompt_length :]

    # -- beginning ---------------------------------------------------------------------------------

    def begin(self, rows: np.ndarray, episodes: Sequence[Episode] | None = None, *, keep_terms: bool = False) -> None:
        """Begin new episodes in ``rows`` (k,), int64, ascending: the ones given, else drawn.

        ``keep_terms``: in the step that ended the last ones, whose terms are still to be told.

        Raises:
            RewardError: the reward or a metric raised. As after any other error, only a reset of all rows helps.
        """
        if len(rows) == self.n:
            self.failure = None
        try:
            self._begin(rows, self.streams.next(rows, episodes), keep_terms)
        except Exception as error:
            self.failure = said(error)
            raise

    def _begin(self, rows: np.ndarray, episodes: Sequence[Episode], keep_terms: bool) -> None:
        each, prompts = rows.tolist(), []
        for i, row in enumerate(each):  # half the time of zip(..., strict=True)
            episode = self.episodes[row] = episodes[i]
            prompts.append(episode.prompt)
        for at in each if len(each) < MANY else (rows,):
            self.lengths[at], self.over[at] = 0, False
        ids, sizes = self.vocabulary.encode_flat(prompts)
        put_ragged(self.window, each, ids, sizes, fill=self.vocabulary.pad, end=self.task.prompt_length)
        if self.illegal_actions is not None:
            self.illegal_actions[rows] = -1
        if self.payments is not None:
            self.payments[rows] = 0.0
        if not keep_terms:
            self.paid_terms = {name: paid.copy() for name, paid in self.terms.items()}
            for paid in self.paid_terms.values():
                paid[rows] = 0.0
        if self.stream is not None:
            self.stream.reset(rows)
        self.paying.reset(rows, episodes)
        if self.legal is not None:
            self._look_up_legal(rows)

    # -- going on ----------------------------------------------------------------------------------

    def append(self, actions: np.ndarray, rows: np.ndarray | None = None) -> tuple[np.ndarray, Step]:
        """Write one token in each of ``rows`` (None: all) and pay it.

        Args:
            actions: int64 (k,), checked; a scalar where ``self.scalar``.
            rows: int64 (k,), ascending.

        Returns:
            rewards float64 (k,), and the step; both of scalars where ``self.scalar``.

        Raises:
            InvalidAction: a token the mask forbids, with ``on_illegal="raise"``. Nothing has changed.
            ResetNeeded: a row has no episode in progress. Nothing has changed.
            RewardError: the reward raised or paid no finite number. Only a reset of all rows helps.
        """
        whole = rows is None
        step = Step(
            self.all_rows if whole else rows,
            actions,
            self.episodes,
            self.window,
            self.vocabulary,
            self.task.prompt_length,
            whole,
            self.scalar,
        )
        over, lengths, starts = self.over, self.lengths, self.text_start
        if not step.whole:
            over, lengths, starts = over[step.at], lengths[step.at], starts[step.at]
        if self.failure or step.some(over):
            raise reset_needed(self, step.rows)
        places = starts + lengths  # in the flat window
        if self.legal is None:
            # cast within the assignment it would take three times as long
            self.window.ravel()[places] = actions if self.scalar else actions.astype(np.int32)
            lengths = lengths + self.one
            ended = lengths == self.budget
            ended |= step.finished
        else:
            illegal = step.illegal = ~self.legal.of(step.rows, actions)
            if self.on_illegal == "raise" and some(illegal):
                raise illegal_action(self, int(step.rows[illegal][0]), int(actions[illegal][0]))
            legal = ~illegal
            self.window.ravel()[places[legal]] = actions[legal]
            lengths = lengths + legal
            ended = illegal | step.finished | (lengths == self.budget)
            self.illegal_actions[step.rows] = np.where(illegal, actions, -1)
        step.lengths, step.ended = lengths, ended
        if step.whole:
            self.lengths = lengths
        else:
            self.lengths[step.at] = lengths
        self.over[step.at] = ended
        try:
            if self.stream is not None:
                step.read(self.stream)
            rewards = self._pay(step)
            if self.legal is not None:
                self._look_up_legal(step.rows)
        except Exception as error:
            self.failure = said(error)
            raise
        return rewards, step

    def _pay(self, step: Step) -> np.ndarray:
        rewards, terms = self.paying.step(step), self.paying.terms
        if step.illegal is not None:
            if "illegal" in terms:
                raise RewardError("the term 'illegal' is the environment's: give the reward's another name")
            illegal = np.where(step.illegal, 0.0 if self.on_illegal == "raise" else self.on_illegal, 0.0)
            terms = {**terms, "illegal": illegal}
            rewards = rewards + illegal
        if self.scalar:
            self.paid_terms = terms
        else:
            before, self.paid_terms = self.paid_terms, {}
            for name, paid in terms.items():
                paid = np.asarray(paid, np.float64)
                self.paid_terms[name] = paid if step.whole else step.put(before.get(name, np.zeros(self.n)), paid)
        if self.payments is not None:
            written = step.lengths if step.illegal is None else step.lengths + step.illegal
            self.payments[step.rows, written - 1] = rewards
        return rewards

    @property
    def terms(self) -> dict[str, np.ndarray]:
        """Name -> float64 (n,), what the last step of each row paid."""
        if self.scalar:
            return {name: np.array(paid, np.float64).reshape(1) for name, paid in self.paid_terms.items()}
        return self.paid_terms

    def _look_up_legal(self, rows: np.ndarray) -> None:
        self.legal.look_up(rows, self.over, self.window, self.lengths, self.episodes)

    def action_masks(self, dtype: type = bool) -> np.ndarray:
        """Which tokens are legal now, fresh (n, V) of ``dtype``, bool or int8; EOS alone where the episode is over."""
        if self.legal is None:
            return np.ones((self.n, self.vocabulary.size), dtype)
        return self.legal.table(self.over, dtype)

    def action_mask(self, row: int, dtype: type = bool) -> np.ndarray:
        """One row of :meth:`action_masks`."""
        return np.ones(self.vocabulary.size, dtype) if self.legal is None else self.legal.row(row, self.over, dtype)

    # -- ending ------------------------------------------------------------------------------------

    def text(self, row: int) -> str:
        """The text written so far, without EOS and special tokens."""
        return self.vocabulary.decode(self.written[row, : self.lengths[row]])

    def last_step(self, rows: np.ndarray) -> Step:
        """The last step of ``rows`` (k,), without its pieces."""
        lengths, illegal = self.lengths[rows], None
        actions = self.written[rows, lengths - 1].astype(np.int64)
        if self.illegal_actions is not None:
            illegal = self.illegal_actions[rows] >= 0
            actions = np.where(illegal, self.illegal_actions[rows], actions)
        step = Step(rows, actions, self.episodes, self.window, self.vocabulary, self.task.prompt_length)
        step.lengths, step.ended, step.illegal = lengths, self.over[rows], illegal
        return step

    def outcomes(self, ending: Step) -> dict[str, Sequence[Any]]:
        """What is reported of k episodes that have ended: name -> k values.

        Raises:
            RewardError: the task's score or a metric raised, or is no finite number. Only a reset of all rows helps.
        """
        try:
            return self._outcomes(ending)
        except Exception as error:
            self.failure = said(error)
            names = ", ".join(["score", *(metric.name for metric in self.metrics)])
            raise RewardError(f"one of the metrics to report ({names}) raised {self.failure}") from error

    def _outcomes(self, ending: Step) -> dict[str, Sequence[Any]]:
        texts, finished = ending.texts, ending.finished.reshape(-1).tolist()
        scores, reasons, success = self.task.score_all(texts, ending.episodes), [], []
        if ending.illegal is not None:
            scores = np.where(ending.illegal, 0.0, scores).tolist()
        for i, score in enumerate(scores):
            if not -1e-9 <= score <= 1.0 + 1e-9:  # NaN is not, either
                raise ValueError(f"the task's score is {score} in row {ending.rows[i]}: it must be in [0, 1]")
            success.append(score >= 1.0 - 1e-9)
            reasons.append("eos" if finished[i] else "budget")
        if ending.illegal is not None:
            reasons = np.where(ending.illegal, "illegal", reasons).tolist()
        report = {"end_reason": reasons, "score": scores, "is_success": success, "text": texts}
        for metric in self.metrics:
            values = report[metric.name] = metric.at_end(ending).tolist()
            if not np.isfinite(values).all():
                raise ValueError(f"metric {metric.name!r} gave {values}")
        return report

    # -- saving ------------------------------------------------------------------------------------

    @property
    def _kind(self) -> dict[str, Any]:
        """What must be the same for a state to be restored."""
        return {
            "rows": self.n,
            "group_size": self.n // self.streams.groups,
            "task": type(self.task).__name__,
            "split": self.task.split,
            "vocabulary": self.vocabulary.fingerprint,
            "prompt_length": self.task.prompt_length,
            "budget": self.task.budget,
            "reward": self.reward.name,
            "reward's arguments": self.paying.described,
            "mask": self.mask and type(self.mask).__name__,
            "payments kept": self.payments is not None,
        }

    def get_state(self):
        """Everything that :meth:`set_state` needs to go on exactly from here, generators included."""
        terms = {name: paid.copy() for name, paid in self.terms.items()}  # arrays, whatever is scalar here
        return {"kind": self._kind, **super().get_state(), "paid_terms": terms}

    def set_state(self, saved):
        """Go back to a saved state.

        Raises:
            ValueError: it is of an environment with other settings, which are named. Nothing has changed.
        """
        state, own = dict(saved), self._kind
        kind = state.pop("kind", {})
        for name, ours in own.items():
            if kind.get(name, "unknown") != ours:
                raise ValueError(
                    f"this state was saved with {name} = {kind.get(name, 'unknown')!r}, the environment has {ours!r}"
                )
        super().set_state(state)
