"""Write texts with a trained Transformer: ``python -m agents.transformer.generate --checkpoint runs/x/best.pt``."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import nn
from tqdm import tqdm

from agents.cli import command_line
from agents.evaluation import Evaluation, evaluate, evaluation_env
from agents.files import replacing
from agents.transformer.checkpoints import load_agent
from agents.transformer.policy import Policy
from agents.transformer.sampling import Sampling
from textgym.errors import usable_device, whole_number


@dataclass
class GenerateArgs:
    """Write texts for the fixed episodes of a split, score them, and keep them as JSON lines."""

    checkpoint: Path
    """A file of agents.transformer.train, such as runs/x/best.pt."""
    episodes: int = 100
    """How many of the fixed episodes to visit, from index 0."""
    split: str = "validation"
    """Which part of the data: train, validation or test."""
    temperature: float = 1.0
    """Logits are divided by it when tokens are drawn; 0 takes the likeliest."""
    top_k: int | None = None
    """Draw from the k likeliest tokens only."""
    top_p: float | None = None
    """Draw from the likeliest tokens that together have this probability."""
    seed: int = 0
    """Seed of the draws."""
    rows: int = 64
    """Texts written at once."""
    output: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write one JSON object a text to this file: prompt, text, score, length, return, end_reason, references."""
    int8: bool = False
    """Linear layers and LSTMs in 8-bit integers, on the CPU: faster from width 256 on."""
    device: str = "auto"
    """Where the network lives: auto, cpu, cuda."""
    threads: int = 1
    """Threads of PyTorch on the CPU."""
    progress: bool = True
    """Show a progress bar."""


def generate(args: GenerateArgs) -> Evaluation:
    """Write the texts, and the file if one is asked for.

    Raises:
        FileNotFoundError, ValueError: no checkpoint of the trainer, a setting that cannot be, no GPU where one is asked
            for, no folder to write to.
    """
    for name, low in (("episodes", 1), ("seed", 0), ("rows", 1), ("threads", 1)):
        whole_number(name, getattr(args, name), low)
    if args.output is not None and not args.output.parent.is_dir():
        raise ValueError(f"there is no folder {str(args.output.parent)!r} to write {args.output.name!r} to")
    sampling = None if args.temperature == 0 else Sampling(args.temperature, args.top_k, args.top_p)
    device = usable_device(args.device)
    torch.set_num_threads(args.threads)
    agent, config = load_agent(args.checkpoint, device=device, seed=args.seed)
    agent.sampling = sampling
    if args.int8:
        agent.policy = in_int8(agent.policy)
    rows = min(args.rows, args.episodes)
    env = evaluation_env(config["env"], args.split, num_envs=rows, reward=config["reward"], **config["env_kwargs"])
    agent.check(env)
    with tqdm(total=min(args.episodes, len(env.task)), unit="text", disable=not args.progress) as bar:
        evaluation = evaluate(agent, env, args.episodes, progress=bar.update)
    if args.output is not None:
        with replacing(args.output) as file:
            for record in evaluation.records():
                line = {name.removesuffix("s"): record[name] for name in KEPT} | {"references": record["references"]}
                file.write((json.dumps(line, ensure_ascii=False) + "\n").encode())
    return evaluation


def in_int8(policy: Policy) -> Policy:
    """A copy of a policy with linear layers and LSTMs quantised dynamically: int8 weights, activations as they come.

    Embeddings, outputs tied to them, and GPT-2, which has no ``nn.Linear``, stay float32. On one core, with 64 rows,
    decoders of width 128, 256 and 512 write 0.9, 1.2 and 1.8 times as fast, LSTMs of width 128 and 512 1.4 and 2.2
    times. Of 500 texts of Copy (width 64) up to 1 in 30 became another one; mean scores changed by 0.002 at most.

    Raises:
        ValueError: it is not on the CPU.
    """
    if policy.device.type != "cpu":
        raise ValueError(f"int8 is for the CPU, the network is on {policy.device}: --device cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchao is to take its place
        return torch.ao.quantization.quantize_dynamic(policy, {nn.Linear, nn.LSTM}, dtype=torch.qint8)


KEPT = ("prompts", "texts", "scores", "lengths", "returns", "end_reasons")


def main() -> None:
    """The command line."""
    evaluation = command_line(GenerateArgs, generate, "python -m agents.transformer.generate")
    for name, value in evaluation.summary().items():
        print(f"{name:12} {value:.4f}" if isinstance(value, float) else f"{name:12} {value}")
    for record in evaluation.records()[:5]:
        print(f"\n  score {record['scores']:.3f}  {record['prompts']!r}\n    -> {record['texts']!r}")


if __name__ == "__main__":
    main()
