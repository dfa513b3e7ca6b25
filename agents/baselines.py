"""Agents that do not learn: the floor, the ceiling, and what is had for free."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from agents.evaluation import Agent, evaluate, evaluation_env, written
from textgym.episode import Episode
from textgym.errors import one_of
from textgym.ngram import NGramModel
from textgym.tasks import Task


class Random:
    """Each token uniform over the legal ones.

    Args:
        task: the environment's task.
        seed: of its own generator.
    """

    def __init__(self, task: Task, seed: int = 0):
        self.rng = np.random.default_rng(seed)

    def act(self, observations, action_masks, episodes):
        return _sample(action_masks.astype(np.float64), self.rng)


class _Writer(ABC):
    """Writes one given text an episode, then EOS, whatever was written so far: token t follows t tokens."""

    def __init__(self, task: Task, seed: int = 0):
        self.task = task
        self.known: dict[str, np.ndarray] = {}

    @abstractmethod
    def text(self, episode: Episode) -> str:
        """What to write."""

    def act(self, observations, action_masks, episodes):
        lengths = written(observations, self.task)
        return np.array([self._token(self.text(e), t) for e, t in zip(episodes, lengths.tolist(), strict=True)])

    def _token(self, text: str, t: int) -> int:
        if text not in self.known:
            if len(self.known) > 100_000:
                self.known.clear()
            vocabulary = self.task.vocabulary
            ids = vocabulary.encode(text)
            self.known[text] = np.append(ids[vocabulary.legal[ids]], vocabulary.eos)  # unknown words are left out
        ids = self.known[text]
        return int(ids[min(t, len(ids) - 1)])


class Reference(_Writer):
    """Writes the first reference, then EOS: the ceiling. An episode without references: EOS."""

    def text(self, episode):
        return episode.references[0] if episode.references else ""


class CopyPrompt(_Writer):
    """Writes the prompt again, then EOS; cut where the budget ends. What a corrector or a summariser must beat."""

    def text(self, episode):
        return episode.prompt


class NGram:
    """Writes what an n-gram model of the references finds likely; blind to the prompt.

    Args:
        task: the environment's task.
        model: by default trigrams with Laplace smoothing, trained on ``task``, which must be of the train split then.
        greedy: the likeliest token instead of a sampled one.
        seed: of its own generator.
    """

    def __init__(self, task: Task, model: NGramModel | None = None, *, greedy: bool = False, seed: int = 0):
        self.task = task
        self.model = NGramModel.of_task(task) if model is None else model
        self.greedy = greedy
        self.rng = np.random.default_rng(seed)

    def act(self, observations, action_masks, episodes):
        tokens = observations["tokens"] if isinstance(observations, dict) else observations
        start = self.task.prompt_length
        ends = start + written(observations, self.task)
        log_p = self.model.log_probs([row[start:end] for row, end in zip(tokens, ends.tolist(), strict=True)])
        log_p = np.where(action_masks, log_p, -np.inf)  # (n, V)
        if self.greedy:
            return log_p.argmax(1)
        return _sample(np.exp(log_p - log_p.max(1, keepdims=True)), self.rng)


def _sample(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One index a row, int64 (n,), with probabilities in proportion to ``weights`` (n, V)."""
    cumulative = weights.cumsum(1)
    drawn = (cumulative > rng.random((len(weights), 1)) * cumulative[:, -1:]).argmax(1)
    return drawn.astype(np.int64)


BASELINES = {"random": Random, "reference": Reference, "copy_prompt": CopyPrompt, "ngram": NGram}


def make_baseline(name: str, id: str, task: Task, seed: int = 0, **env_kwargs: Any) -> Agent:
    """The baseline of that name for an environment's task; the n-gram model is trained on the train split.

    Raises:
        ValueError: an unknown name.
    """
    one_of("baseline", name, BASELINES)
    if name == "ngram":
        trained_on = evaluation_env(id, "train", num_envs=1, **env_kwargs).task
        return NGram(task, NGramModel.of_task(trained_on), seed=seed)
    return BASELINES[name](task, seed=seed)


def baseline_scores(id: str, split: str = "validation", episodes: int = 200, **env_kwargs: Any) -> dict[str, float]:
    """Mean true score of every baseline on the fixed episodes: name -> in [0, 1].

    Args:
        id, env_kwargs: of the environment.
        split, episodes: as :func:`~agents.evaluation.evaluate`.
    """
    env = evaluation_env(id, split, num_envs=min(episodes, 128), **env_kwargs)
    agents = {name: make_baseline(name, id, env.task, **env_kwargs) for name in BASELINES}
    return {name: evaluate(agent, env, episodes).mean_score for name, agent in agents.items()}


def normalised(score: float, random: float, reference: float) -> float:
    """``score`` on the scale where the random agent is 0 and the reference 1.

    Raises:
        ValueError: the reference is no better than random.
    """
    if not reference > random:
        raise ValueError(f"normalised needs reference > random, got random={random}, reference={reference}")
    return (score - random) / (reference - random)
