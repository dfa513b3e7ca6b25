"""The TRUE score of an agent on fixed episodes: the same ones for every checkpoint, reward and seed."""

from __future__ import annotations

import inspect
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

from textgym.envs.vector import TextGenVectorEnv
from textgym.episode import Episode
from textgym.errors import whole_number
from textgym.registration import full_id
from textgym.tasks import Task

END_REASONS = ("eos", "budget", "illegal")


class Agent(Protocol):
    """Whatever says which token comes next.

    May have ``reset(episodes)``, called before every chunk of episodes. What has been trained has ``check(env)``, which
    raises ``ValueError`` where it cannot write in an env.
    """

    def act(self, observations, action_masks: np.ndarray, episodes: Sequence[Episode]) -> np.ndarray:
        """Token ids int64 (n,) for observations (n, L) or a dict of arrays, masks bool (n, V), the n episodes."""
        ...


class SB3Agent:
    """An SB3 or sb3-contrib model; MaskablePPO is given the masks, RecurrentPPO its states and episode starts.

    Args:
        model: any SB3 algorithm with ``predict``.
        deterministic: the likeliest token (argmax); False samples from torch's generator.
    """

    def __init__(self, model: Any, deterministic: bool = True):
        self.model = model
        self.deterministic = deterministic
        parameters = inspect.signature(model.predict).parameters
        self.masked = "action_masks" in parameters
        self.recurrent = hasattr(model.policy, "lstm_actor")
        self.reset(())

    def check(self, env: TextGenVectorEnv) -> None:
        """Raise ``ValueError`` where it cannot read what ``env`` shows."""
        own, shown = self.model.observation_space, env.single_observation_space
        if own != shown:
            raise ValueError(f"it reads {own}, but what it is shown is {shown}")

    def reset(self, episodes: Sequence[Episode]) -> None:
        self.state, self.begin = None, True

    def act(self, observations, action_masks, episodes):
        extra: dict[str, Any] = {"action_masks": action_masks} if self.masked else {}
        if self.recurrent:
            extra = {"state": self.state, "episode_start": np.full(len(action_masks), self.begin)}
        actions, self.state = self.model.predict(observations, deterministic=self.deterministic, **extra)
        self.begin = False
        return actions


@dataclass(frozen=True)
class Evaluation:
    """What an agent did on N fixed episodes, in the order of their indices.

    Attributes:
        indices: int64 (N,), the fixed episodes visited.
        scores: float64 (N,), the task's true score, in [0, 1].
        returns: float64 (N,), the sum of what the environment's reward paid.
        terms: N dicts, the sum of what each of its terms paid.
        lengths: int64 (N,), actions taken, EOS included.
        success: bool (N,), the true score is 1.
        texts, end_reasons, prompts: N strings.
        references: N tuples of strings.
        asked: how many episodes were asked for; N is less where the task has fewer.
    """

    indices: np.ndarray
    scores: np.ndarray
    returns: np.ndarray
    terms: list[dict[str, float]]
    lengths: np.ndarray
    success: np.ndarray
    texts: list[str]
    end_reasons: list[str]
    prompts: list[str]
    references: list[tuple[str, ...]]
    asked: int

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def mean_score(self) -> float:
        """Mean true score."""
        return float(self.scores.mean())

    def summary(self) -> dict[str, Any]:
        """Means over the episodes, of each term of the reward too, the score's standard error, shares of ends."""
        ends = Counter(self.end_reasons)
        return {
            "episodes": len(self),
            "asked": self.asked,
            "score": self.mean_score,
            "score_se": float(self.scores.std(ddof=1) / len(self) ** 0.5) if len(self) > 1 else 0.0,
            "success": float(self.success.mean()),
            "return": float(self.returns.mean()),
            "length": float(self.lengths.mean()),
            **{f"end_{reason}": ends[reason] / len(self) for reason in END_REASONS},
            **{f"term_{name}": float(np.mean([paid[name] for paid in self.terms])) for name in self.terms[0]},
        }

    def records(self) -> list[dict[str, Any]]:
        """One dict of JSON values an episode."""
        columns = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "asked"}
        lists = {name: c.tolist() if isinstance(c, np.ndarray) else [*c] for name, c in columns.items()}
        return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]

    def to_json(self) -> str:
        """``{"summary": ..., "records": [...]}``."""
        return json.dumps({"summary": self.summary(), "records": self.records()})


def evaluation_env(id: str, split: str = "validation", *, num_envs: int = 128, **env_kwargs: Any) -> TextGenVectorEnv:
    """The vector env that :func:`evaluate` needs (no autoreset), to build once where many checkpoints are evaluated."""
    return gym.make_vec(
        full_id(id), num_envs=num_envs, autoreset_mode=AutoresetMode.DISABLED, split=split, **env_kwargs
    )


def evaluate(
    agent: Agent,
    id_or_env: str | TextGenVectorEnv,
    episodes: int = 200,
    split: str = "validation",
    progress: Callable[[int], object] = lambda visited: None,
    first: int = 0,
    **env_kwargs: Any,
) -> Evaluation:
    """Let an agent write N fixed episodes once each, from the index ``first`` on.

    Nothing here is drawn: what varies is the agent, and a sampling agent has its own generator. The k-th episode's
    reward is seeded with k, so that a random reward is the same too.

    Args:
        agent: has ``act``, see :class:`Agent`.
        id_or_env: an id, or an env of :func:`evaluation_env`, whose split is then the one that counts.
        episodes: N; all that the task has from there on, where it has fewer.
        split, env_kwargs: keywords of the id.
        progress: is told after every chunk how many episodes it had.
        first: index of the first of them.

    Raises:
        ValueError: no episodes asked for, none from ``first`` on, or an env that resets itself.
        TypeError: an env together with ``env_kwargs``, or something else than an id or an env.
    """
    whole_number("episodes", episodes, 1)
    whole_number("first", first, 0)
    if isinstance(id_or_env, str):
        env = evaluation_env(id_or_env, split, num_envs=min(episodes, 128), **env_kwargs)
    elif env_kwargs:
        raise TypeError(f"the environment is already built: give {', '.join(env_kwargs)} to evaluation_env instead")
    elif isinstance(id_or_env, TextGenVectorEnv):
        env = id_or_env
    else:
        raise TypeError(f"evaluate takes an id or a TextGenVectorEnv, got {type(id_or_env).__name__}")
    if env.autoreset_mode is not AutoresetMode.DISABLED:
        raise ValueError(f"evaluate needs autoreset_mode='Disabled' (evaluation_env), got {env.autoreset_mode.value!r}")
    if first >= len(env.task):
        raise ValueError(f"there are no episodes from index {first} on: the split has {len(env.task)}")
    indices = np.arange(first, min(first + episodes, len(env.task)))
    rows: list[dict[str, Any]] = []
    for start in range(0, len(indices), env.num_envs):
        rows += _chunk(agent, env, indices[start : start + env.num_envs])
        progress(len(rows) - start)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    arrays = {name: np.array(columns.pop(name)) for name in ("scores", "returns", "lengths", "success")}
    return Evaluation(indices=indices, **arrays, **columns, asked=episodes)


def _chunk(agent: Agent, env: TextGenVectorEnv, indices: np.ndarray) -> list[dict[str, Any]]:
    """What happened in the fixed episodes ``indices`` (k,), k at most the rows of ``env``."""
    n, k = env.num_envs, len(indices)
    index = np.append(indices, np.full(n - k, indices[-1]))  # rows too many write the last one again, unheeded
    observations, _ = env.reset(seed=index.tolist(), options={"index": index})
    episodes = env.episodes
    if hasattr(agent, "reset"):
        agent.reset(episodes)
    returns, lengths = np.zeros(n), np.zeros(n, np.int64)
    terms: dict[str, np.ndarray] = {}
    rows: list[dict[str, Any]] = [{}] * k
    going = np.arange(n) < k
    while True:
        actions = np.asarray(agent.act(observations, env.action_masks(), episodes))
        observations, rewards, ended, _, infos = env.step(actions)
        returns[going] += rewards[going]
        for name, paid in env.last_reward_terms.items():
            terms[name] = terms.get(name, 0.0) + np.where(going, paid, 0.0)
        lengths[going] += 1
        for row in np.flatnonzero(ended & going).tolist():
            rows[row] = {
                "scores": infos["score"][row],
                "returns": returns[row],
                "terms": {name: float(paid[row]) for name, paid in terms.items()},
                "lengths": lengths[row],
                "success": infos["is_success"][row],
                "texts": infos["text"][row],
                "end_reasons": infos["end_reason"][row],
                "prompts": episodes[row].prompt,
                "references": episodes[row].references,
            }
        going &= ~ended
        if not going.any():
            return rows
        if ended.any():  # they write theirs again, unheeded, until all rows have ended
            observations, _ = env.reset(seed=index.tolist(), options={"reset_mask": ended.copy(), "index": index})


def written(observations, task: Task) -> np.ndarray:
    """Tokens written so far, int64 (n,), read off the observations (n, L) or ``{"tokens": (n, L)}``."""
    tokens = observations["tokens"] if isinstance(observations, Mapping) else observations
    return (tokens[:, task.prompt_length :] != task.vocabulary.pad).sum(1)


def load_agent(
    path: str | Path, deterministic: bool = True, device: str = "cpu", seed: int = 0
) -> tuple[Agent, dict[str, Any]]:
    """A trained agent, and its config.json: a .zip of ``agents.sb3.train``, a .pt of ``agents.transformer.train``.

    Args:
        path: the file.
        deterministic: the likeliest tokens; False samples: as in training.
        device: where its network lives.
        seed: of the samples of a Transformer; SB3 agents draw from torch's global generator.

    Raises:
        FileNotFoundError: no such file, or no config.json beside a .zip (it says which algorithm it is).
        ValueError: a .pt of something else.
    """
    path = Path(path)
    if path.is_file() and path.suffix == ".pt":
        from agents.transformer.checkpoints import load_agent as load_transformer

        return load_transformer(path, deterministic, device, seed)
    from agents.sb3.algorithms import algorithm

    config = path.with_name("config.json")
    if not path.is_file() or not config.is_file():
        missing = config if path.is_file() else path
        raise FileNotFoundError(
            f"no file {str(missing)!r}; an agent is a .zip of agents.sb3.train, a .pt of agents.transformer.train, or "
            "a baseline's name"
        )
    settings = json.loads(config.read_text())
    model = algorithm(settings["algo"]).load().load(path, device=device)
    return SB3Agent(model, deterministic), settings
