"""``python -m agents.evaluate --env textgym/Copy-v0 --agent random``: the true score of an agent, and samples."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from agents.baselines import BASELINES, make_baseline
from agents.cli import Json, command_line, making
from agents.evaluation import Agent, Evaluation, evaluate, evaluation_env, load_agent
from agents.files import write_json
from textgym.errors import did_you_mean, whole_number
from textgym.registration import full_id


@dataclass
class EvaluateArgs:
    """The true score of an agent on fixed episodes."""

    agent: str = "random"
    """A file such as runs/x/best.zip or runs/x/best.pt, or random, reference, copy_prompt, ngram."""
    env: str | None = None
    """The environment's id, with or without textgym/; by default the one that the agent was trained in."""
    env_kwargs: Json = None
    """Keywords of the environment as JSON; by default those of the agent's training (for another id: none)."""
    split: str = "validation"
    """Which part of the data: train, validation or test."""
    episodes: int = 200
    """How many of the fixed episodes to visit, from index 0."""
    sample: bool = False
    """Sample the tokens of a trained agent instead of taking the likeliest."""
    seed: int = 0
    """Seed of an agent that samples."""
    samples: int = 5
    """How many texts to print."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write the summary and one record an episode to this file."""


def main(args: EvaluateArgs) -> Evaluation:
    """Evaluate, print the table and some samples, write the records."""
    for name, least in (("episodes", 1), ("seed", 0), ("samples", 0)):
        whole_number(name, getattr(args, name), least)
    if args.json is not None and not args.json.parent.is_dir():
        raise ValueError(f"there is no folder {str(args.json.parent)!r} to write {args.json.name!r} to")
    trained: dict[str, Any] = {}
    agent: Agent | None = None
    if args.agent not in BASELINES:
        if not Path(args.agent).is_file():
            named = f"{', '.join(BASELINES)}.{did_you_mean(args.agent, BASELINES)}"
            raise ValueError(f"no file {args.agent!r}: an agent is a file of a training run, or one of {named}")
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(args.seed)
        agent, trained = load_agent(args.agent, deterministic=not args.sample, seed=args.seed)
    if args.env is None and "env" not in trained:
        raise ValueError("say which environment: --env textgym/Copy-v0")
    id = trained["env"] if args.env is None else full_id(args.env)
    same = id == trained.get("env")
    env_kwargs = args.env_kwargs if args.env_kwargs is not None else trained["env_kwargs"] if same else {}
    env_kwargs = {"reward": trained["reward"], **env_kwargs} if same else dict(env_kwargs)
    for name in ("split", "num_envs", "autoreset_mode"):
        if name in env_kwargs:
            raise ValueError(f"{name!r} is none of env_kwargs: the split is --split, the others are the evaluation's")
    with making(f"{id} with env_kwargs {env_kwargs}"):
        env = evaluation_env(id, args.split, num_envs=min(args.episodes, 128), **env_kwargs)
    if agent is not None:
        try:
            agent.check(env)
        except ValueError as error:
            raise ValueError(f"{args.agent}, trained in {trained['env']}, cannot write in {id}: {error}") from error
    writer: Agent = agent or make_baseline(args.agent, id, env.task, args.seed, **env_kwargs)
    evaluation = evaluate(writer, env, args.episodes)
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
    command_line(EvaluateArgs, main, "python -m agents.evaluate")
