"""The Stable-Baselines3 face: TextGenVectorEnv as a VecEnv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

from textgym.envs.checks import checked_actions
from textgym.envs.vector import TextGenVectorEnv
from textgym.episode import Step


class SB3VecEnv(VecEnv):
    """A :class:`~textgym.envs.vector.TextGenVectorEnv` as Stable-Baselines3 wants it.

    Args:
        envs: a vector env with ``autoreset_mode="SameStep"`` and ``copy=True`` (with a view, SB3's buffers
            would hold the action in the observation).

    Observations as the vector env's, rewards float32 (n,), dones bool (n,). The infos of rows whose
    episode goes on are empty; at an end a row's info has ``terminal_observation``,
    ``TimeLimit.truncated`` (always False: every end is a real one) and what the single environment's
    info has (``score``, ``is_success``, ``text``, ``end_reason``, ``reward_terms``, ...).
    """

    def __init__(self, envs: TextGenVectorEnv):
        if not isinstance(envs, TextGenVectorEnv):
            raise TypeError(
                f"SB3VecEnv adapts a TextGenVectorEnv (gym.make_vec of a textgym id), got {type(envs).__name__}"
            )
        if envs.autoreset_mode is not AutoresetMode.SAME_STEP or not envs.copy:
            raise ValueError(
                "Stable-Baselines3 needs autoreset_mode='SameStep' and copy=True, got "
                f"autoreset_mode={envs.autoreset_mode.value!r}, copy={envs.copy}"
            )
        self.envs = envs
        self.spec = envs.spec
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self):
        # seed(s) has stored s, s + 1, ...: the vector env does the same from s, and knows groups
        observations, infos = self.envs.reset(seed=self._seeds[0], options=_merged(self._options))
        self.reset_infos = [_row_info(infos, row) for row in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self):
        state, n = self.envs.state, self.num_envs
        rewards, step = state.append(checked_actions(self._actions, (n,), self.envs.vocabulary))
        infos: list[dict[str, Any]] = [{}] * n  # one empty dict for all rows whose episode goes on
        ending = step.ending
        if ending:
            self._add_final(infos, ending)
            state.begin(ending.rows, keep_terms=True)
        if self.envs.render_mode == "human":
            self.envs.render()
        return self.envs.observe(), rewards.astype(np.float32), step.ended, infos

    def _add_final(self, infos: list[dict[str, Any]], ending: Step) -> None:
        """Put the infos of the rows whose episodes have ended into ``infos``, one a row of the environment."""
        state = self.envs.state
        outcomes = {**state.outcomes(ending), **self._standing(ending.rows)}
        observations = self.envs.last_observations(ending)
        for i, row in enumerate(ending.rows.tolist()):
            info = infos[row] = {"terminal_observation": observations[i], "TimeLimit.truncated": False}
            for name, values in outcomes.items():
                info[name] = values[i]
            terms = info["reward_terms"] = {}
            for name, paid in state.paid_terms.items():
                terms[name] = float(paid[row])

    def _standing(self, rows: np.ndarray) -> dict[str, Sequence[Any]]:
        """What a row has at every time: its mask, its group's episode."""
        state, standing = self.envs.state, {}
        if state.legal is not None:
            standing["action_mask"] = [state.action_mask(row, np.int8) for row in rows.tolist()]
        if self.envs.group_size is not None:
            standing["episode_id"] = state.streams.ids[rows].tolist()
        return standing

    def close(self) -> None:
        self.envs.close()

    # -- attributes and methods of the rows --------------------------------------------------------

    def get_attr(self, attr_name: str, indices=None) -> list[Any]:
        return [getattr(self.envs, attr_name)] * len(self._indices(indices))

    def set_attr(self, attr_name: str, value: Any, indices=None) -> None:
        if len(self._indices(indices)) != self.num_envs:
            raise ValueError(f"{attr_name!r} belongs to all rows: set_attr takes no indices here")
        setattr(self.envs, attr_name, value)

    def env_method(self, method_name: str, *method_args, indices=None, **method_kwargs) -> list[Any]:
        rows = self._indices(indices)
        result = getattr(self.envs, method_name)(*method_args, **method_kwargs)
        if isinstance(result, (tuple, list, np.ndarray)) and len(result) == self.num_envs:
            return [result[row] for row in rows]
        return [result] * len(rows)

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices=None) -> list[bool]:
        return [False] * len(self._indices(indices))

    def get_images(self) -> Sequence[np.ndarray | None]:
        return list(self.envs.render()) if self.envs.render_mode == "rgb_array" else [None] * self.num_envs

    def _indices(self, indices) -> Sequence[int]:
        return list(self._get_indices(indices))


def _merged(options: list[dict[str, Any]]) -> dict[str, Any] | None:
    """One dict of options out of one a row: {"index": [...]}. An array given to all rows stands for all of them."""
    if not any(options):
        return None
    names = set(options[0])
    if any(set(each) != names for each in options):
        raise ValueError(f"every row needs the same reset options, got {[sorted(each) for each in options]}")
    merged = {}
    for name in names:
        values = [each[name] for each in options]
        merged[name] = values[0] if isinstance(values[0], np.ndarray) else values
    return merged


def _row_info(infos: dict[str, Any], row: int) -> dict[str, Any]:
    """The info of one row out of a dict of arrays with masks."""
    info = {}
    for name, value in infos.items():
        if name.startswith("_") and name[1:] in infos:
            continue
        if not infos[f"_{name}"][row]:
            continue
        if isinstance(value, dict):
            info[name] = _row_info(value, row)
        else:
            item = value[row]
            info[name] = item.item() if isinstance(item, np.generic) else item
    return info


def make_vec_env(id: str, n_envs: int = 16, seed: int | None = None, monitor: bool = True, **env_kwargs: Any) -> VecEnv:
    """A textgym id as a Stable-Baselines3 VecEnv.

    Args:
        id: a registered id, "textgym/Spelling-v0".
        n_envs: number of rows.
        seed: row i is seeded with seed + i at the first reset; None: at random.
        monitor: wrap in ``VecMonitor``: return, length, ``score`` and the ``metrics`` asked for, at every end.
        env_kwargs: keywords of the id: reward, split, mask, the task's own, ...

    Raises:
        TypeError: ``autoreset_mode`` or ``copy`` among ``env_kwargs`` (SB3 needs SameStep and copies).
    """
    for name in ("autoreset_mode", "copy"):
        if name in env_kwargs:
            raise TypeError(f"{name!r} is fixed for Stable-Baselines3 (autoreset_mode='SameStep', copy=True)")
    envs = gym.make_vec(id, num_envs=n_envs, autoreset_mode=AutoresetMode.SAME_STEP, **env_kwargs)
    venv: VecEnv = SB3VecEnv(envs)
    if monitor:
        venv = VecMonitor(venv, info_keywords=("score", *(metric.name for metric in envs.state.metrics)))
    if seed is not None:
        venv.seed(seed)
    return venv
