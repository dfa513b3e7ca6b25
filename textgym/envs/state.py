"""The one state machine behind every face: n rows of text that grow by a token at a time and are paid for it.

``TextGenVectorEnv``, ``TextGenEnv`` (a batch of one) and the Stable-Baselines3 adapter lay out what
happens here; none of them knows the dynamics.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.utils import seeding

from textgym.envs.checks import illegal_action, no_number, reset_needed
from textgym.envs.masks import Mask
from textgym.episode import Episode, Step
from textgym.errors import RewardError
from textgym.metrics import BatchMetric, Metric
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
        group_size: how many rows one group has, for :meth:`episode_id`.
        keep_payments: remember what each token was paid (to be rendered).
        scalar: compute the one row on NumPy scalars where reward and metrics take them (see :class:`Step`):
            :meth:`append` then returns scalars.

    Attributes:
        window: int32 (n, prompt_length + budget): the prompt, right-aligned in the first prompt_length
            columns, then the tokens written; PAD = V elsewhere.
        lengths: int64 (n,), tokens written, EOS included.
        over: bool (n,), the row has no episode in progress.
        last_actions: int64 (n,), the token of the last step of each row, also where it was illegal.
        terms: name -> float64 (n,), what the last step of each row paid.
        payments: float64 (n, budget), what each token of the episode was paid; None unless kept.
    """

    not_saved = frozenset(
        {
            "task",
            "reward",
            "mask",
            "on_illegal",
            "metrics",
            "vocabulary",
            "all_rows",
            "text_start",
            "scalar",
            "rngs",
            "reward_rngs",
        }
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
        self.group_size = group_size
        self.all_rows = np.arange(n)
        self.window = np.full((n, task.prompt_length + task.budget), self.vocabulary.pad, np.int32)
        self.text_start = self.all_rows * self.window.shape[1] + task.prompt_length  # flat index of token 0
        self.lengths = np.zeros(n, np.int64)
        self.over = np.ones(n, bool)
        self.ended_illegally = np.zeros(n, bool)
        self.last_actions = np.zeros(n, np.int64)
        self.episodes: list[Episode] = [Episode()] * n
        self.draws = np.zeros(n, np.int64)  # episodes drawn since the row was seeded
        self.given = np.zeros(n, np.int64)  # episodes given by the user since then
        self.ids = np.zeros(n, np.int64)  # see episode_id
        self.terms: dict[str, np.ndarray] = {}
        self.payments = np.zeros((n, task.budget)) if keep_payments else None
        self.failure: str | None = None
        self.rngs: list[np.random.Generator] = [None] * n
        self.reward_rngs: list[np.random.Generator] = [None] * n
        self.paying = reward.start(n, self.reward_rngs, self.vocabulary)
        # metrics of texts are computed once, at the end; the others must be followed
        self.following = [None if isinstance(m, Metric) else m.start_rows(n, self.vocabulary) for m in self.metrics]
        self.followed = np.zeros((len(self.metrics), n))
        needs_text = reward.needs_text or any(m.needs_text for m in self.metrics if not isinstance(m, Metric))
        self.stream = self.vocabulary.stream(n) if needs_text else None
        self.legal = None if mask is None else np.zeros((n, self.vocabulary.size), bool)
        states = [self.paying, *(progress for progress in self.following if progress is not None)]
        self.scalar = scalar and n == 1 and mask is None and all(state.takes_scalars for state in states)

    # -- beginning ---------------------------------------------------------------------------------

    def give_stream(self, row: int, rng: np.random.Generator) -> None:
        """Give a row its two streams: ``rng`` draws its episodes, a generator spawned from it is its reward's."""
        self.rngs[row] = rng
        self.reward_rngs[row] = rng.spawn(1)[0]
        self.draws[row] = self.given[row] = 0

    def draw(self, row: int) -> Episode:
        """The next episode of the row's own stream."""
        if self.rngs[row] is None:
            self.give_stream(row, seeding.np_random(None)[0])
        return self.task.sample(self.rngs[row])

    def begin(self, rows: np.ndarray, episodes: Sequence[Episode] | None = None, *, keep_terms: bool = False) -> None:
        """Begin new episodes in ``rows``: the ones given, else drawn. ``keep_terms``: in the step that ended the last
        ones, whose terms are still to be told."""
        each = rows.tolist()
        drawn = episodes is None
        if drawn:
            episodes = [self.draw(row) for row in each]
        counts, groups = (self.draws if drawn else self.given), self.n // self.group_size
        if self.failure and len(each) == self.n:
            self.failure = None
        self.lengths, self.over = self.lengths.copy(), self.over.copy()  # the last step's arrays are others' now
        start, pad, encode = self.task.prompt_length, self.vocabulary.pad, self.vocabulary.encode
        for row, episode in zip(each, episodes, strict=True):  # mostly few rows: item by item beats index arrays
            ids = encode(episode.prompt)
            window = self.window[row]
            window.fill(pad)
            window[start - len(ids) : start] = ids
            self.episodes[row] = episode
            self.lengths[row] = 0
            self.over[row] = False
            self.ended_illegally[row] = False
            counts[row] += 1
            number = int(counts[row] - 1) * groups + row // self.group_size
            self.ids[row] = number if drawn else -1 - number
            if self.payments is not None:
                self.payments[row] = 0.0
        if not keep_terms:
            self.terms = {name: paid.copy() for name, paid in self.terms.items()}
            for paid in self.terms.values():
                paid[rows] = 0.0
        if self.stream is not None:
            self.stream.reset(rows)
        try:
            self.paying.reset(rows, episodes)
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"
            raise RewardError(
                f"reward {self.reward.name!r} raised {self.failure} at the start of an episode"
            ) from error
        for progress in self.following:
            if progress is not None:
                progress.reset(rows, episodes)
        if self.legal is not None:
            self._look_up_legal(rows)

    # -- going on ----------------------------------------------------------------------------------

    def append(self, actions: np.ndarray, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Write one token in each of ``rows`` (None: all) and pay it.

        Args:
            actions: int64 (k,), checked.
            rows: int64 (k,), ascending.

        Returns:
            rewards float64 (k,) and ended bool (k,); scalars where ``self.scalar``.

        Raises:
            InvalidAction: a token the mask forbids, with ``on_illegal="raise"``. Nothing has changed.
            ResetNeeded: a row has no episode in progress. Nothing has changed.
            RewardError: the reward raised or paid no finite number. Only a reset of all rows helps.
        """
        whole = rows is None
        step = Step(self.all_rows if whole else rows, actions, self.episodes, whole=whole, scalar=self.scalar)
        if self.failure or step.some(step.take(self.over)):
            raise reset_needed(self, step.rows)
        actions, lengths, start = step.actions, step.take(self.lengths), step.take(self.text_start)
        if self.legal is None:
            self.window.ravel()[start + lengths] = actions
            lengths = lengths + 1
            ended = (actions == self.vocabulary.eos) | (lengths == self.task.budget)
        else:
            illegal = step.illegal = ~self.legal[step.rows, actions]
            if self.on_illegal == "raise" and np.count_nonzero(illegal):
                raise illegal_action(self, int(step.rows[illegal][0]), int(actions[illegal][0]))
            written = ~illegal
            self.window.ravel()[(start + lengths)[written]] = actions[written]
            lengths = lengths + written
            ended = illegal | (actions == self.vocabulary.eos) | (lengths == self.task.budget)
            self.ended_illegally[step.rows] = illegal
        step.lengths, step.ended = lengths, ended
        self.lengths = step.put(self.lengths, lengths)
        self.over = step.put(self.over, ended)
        self.last_actions = step.put(self.last_actions, actions.copy())  # the caller's own otherwise
        if self.stream is not None:
            self._decode(step)
        rewards = self._pay(step)
        if self.legal is not None:
            self._look_up_legal(step.rows)
        return rewards, ended

    def _decode(self, step: Step) -> None:
        """Fill in the text: what is provisional at the end becomes final before it is paid."""
        if step.illegal is None or not np.count_nonzero(step.illegal):
            pieces, provisional = self.stream.push(step.rows, self.last_actions if step.whole else step.actions)
        else:
            pieces, provisional = [""] * len(step.rows), [""] * len(step.rows)
            legal = np.flatnonzero(~step.illegal)
            for i, piece, open_text in zip(
                legal.tolist(), *self.stream.push(step.rows[legal], step.actions[legal]), strict=True
            ):
                pieces[i], provisional[i] = piece, open_text
        if step.some(step.ended):
            for i in np.flatnonzero(step.ended).tolist():
                if provisional[i]:
                    pieces[i], provisional[i] = pieces[i] + provisional[i], ""
        step.pieces, step.provisional = pieces, provisional

    def _pay(self, step: Step) -> np.ndarray:
        try:
            rewards = self.paying.step(step)
            rewards = float(rewards) if step.scalar else np.array(rewards, np.float64)
            for i, progress in enumerate(self.following):
                if progress is not None:
                    self.followed[i, step.rows] = progress.value(step)
            terms = self.paying.terms
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"
            raise RewardError(f"reward {self.reward.name!r} raised {self.failure}") from error
        valid = step.scalar or rewards.shape == step.rows.shape
        if valid and step.illegal is not None:
            terms = dict(terms)
            terms["illegal"] = np.where(step.illegal, 0.0 if self.on_illegal == "raise" else self.on_illegal, 0.0)
            rewards = rewards + terms["illegal"]
        if valid:
            valid = math.isfinite(rewards) if step.scalar else np.count_nonzero(np.isfinite(rewards)) == len(rewards)
        if not valid:
            self.failure = "no finite number"  # also where the message below cannot be made
            error = no_number(self, step, rewards, terms)
            self.failure = str(error)
            raise error
        if terms.keys() != self.terms.keys():
            self.terms = {name: np.zeros(self.n) for name in terms}
        self.terms = {name: step.put(self.terms[name], np.asarray(paid, np.float64)) for name, paid in terms.items()}
        if self.payments is not None:
            written = step.lengths if step.illegal is None else step.lengths + step.illegal
            self.payments[step.rows, written - 1] = rewards
        return rewards

    # -- masks -------------------------------------------------------------------------------------

    def _look_up_legal(self, rows: np.ndarray) -> None:
        over = rows[self.over[rows]]  # nothing may follow; EOS stands for it
        self.legal[over] = False
        self.legal[over, self.vocabulary.eos] = True
        rows = rows[~self.over[rows]]
        if len(rows):
            episodes = [self.episodes[row] for row in rows.tolist()]
            legal = self.mask.legal_tokens(self.window[rows], self.lengths[rows], episodes)
            stuck = ~legal.any(axis=1)
            if np.count_nonzero(stuck):
                legal[stuck, self.vocabulary.eos] = True
            self.legal[rows] = legal

    # -- ending ------------------------------------------------------------------------------------

    def text(self, row: int) -> str:
        """The text written so far, without EOS and special tokens."""
        start = self.task.prompt_length
        return self.vocabulary.decode(self.window[row, start : start + self.lengths[row]])

    def outcomes(self, rows: np.ndarray) -> dict[str, list[Any]]:
        """What is reported of the episodes of ``rows`` (k,) that have ended: name -> k values.

        Raises:
            RewardError: the task's score or a metric raised. Only a reset of all rows helps.
        """
        try:
            return self._outcomes(rows)
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"
            names = ", ".join(["score", *(metric.name for metric in self.metrics)])
            raise RewardError(f"one of the metrics to report ({names}) raised {self.failure}") from error

    def _outcomes(self, rows: np.ndarray) -> dict[str, list[Any]]:
        eos, metrics = self.vocabulary.eos, [m for m in self.metrics if isinstance(m, Metric)]
        report: dict[str, list[Any]] = {"end_reason": [], "score": [], "is_success": [], "text": []}
        report |= {metric.name: [] for metric in self.metrics}
        for row in rows.tolist():
            episode, text = self.episodes[row], self.text(row)
            illegal = self.ended_illegally[row]
            last = self.window[row, self.task.prompt_length + self.lengths[row] - 1]
            score = 0.0 if illegal else float(self.task.score(text, episode))
            report["end_reason"].append("illegal" if illegal else "eos" if last == eos else "budget")
            report["score"].append(score)
            report["is_success"].append(score >= 1.0 - 1e-9)
            report["text"].append(text)
            for metric in metrics:
                report[metric.name].append(metric.worst if illegal else float(metric.score(text, episode)))
        for metric, values in zip(self.metrics, self.followed, strict=True):
            if not isinstance(metric, Metric):
                report[metric.name] = [
                    metric.worst if self.ended_illegally[row] else float(values[row]) for row in rows
                ]
        return report

    def episode_id(self) -> np.ndarray:
        """int64 (n,), equal for the rows of a group on the same episode, different otherwise, from seed to seed.

        The k-th episode that group g draws is k * groups + g; those given by the user count downwards from -1.
        """
        return self.ids.copy()

    @property
    def begun(self) -> np.ndarray:
        """bool (n,), the row has had an episode."""
        return (self.draws + self.given) > 0

    # -- saving ------------------------------------------------------------------------------------

    def get_state(self):
        """Everything that :meth:`set_state` needs to go on exactly from here, generators included."""
        saved = super().get_state()
        for name in ("rngs", "reward_rngs"):
            saved[name] = [rng and copy.deepcopy(rng.bit_generator.state) for rng in getattr(self, name)]
        return saved

    def set_state(self, saved):
        generators = {name: saved[name] for name in ("rngs", "reward_rngs")}
        if len(generators["rngs"]) != self.n or saved["window"].shape != self.window.shape:
            raise ValueError(
                f"this state is of {len(generators['rngs'])} rows of {saved['window'].shape[1]} tokens, "
                f"the environment has {self.n} rows of {self.window.shape[1]}"
            )
        super().set_state({name: value for name, value in saved.items() if name not in generators})
        for name, states in generators.items():
            rngs = getattr(self, name)
            for row, state in enumerate(states):
                if state is None:
                    rngs[row] = None
                    continue
                if rngs[row] is None:
                    rngs[row] = seeding.np_random(0)[0]
                rngs[row].bit_generator.state = copy.deepcopy(state)
