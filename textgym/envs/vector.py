"""TextGenVectorEnv: n rows in one call, laid out exactly as Gymnasium's SyncVectorEnv lays out n single envs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from textgym.arrays import MANY, some
from textgym.envs.checks import as_array, checked_actions, reset_needed
from textgym.envs.options import checked_options, requested_episodes
from textgym.envs.render import render_row
from textgym.envs.settings import RENDER_FPS, RENDER_MODES, EnvSettings
from textgym.episode import Step
from textgym.errors import unknown, whole_number
from textgym.tasks import Task

# a member takes three times as long to look up in its enum
_NEXT_STEP, _SAME_STEP = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP


class TextGenVectorEnv(VectorEnv):
    """n texts written at once: :class:`~textgym.envs.single.TextGenEnv` n times, at a fraction of the cost.

    Row i of ``reset(seed=s)`` is the single environment reset with ``seed=s + i // group_size``.

    Args:
        num_envs: n, the number of rows.
        autoreset_mode: "NextStep" (Gymnasium's default), "SameStep", "Disabled", or the enum. Under
            NextStep the step after an end ignores the row's action, resets it and pays 0; learners want SameStep.
        copy: True: every call returns fresh observations. False: a read-only view of the one buffer, valid
            until the next call, for a trainer that stores the tokens itself.
        group_size: G rows after each other meet the same episodes in the same order; ``info["episode_id"]``
            (int64) is equal for the rows of a group on one episode. None: no groups, no such key.
        task, reward, tokenizer, split, budget, mask, observe_mask, on_illegal, metrics, render_mode: see
            :class:`~textgym.envs.settings.EnvSettings`. Further keywords are the task's own.

    ``reset`` takes ``options``: ``reset_mask`` (bool (n,)), and ``index``, ``prompt``, ``references``, each one
    value for all rows or a sequence of n.
    """

    metadata = {"render_modes": RENDER_MODES, "render_fps": RENDER_FPS, "autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(
        self,
        task: Any,
        num_envs: int = 1,
        *,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        group_size: int | None = None,
        reward: Any = "delta",
        tokenizer: Any = None,
        split: str | None = None,
        budget: int | None = None,
        mask: Any = None,
        observe_mask: bool = False,
        on_illegal: str | float = "end",
        metrics: Sequence[Any] = (),
        render_mode: str | None = None,
        **task_arguments: Any,
    ):
        super().__init__()
        self.num_envs = whole_number("num_envs", num_envs, 1)
        if group_size is not None and num_envs % whole_number("group_size", group_size, 1):
            raise ValueError(f"group_size must be a whole number that divides num_envs={num_envs}, got {group_size!r}")
        settings = EnvSettings(
            task, reward, tokenizer, split, budget, mask, observe_mask, on_illegal, metrics, render_mode, task_arguments
        )
        self.autoreset_mode = as_autoreset_mode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.copy = copy
        self.group_size = group_size
        self.task: Task = settings.task
        self.vocabulary = self.task.vocabulary
        self.prompt_length, self.budget = self.task.prompt_length, self.task.budget
        self.render_mode = settings.render_mode
        self.observe_mask = settings.observe_mask
        self.single_action_space = settings.action_space
        self.single_observation_space = settings.observation_space
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.state = settings.start(self.num_envs, group_size or 1)
        self._everywhere = np.ones(self.num_envs, bool)

    # -- reset and step ----------------------------------------------------------------------------

    def reset(self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None):
        options = checked_options(options)
        mask = options.pop("reset_mask", None)
        rows = self.state.all_rows if mask is None else np.flatnonzero(self._checked_mask(mask))
        episodes = requested_episodes(self.task, options, rows.tolist(), self.num_envs)
        seeds = self._seeds(seed, rows)
        self._check_groups(rows, seeds, episodes)
        streams = [None if row_seed is None else seeding.np_random(row_seed)[0] for row_seed in seeds]
        for row, stream in zip(rows.tolist(), streams, strict=True):
            if stream is not None:
                self.state.streams.seed(row, stream)
        self.state.begin(rows, episodes)
        infos: dict[str, Any] = {}
        self._add_standing(infos, self._everywhere if mask is None else mask)
        if self.render_mode == "human":
            self.render()
        return self.observe(), infos

    def step(self, actions):
        state, n = self.state, self.num_envs
        paid = None  # bool (n,), the rows that take part; None: all
        if self.autoreset_mode is _NEXT_STEP and some(state.over):
            if state.failure or not state.streams.begun.all():
                raise reset_needed(state, state.all_rows)
            paid = ~state.over
            actions = as_array(actions).copy()
            if actions.shape == (n,):
                actions[state.over] = 0  # ignored, whatever it is
        actions = checked_actions(actions, (n,), self.vocabulary)
        infos: dict[str, Any] = {}
        ending = None
        if paid is None:
            rewards, step = state.append(actions)
            ended, ending = step.ended, step.ending
        else:
            rewards, ended = np.zeros(n), np.zeros(n, bool)
            going, waiting = np.flatnonzero(paid), np.flatnonzero(~paid)
            if len(going):
                rewards[going], step = state.append(actions[going], going)
                ended[going], ending = step.ended, step.ending
            state.begin(waiting)
        terms = {}
        for name, values in state.paid_terms.items():
            terms[name] = values.copy()
        if ending:
            have = ended.copy()
            if self.autoreset_mode is _SAME_STEP:
                self._add_final(infos, have, ending, terms)
                state.begin(ending.rows, keep_terms=True)
                paid = ~ended
            else:
                self._add_outcomes(infos, have, ending)
        if paid is None:
            paid = self._everywhere.copy()
        if some(paid):
            _add_terms(infos, paid, terms)
        self._add_standing(infos, self._everywhere)
        if self.render_mode == "human":
            self.render()
        return self.observe(), rewards, ended, np.zeros(n, bool), infos

    def observe(self):
        """The observations of all rows: a copy, unless the environment has ``copy=False``."""
        if self.copy:
            tokens = self.state.window.copy()
        else:
            tokens = self.state.window.view()
            tokens.flags.writeable = False
        return {"tokens": tokens, "action_mask": self.state.action_masks(np.int8)} if self.observe_mask else tokens

    def last_observations(self, ending: Step) -> Sequence[Any]:
        """The observations of the k episodes that have ended, until new ones begin: rows of one copy."""
        if not self.observe_mask:
            return ending.windows
        masks = [self.state.action_mask(row, np.int8) for row in ending.rows.tolist()]
        return [{"tokens": tokens, "action_mask": mask} for tokens, mask in zip(ending.windows, masks, strict=True)]

    # -- infos, as SyncVectorEnv lays them out: every key with a mask "_key" of the rows that have it; of one call,
    # the keys that the same rows have share one array ----

    def _add_standing(self, infos: dict[str, Any], have: np.ndarray) -> None:
        """What a row has at every time: its mask, its group's episode. ``have`` bool (n,): for these rows."""
        if self.state.legal is not None:
            masks = infos["action_mask"] = self.state.action_masks(np.int8)
            if have is not self._everywhere:
                masks[~have] = 0
            infos["_action_mask"] = have.copy()
        if self.group_size is not None:
            infos["episode_id"], infos["_episode_id"] = np.where(have, self.state.streams.ids, 0), have.copy()

    def _add_outcomes(self, infos: dict[str, Any], have: np.ndarray, ending: Step) -> None:
        """What is reported of the episodes that have ended."""
        n, each = self.num_envs, list(enumerate(ending.rows.tolist()))
        for name, values in self.state.outcomes(ending).items():
            kind = type(values[0])
            column = np.empty(n, object) if kind is str else np.zeros(n, kind)  # an empty one of objects is all None
            if kind is str or len(each) < MANY:
                for i, row in each:
                    column[row] = values[i]
            else:
                column[ending.rows] = values
            infos[name], infos[f"_{name}"] = column, have

    def _add_final(self, infos: dict[str, Any], have: np.ndarray, ending: Step, terms: dict[str, np.ndarray]) -> None:
        """SAME_STEP: the last observation and info of the episodes that have ended; their ``terms`` move there."""
        final: dict[str, Any] = {}
        self._add_outcomes(final, have, ending)
        rows, last = ending.rows.tolist(), {}
        observations = np.empty(self.num_envs, object)
        own = self.last_observations(ending)
        for i, row in enumerate(rows):
            observations[row] = own[i]
        for name, paid in terms.items():
            column = last[name] = np.zeros(self.num_envs)
            for at in rows if len(rows) < MANY else (ending.rows,):
                column[at], paid[at] = paid[at], 0.0
        _add_terms(final, have, last)
        self._add_standing(final, have)
        infos["final_obs"], infos["_final_obs"] = observations, have
        infos["final_info"], infos["_final_info"] = final, have

    # -- the rest of the interface -----------------------------------------------------------------

    def action_masks(self) -> np.ndarray:
        """Which tokens are legal now, bool (n, V), fresh; every row has at least one."""
        return self.state.action_masks()

    @property
    def last_reward_terms(self) -> dict[str, np.ndarray]:
        """Name -> float64 (n,): what the last step of each row paid, term by term, in every autoreset mode."""
        return {name: paid.copy() for name, paid in self.state.terms.items()}

    @property
    def np_random_seed(self) -> tuple[int, ...]:
        """The seeds of the rows' episodes, as SyncVectorEnv has them; -1 before the first reset."""
        return tuple(self.state.streams.seeds)

    @property
    def np_random(self) -> tuple[np.random.Generator, ...]:
        """The generators of the rows' episodes, as SyncVectorEnv has them."""
        return tuple(self.state.streams.rngs)

    @property
    def episodes(self):
        """The n episodes in progress."""
        return list(self.state.episodes)

    def render(self):
        """A tuple of n frames (see TextGenEnv.render), or None without a render mode and for "human"."""
        frames = tuple(render_row(self.state, row, self.render_mode) for row in range(self.num_envs))
        return None if self.render_mode in (None, "human") else frames

    def get_state(self) -> dict[str, Any]:
        """All that :meth:`set_state` needs to go on exactly from here; can be pickled."""
        return self.state.get_state()

    def set_state(self, saved: dict[str, Any]) -> None:
        """Go back to a state of :meth:`get_state`, of this environment or of one with the same settings."""
        self.state.set_state(saved)

    # -- checks ------------------------------------------------------------------------------------

    def _checked_mask(self, mask: Any) -> np.ndarray:
        if not isinstance(mask, np.ndarray) or mask.dtype != bool:
            raise TypeError(
                f"options['reset_mask'] must be a numpy array of bool, got {getattr(mask, 'dtype', type(mask))}"
            )
        if mask.shape != (self.num_envs,):
            raise ValueError(f"options['reset_mask'] must have shape ({self.num_envs},), got {mask.shape}")
        if not mask.any():
            raise ValueError("options['reset_mask'] must have at least one True")
        return mask

    def _seeds(self, seed: Any, rows: np.ndarray) -> list[int | None]:
        """The seed of each of ``rows``, None: its stream goes on; int s: s + row // group_size."""
        each, size = rows.tolist(), self.group_size or 1
        if isinstance(seed, (int, np.integer)):
            return [int(seed) + row // size for row in each]
        if seed is not None and len(seed) != self.num_envs:
            raise ValueError(f"a list of seeds needs one for each of the {self.num_envs} rows, got {len(seed)}")
        seeds = [None if seed is None else seed[row] for row in each]
        fresh: dict[int, int] = {}  # group -> the seed of its rows that have no stream yet
        for i, row in enumerate(each):
            if seeds[i] is None and self.state.streams.rngs[row] is None:
                seeds[i] = fresh.setdefault(row // size, seeding.np_random(None)[1])
        return seeds

    def _check_groups(self, rows: np.ndarray, seeds: list[int | None], episodes: Sequence[Any] | None) -> None:
        """What is given to a row (a new seed, an episode) is given to its whole group."""
        episodes = [None] * len(rows) if episodes is None else episodes
        given: dict[int, list[Any]] = {}
        for row, seed, episode in zip(rows.tolist(), seeds, episodes, strict=True):
            given.setdefault(row // (self.group_size or 1), []).append(
                [seed, episode and (episode.prompt, episode.references)]
            )
        for group, each in given.items():
            if each != each[:1] * (self.group_size or 1) and any(what != [None, None] for what in each):
                raise ValueError(
                    f"the {self.group_size} rows of a group meet the same episodes: reset all rows of group {group} "
                    "together the first time, and where a seed, an index or a prompt is given, and give each the same"
                )


def _add_terms(infos: dict[str, Any], have: np.ndarray, terms: dict[str, np.ndarray]) -> None:
    """The parts of the reward, ``terms``, name -> float64 (n,), for the rows ``have``, bool (n,); 0 elsewhere."""
    masked = {}
    for name, paid in terms.items():
        masked[name], masked[f"_{name}"] = paid, have
    infos["reward_terms"], infos["_reward_terms"] = masked, have


def as_autoreset_mode(mode: str | AutoresetMode) -> AutoresetMode:
    """The enum of "NextStep", "SameStep" or "Disabled" (also "next_step", "NEXT_STEP", ...)."""
    if isinstance(mode, AutoresetMode):
        return mode
    by_name = {m.value.lower(): m for m in AutoresetMode}
    key = str(mode).lower().replace("_", "")
    if key not in by_name:
        raise unknown("autoreset_mode", mode, [m.value for m in AutoresetMode])
    return by_name[key]
