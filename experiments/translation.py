"""Translation of one's own parallel text: likelihood, then reinforcement learning paid at the end or at every token.

    python -m experiments.translation --data multi30k --source en --target de --splits '{"validation": "val"}'

One warm start by likelihood; from it PPO, once for each reward and seed, equal tokens. Corpus BLEU (sacrebleu, 13a,
greedy) and the task's own score (sentence chrF), greedy and sampled, on the test split; a table in Markdown. Runs that
are there are not made again.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from agents.cli import Json, command_line
from agents.evaluation import evaluate, evaluation_env
from agents.files import replacing
from agents.transformer.agent import PolicyAgent
from agents.transformer.checkpoints import load_policy, read_checkpoint
from agents.transformer.sampling import Sampling
from agents.transformer.settings import TrainArgs
from agents.transformer.train import train
from experiments.tables import markdown_table

ENV = "textgym/TranslationDataset-v0"
REWARDS = ("terminal", "delta")


@dataclass
class TranslationArgs:
    """A Transformer learns to translate, by likelihood and then by reward."""

    data: Path = Path("data")
    """The folder of the parallel text: files such as train.en.gz."""
    source: str = "en"
    """The language that is read: the end of its files' names."""
    target: str = "de"
    """The language that is written."""
    splits: Json = field(default_factory=dict)
    """What the files call train, validation and test, where they call it otherwise, as JSON."""
    suffix: str = ".gz"
    """What stands behind the language."""
    updates: int = 2500
    """Of likelihood, 64 pairs each."""
    learning_rate: float = 3e-3
    """Of likelihood, falling linearly."""
    dropout: float = 0.1
    """In likelihood training and in updates."""
    steps: int = 100_000
    """Tokens of each run of PPO."""
    seeds: int = 3
    """Runs of each reward."""
    folder: Path = Path("runs/translation")
    """Where the runs go."""
    output: Path | None = None
    """Where the table goes; by default into the folder."""


def main(args: TranslationArgs) -> Path:
    """Train what is not there yet, evaluate all, write the table; returns its path."""
    languages = {"source": args.source, "target": args.target}
    files = {name: str(args.data / f"{{split}}.{each}{args.suffix}") for name, each in languages.items()}
    env_kwargs = {"path": files, **({"splits": {"train": "train", **args.splits}} if args.splits else {})}
    common = {"env": ENV, "env_kwargs": env_kwargs, "dropout": args.dropout, "n_envs": 64, "eval_episodes": 200}
    start = args.folder / "likelihood" / "last.pt"
    spent = time.process_time()
    if not start.exists():
        likelihood = {"pretrain": args.updates, "pretrain_lr": args.learning_rate, "steps": 0}
        train(TrainArgs(**common, **likelihood, overwrite=True, folder=start.parent))
    spent = time.process_time() - spent
    found = {"likelihood": [start]}
    for reward in REWARDS:
        for seed in range(1, 1 + args.seeds):
            folder = args.folder / f"{reward}-s{seed}"
            settings = {"init": start, "reward": reward, "seed": seed, "steps": args.steps, "critic_start": 8000}
            settings |= {"learning_rate": 1e-4, "entropy_weight": 0.0, "minibatch": 1024, "eval_every": args.steps // 4}
            train(TrainArgs(**common, **settings, folder=folder, resume=(folder / "config.json").exists()))
            found.setdefault(reward, []).append(folder / "last.pt")
    env = evaluation_env(ENV, "test", num_envs=128, **env_kwargs)
    scores = {name: [scored(path, env) for path in tqdm(paths, desc=f"test: {name}")] for name, paths in found.items()}
    path = args.output or args.folder / "report.md"
    with replacing(path) as file:
        file.write((table(args, scores, spent, read_checkpoint(start)["config"], len(env.task)) + "\n").encode())
    return path


def scored(checkpoint: Path, env) -> dict[str, float]:
    """BLEU and sentence chrF, in percent, of greedy and of sampled texts for all episodes of ``env``."""
    from sacrebleu import corpus_bleu

    policy, _ = load_policy(checkpoint)
    row = {}
    for name, sampling in (("greedy", None), ("sampled", Sampling())):
        evaluation = evaluate(PolicyAgent(policy, env.prompt_length, sampling), env, len(env.task))
        most = max(map(len, evaluation.references))
        streams = [[(each[k] if k < len(each) else None) for each in evaluation.references] for k in range(most)]
        row[f"{name} BLEU"] = corpus_bleu(list(evaluation.texts), streams).score
        row[f"{name} chrF"] = 100 * evaluation.mean_score
        row[f"{name} length"] = float(evaluation.lengths.mean())
    return row


def table(args: TranslationArgs, scores: dict[str, list[dict[str, float]]], spent: float, config: Any, n: int) -> str:
    """The report: mean over seeds, and the lowest and highest."""
    names, network = list(scores["likelihood"][0]), config["architecture"]
    took = f", {spent:.0f} s of one core with its evaluations" if spent > 1 else ""
    lines = [
        f"{args.source} -> {args.target}, {n} test sentences; a decoder of {network['layers']} layers and width "
        f"{network['width']}, {network['vocabulary_size']} tokens. Likelihood: {args.updates} updates of 64 pairs"
        f"{took}. Then PPO, {args.steps:,} tokens, paid the sentence's chrF. BLEU: sacrebleu, 13a. Mean over runs "
        "(lowest to highest).",
        "",
    ]
    table = []
    for arm, rows in scores.items():
        cells = []
        for name in names:
            values = np.array([row[name] for row in rows])
            cells.append(
                f"{values.mean():.2f}" + (f" ({values.min():.2f}-{values.max():.2f})" if len(rows) > 1 else "")
            )
        table.append([arm, str(len(rows)), *cells])
    lines += [
        *markdown_table(["", "runs", *names], table),
        "",
        f"Data fingerprint {config['fingerprint']}, versions {json.dumps(config['versions'])}.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(command_line(TranslationArgs, main, "python -m experiments.translation").read_text())
