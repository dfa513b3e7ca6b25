"""The table of algorithms: which class, which policy for which observation, which keywords by default."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv

from textgym.errors import call_checked, one_of, unknown
from textgym.sb3.encoders import policy_kwargs
from textgym.sb3.word_vectors import read_word_vectors

HYPERPARAMS = Path(__file__).with_name("hyperparams.yml")
# keys of an entry that are not the algorithm's own: they are fields of TrainArgs
OURS = ("n_envs", "n_timesteps", "encoder", "encoder_kwargs", "warm_start", "critic_start")


@dataclass(frozen=True)
class Algorithm:
    """One row of the table.

    Attributes:
        name: in commands, and in :func:`textgym.sb3.encoders.policy_kwargs`.
        path: "package.module:Class".
        policy: SB3's names of the policy for a window and for a dict of window and mask.
        actor_critic: it has a policy network, whose likelihood a warm start can raise.
        masks: "observed" (a masked policy, where ``observe_mask=True``), "native" (asks the env) or "none".
    """

    name: str
    path: str
    policy: tuple[str, str] = ("MlpPolicy", "MultiInputPolicy")
    actor_critic: bool = True
    masks: str = "none"

    @property
    def can_warm_start(self) -> bool:
        """Its policy says how likely an action is, given an observation alone."""
        return self.actor_critic and self.name != "recurrent_ppo"

    def load(self) -> type:
        """The class.

        Raises:
            ImportError: it is in sb3-contrib, which is not installed.
        """
        module, _, name = self.path.partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except ImportError as error:
            if module == "sb3_contrib":
                raise ImportError(f'{self.name} is in sb3-contrib: pip install "textgym[contrib]"') from error
            raise

    def policy_for(self, space: spaces.Space) -> str | type:
        """The policy for an observation space: masked where the observation has the mask and the algorithm can."""
        observed = isinstance(space, spaces.Dict)
        if observed and self.masks == "observed":
            from textgym.sb3.policies import MaskedActorCriticPolicy

            return MaskedActorCriticPolicy
        return self.policy[observed]


ALGORITHMS = {
    a.name: a
    for a in (
        Algorithm("ppo", "stable_baselines3:PPO", masks="observed"),
        Algorithm("a2c", "stable_baselines3:A2C", masks="observed"),
        Algorithm("dqn", "stable_baselines3:DQN", actor_critic=False),
        Algorithm("double_dqn", "textgym.sb3.double_dqn:DoubleDQN", actor_critic=False),
        Algorithm("maskable_ppo", "sb3_contrib:MaskablePPO", masks="native"),
        Algorithm("qr_dqn", "sb3_contrib:QRDQN", actor_critic=False),
        Algorithm("recurrent_ppo", "sb3_contrib:RecurrentPPO", policy=("MlpLstmPolicy", "MultiInputLstmPolicy")),
        Algorithm("trpo", "sb3_contrib:TRPO", masks="observed"),
    )
}


def algorithm(name: str) -> Algorithm:
    """The row of that name.

    Raises:
        ValueError: an unknown name.
    """
    return ALGORITHMS[one_of("algo", name, ALGORITHMS)]


@cache
def _table() -> dict[str, dict[str, dict[str, Any]]]:
    return yaml.safe_load(HYPERPARAMS.read_text())


def hyperparams(algo: str, id: str, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The keywords for an algorithm on an id: the file's "default", over it its entry of the id, over it ``given``.

    ``policy_kwargs`` and ``encoder_kwargs`` are merged key by key.
    """
    entries = _table()[algorithm(algo).name]
    merged: dict[str, Any] = {}
    for layer in (entries["default"], entries.get(id) or {}, given or {}):
        other_encoder = layer.get("encoder", merged.get("encoder")) != merged.get("encoder")
        for name, value in layer.items():
            nested = name in ("policy_kwargs", "encoder_kwargs") and not (other_encoder and name == "encoder_kwargs")
            merged[name] = {**merged.get(name, {}), **value} if nested else value
        if other_encoder and "encoder_kwargs" not in layer:
            merged["encoder_kwargs"] = {}  # they were the other encoder's
    return merged


def check_keywords(algo: str, given: Mapping[str, Any]) -> None:
    """Raise where an algorithm does not take a hyperparameter.

    Raises:
        ValueError: the keyword, and the nearest one that the algorithm takes; or one that is a flag of its own.
    """
    taken = ("policy", "env", "seed", "gamma", "device", "verbose", "tensorboard_log")
    for name in taken:
        if name in given:
            raise ValueError(f"{name!r} is no hyperparameter here: it has its own flag, or is fixed")
    parameters = inspect.signature(algorithm(algo).load()).parameters
    takes = [name for name in parameters if name[0] != "_" and name not in taken]
    for name in given:
        if name not in takes:
            raise unknown(f"hyperparameter of {algo}", name, (*takes, *OURS))


def build(
    algo: str, env: VecEnv, *, encoder: str, encoder_kwargs: Mapping[str, Any], prompt_length: int, **kwargs: Any
) -> BaseAlgorithm:
    """A fresh SB3 model, its keywords checked by :func:`check_keywords`.

    Args:
        algo: a name in :data:`ALGORITHMS`.
        env: of :func:`textgym.sb3.make_vec_env`.
        encoder, encoder_kwargs: what reads the window, see :mod:`textgym.sb3.encoders`. ``vectors`` may be the path of
            a file, or a dict of the arguments of :func:`~textgym.sb3.word_vectors.read_word_vectors`.
        prompt_length: of the task.
        kwargs: the algorithm's own; "lin_3e-4" is a rate that falls to 0 linearly over the steps.
    """
    row = algorithm(algo)
    kwargs = {name: _schedule(value) for name, value in kwargs.items()}
    encoder_kwargs = dict(encoder_kwargs)
    if isinstance(spec := encoder_kwargs.get("vectors"), (str, dict)):
        arguments = {"path": spec} if isinstance(spec, str) else spec
        read = partial(read_word_vectors, vocabulary=env.unwrapped.envs.vocabulary)
        encoder_kwargs["vectors"] = call_checked("vectors", read, arguments)
    policy = policy_kwargs(encoder, algo=row.name, prompt_length=prompt_length, **encoder_kwargs)
    policy |= kwargs.pop("policy_kwargs", {})
    return row.load()(row.policy_for(env.observation_space), env, policy_kwargs=policy, **kwargs)


def _schedule(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("lin_"):
        return LinearSchedule(float(value[4:]), 0.0, 1.0)
    return value
