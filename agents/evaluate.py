"""``python -m agents.evaluate --env textgym/Copy-v0 --agent random``: the true score of an agent, and samples."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import gymnasium as gym
import tyro

from agents.baselines import BASELINES, make_baseline
from agents.cli import Json
from agents.evaluation import Agent, Evaluation, evaluate, evaluation_env, load_agent
from agents.files import write_json


@dataclass
class EvaluateArgs:
    """The true score of an agent on fixed episodes."""

    agent: str = "random"
    """A file such as runs/x/best.zip, or random, reference, copy_prompt, ngram."""
    env: str | None = None
    """The environment's id; by default the one that the agent was trained in."""
    env_kwargs: Json | None = None
    """Keywords of the environment as JSON; by default those of the agent's training (for another id: none)."""
    split: str = "validation"
    """Which part of the data: train, validation or test."""
    episodes: int = 200
    """How many of the fixed episodes to visit, from index 0."""
    sample: bool = False
    """Sample the tokens of an SB3 agent instead of taking the likeliest."""
    seed: int = 0
    """Seed of an agent that samples."""
    samples: int = 5
    """How many texts to print."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write the summary and one record an episode to this file."""


def main(args: EvaluateArgs) -> Evaluation:
    """Evaluate, print the table and some samples, write the records."""
    trained: dict[str, Any] = {}
    agent: Agent | None = None
    if args.agent not in BASELINES:
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(args.seed)
        agent, trained = load_agent(args.agent, deterministic=not args.sample)
    id = args.env or trained.get("env")
    if id is None:
        raise ValueError("say which environment: --env textgym/Copy-v0")
    same = id == trained.get("env")
    env_kwargs = args.env_kwargs if args.env_kwargs is not None else trained["env_kwargs"] if same else {}
    env_kwargs = {"reward": trained["reward"], **env_kwargs} if same else dict(env_kwargs)
    env = evaluation_env(id, args.split, num_envs=min(args.episodes, 128), **env_kwargs)
    agent = agent or make_baseline(args.agent, id, env.task, args.seed, **env_kwargs)
    evaluation = evaluate(agent, env, args.episodes)
    print(f"{args.agent} in {id}, split {args.split!r}")
    if len(evaluation) < args.episodes:
        print(f"{args.episodes} episodes were asked for; this split has {len(evaluation)}, and all were visited")
    for name, value in evaluation.summary().items():
        print(f"  {name:12} {value:.4f}" if isinstance(value, float) else f"  {name:12} {value}")
    for record in evaluation.records()[: args.samples]:
        ending = f"{record['end_reasons']} after {record['lengths']} tokens"
        print(f"\n  #{record['indices']}  score {record['scores']:.3f}, {ending}")
        print(f"    prompt    {record['prompts']!r}\n    wrote     {record['texts']!r}")
        print(f"    reference {' | '.join(map(repr, record['references'][:3]))}")
    if args.json is not None:
        header = {"agent": args.agent, "env": id, "env_kwargs": env_kwargs, "split": args.split}
        write_json(args.json, {**header, **json.loads(evaluation.to_json())})
    return evaluation


if __name__ == "__main__":
    arguments = tyro.cli(EvaluateArgs, prog="python -m agents.evaluate")
    try:
        main(arguments)
    except (ValueError, OSError, gym.error.Error) as error:
        sys.exit(f"error: {error}")
