"""Tables on small ids: ``python -m agents.tabular.train --env textgym/Password-v0 --algo q_learning``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from tqdm import tqdm

from agents.cli import Json, Spec, command_line, making
from agents.evaluation import evaluate, evaluation_env
from agents.runs import reward_of
from agents.tabular.exploration import EXPLORATIONS
from agents.tabular.learning import ALGORITHMS, Learner, TableAgent, table_of
from agents.tabular.mdp import enumerated, value_iteration
from textgym.envs.vector import TextGenVectorEnv
from textgym.errors import one_of, whole_number
from textgym.registration import full_id
from textgym.rewards.base import number


@dataclass
class TrainArgs:
    """Learn a small id by a table, and see how far from the best that is."""

    env: str = "textgym/Password-v0"
    """The environment's id, with or without textgym/."""
    algo: Literal["q_learning", "sarsa", "value_iteration"] = "q_learning"
    """q_learning and sarsa learn from episodes, value_iteration from all texts there are."""
    reward: Spec = None
    """What the agent is paid: delta, terminal, ... or JSON; by default the id's own reward."""
    env_kwargs: Json = field(default_factory=dict)
    """Other keywords of the environment, as JSON: '{"length": 2, "symbols": 3}'."""
    exploration: Literal["epsilon_greedy", "softmax", "ucb"] = "epsilon_greedy"
    """How a learner tries what it does not know."""
    strength: float | None = None
    """Of the exploration: epsilon (0.1), temperature of softmax (0.1), weight of UCB's bonus (1)."""
    episodes: int = 20_000
    """Texts that a learner writes."""
    power: float = 0.8
    """The n-th try of a token changes its value by n ** -power of the difference."""
    gamma: float = 1.0
    """Discount; below 1 a dense reward and a terminal one are different objectives."""
    seed: int = 0
    """Seed of the episodes and of the exploration."""
    split: str = "train"
    """Where it learns and is evaluated: a table knows nothing of prompts that it has not met."""
    eval_every: int = 2_000
    """Texts between evaluations of the true score."""
    eval_episodes: int = 100
    """Fixed episodes that each evaluation visits, and that value_iteration solves."""
    max_states: int = 50_000
    """The best value is not looked for where there are more states."""
    progress: bool = True
    """Show a progress bar."""


@dataclass(frozen=True)
class Result:
    """What came of a run.

    Attributes:
        evaluations: a dict each: ``episodes`` written so far; ``score``, the mean true score, and ``return`` of the
            best tokens by the table; ``value``, what the table says of the prompts: what it expects to be paid.
        optimum: the best possible mean value of the prompts; None: there are too many states.
        agent: for :func:`agents.evaluation.evaluate`.
    """

    evaluations: list[dict[str, Any]]
    optimum: float | None
    agent: TableAgent


def train(args: TrainArgs) -> Result:
    """Learn or solve; evaluate.

    Raises:
        ValueError: a setting that cannot be; a reward with another gamma; ``value_iteration`` of more states than
            ``max_states``.
    """
    id, kwargs = full_id(args.env), dict(args.env_kwargs or {})
    one_of("algo", args.algo, (*ALGORITHMS, "value_iteration"))
    one_of("exploration", args.exploration, EXPLORATIONS)
    for name, least in (("episodes", 0), ("seed", 0), ("eval_every", 1), ("eval_episodes", 1), ("max_states", 1)):
        whole_number(name, getattr(args, name), least)
    number("gamma", args.gamma, low=0.0, high=1.0)
    strength = () if args.strength is None else (args.strength,)
    exploration = EXPLORATIONS[args.exploration](*strength)
    kwargs = {"split": args.split, "reward": reward_of(id, args.reward, args.gamma), **kwargs}
    with making(f"{id} with {kwargs}"):
        env = gym.make(id, **kwargs)
        shared = evaluation_env(id, num_envs=args.eval_episodes, **kwargs)
        writers = evaluation_env(id, num_envs=256, **kwargs)
    if args.algo == "value_iteration":
        table, optimum = solved(args, writers)
        agent = TableAgent(table)
        return Result([evaluated(agent, shared, args, 0)], optimum, agent)
    learner = Learner(env, args.algo, exploration, gamma=args.gamma, power=args.power, seed=args.seed)
    try:
        optimum = solved(args, writers)[1]
    except ValueError as error:
        print(f"the best value is not known: {error}")
        optimum = None
    agent = TableAgent(learner.table)
    return Result(learn(args, learner, agent, shared, optimum), optimum, agent)


def solved(args: TrainArgs, env: TextGenVectorEnv) -> tuple[dict[bytes, np.ndarray], float]:
    """The best table for the prompts that are evaluated, and the mean of their values."""
    indices = range(min(args.eval_episodes, len(env.task)))
    with tqdm(desc="all texts", unit="state", disable=not args.progress, dynamic_ncols=True, leave=False) as bar:
        mdp = enumerated(env, indices, args.max_states, bar.update)
    values = value_iteration(mdp, args.gamma)
    return table_of(mdp, values, args.gamma), float(values[mdp.starts].mean())


def learn(args: TrainArgs, learner: Learner, agent: TableAgent, env: TextGenVectorEnv, optimum) -> list[dict[str, Any]]:
    """Write all episodes; the evaluations between them."""
    lines = [evaluated(agent, env, args, 0)]
    with tqdm(total=args.episodes, desc=args.algo, unit="text", disable=not args.progress, dynamic_ncols=True) as bar:
        while bar.n < args.episodes:
            count = min(args.eval_every, args.episodes - bar.n)
            for _ in range(count):
                learner.episode()
            bar.n += count
            lines.append(evaluated(agent, env, args, bar.n))
            means = {name: f"{lines[-1][name]:.3f}" for name in ("score", "return", "value")}
            bar.set_postfix({**means, "best": "?" if optimum is None else f"{optimum:.3f}"})
    return lines


def evaluated(agent: TableAgent, env: TextGenVectorEnv, args: TrainArgs, episodes: int) -> dict[str, Any]:
    """One line of the evaluations."""
    found = evaluate(agent, env, args.eval_episodes)
    prompts, _ = env.reset(seed=0, options={"index": np.resize(found.indices, env.num_envs)})
    value = agent.values(prompts, env.action_masks())[: len(found)].mean()
    means = {"score": found.mean_score, "return": found.returns.mean(), "value": value}
    return {"episodes": episodes, **{name: float(mean) for name, mean in means.items()}}


def report(result: Result) -> None:
    """Print the evaluations, and the best beside them."""
    best = "not known" if result.optimum is None else f"{result.optimum:.4f}"
    for row in result.evaluations:
        learnt = f"score {row['score']:.4f}  return {row['return']:.4f}  value {row['value']:.4f}"
        print(f"{row['episodes']:>9} texts  {learnt}  best value {best}")


if __name__ == "__main__":
    report(command_line(TrainArgs, train, "python -m agents.tabular.train"))
