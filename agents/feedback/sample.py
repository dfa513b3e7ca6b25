"""Texts of a checkpoint for people to judge: several for each prompt, drawn from the policy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from agents.cli import Json, making
from agents.feedback.judgements import Text
from agents.feedback.store import Store
from textgym.errors import whole_number
from textgym.registration import full_id


@dataclass
class SampleArgs:
    """Let an agent write texts for the fixed episodes of a split, and add them to a store."""

    store: Path
    """The file to add them to; made where there is none."""
    checkpoint: str
    """A file such as runs/x/best.pt or runs/x/best.zip."""
    prompts: int = 50
    """How many of the fixed episodes to write for, from index 0."""
    each: int = 4
    """Texts for each prompt, each with a seed of its own."""
    split: str = "train"
    """Which part of the data: train, validation or test."""
    env_kwargs: Json = None
    """Keywords of the environment as JSON; by default those of the agent's training."""
    seed: int = 0
    """Of the first text for each prompt; the others have the seeds after it."""
    device: str = "cpu"
    """Where the network lives."""
    progress: bool = True
    """Show a progress bar."""


def sample(args: SampleArgs) -> list[int]:
    """Add the texts, with their true scores. Returns their ids, those of texts that were there already too."""
    import torch

    from agents.evaluation import evaluate, evaluation_env, load_agent

    for name, least in (("prompts", 1), ("each", 1), ("seed", 0)):
        whole_number(name, getattr(args, name), least)
    torch.set_num_threads(1)
    _, config = load_agent(args.checkpoint)
    id = full_id(config["env"])
    env_kwargs = dict(config["env_kwargs"] if args.env_kwargs is None else args.env_kwargs)
    with making(f"{id} with env_kwargs {env_kwargs}"):
        env = evaluation_env(
            id, args.split, num_envs=min(args.prompts, 128), **{"reward": config["reward"], **env_kwargs}
        )
    digest = hashlib.sha256(Path(args.checkpoint).read_bytes()).hexdigest()
    policy = f"{args.checkpoint} sha256:{digest[:16]}"  # the file of this name may be another one tomorrow
    task = task_name(id, env_kwargs)
    texts = []
    with tqdm(total=args.each * min(args.prompts, len(env.task)), unit="text", disable=not args.progress) as bar:
        for seed in range(args.seed, args.seed + args.each):
            torch.manual_seed(seed)  # SB3 draws from it
            agent, _ = load_agent(args.checkpoint, deterministic=False, device=args.device, seed=seed)
            agent.check(env)
            written = evaluate(agent, env, args.prompts, progress=bar.update)
            for prompt, text, score in zip(written.prompts, written.texts, written.scores.tolist(), strict=True):
                texts.append(Text(task, prompt, text, policy, seed, score))
    with Store(args.store) as store:
        before = store.query("SELECT count(*) FROM texts")[0][0]
        ids = store.add_texts(texts)
        added = store.query("SELECT count(*) FROM texts")[0][0] - before
    print(f"{args.store}: {added:,} texts added, of {len(texts):,} written for {len(written):,} prompts")
    return ids


def task_name(id: str, env_kwargs: Mapping[str, Any]) -> str:
    """What a store calls the task of an environment."""
    return id if not env_kwargs else f"{id} {json.dumps(env_kwargs, sort_keys=True)}"
