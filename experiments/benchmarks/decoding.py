"""What a step of a rollout takes: against the time that its bytes take, and where the rest of the rollout goes."""

from __future__ import annotations

import time

import numpy as np
import torch

from agents.transformer.trainer import Trainer
from experiments.benchmarks.timing import in_turns
from experiments.measurements import Table


def decoding(trainer: Trainer, rounds: int) -> Table:
    """The time of a step of the cache in the middle of a text, and the share of environment and reward in a rollout."""
    writer, policy, env = trainer.writer, trainer.policy, trainer.env
    wait = torch.cuda.synchronize if policy.device.type == "cuda" else lambda: None
    columns = torch.full_like(writer.lengths, env.prompt_length + env.budget // 2)
    tokens, calls = torch.zeros_like(columns), 10

    @torch.no_grad()
    def steps() -> None:
        with policy.autocast():
            for _ in range(calls):
                writer.cache.append(tokens, columns)
        wait()

    seconds = np.median(in_turns([steps], rounds)) / calls
    parameters = sum(each.numel() for each in policy.parameters())
    seen = env.prompt_length + env.budget // 2 + 1  # keys and values of each row
    kept = sum(each[..., :seen, :].nbytes for each in writer.cache.values) * 2
    moved = parameters * torch.finfo(policy.precision).bits // 8 + kept
    least = moved / bandwidth(policy.device)
    columns = [("parameters", "{:.1f} M"), ("ms a step", "{:.2f}"), ("MiB it reads", "{:,.0f}")]
    columns += [("ms to read them", "{:.2f}"), ("times that", "{:.1f}x"), ("environment and reward", "{:.1%}")]
    row = [parameters / 1e6, 1e3 * seconds, moved / 2**20, 1e3 * least, seconds / least, share_of_env(trainer)]
    caption = "A step in the middle of a text (it reads parameters, keys, values), and the share of a rollout"
    return Table(caption, columns, [[float(cell) for cell in row]])


def bandwidth(device: torch.device) -> float:
    """Bytes a second, read and written, in a copy of 256 MiB."""
    source = torch.zeros(2**26, device=device)
    target = torch.empty_like(source)

    def copy() -> None:
        target.copy_(source)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return 2 * source.nbytes / float(np.median(in_turns([copy], 5)))


def share_of_env(trainer: Trainer) -> float:
    """Of the time of one rollout, after one that is not timed."""
    trainer.write()
    env, step, spent = trainer.env, trainer.env.step, []

    def timed(actions):
        start = time.perf_counter()
        result = step(actions)
        spent.append(time.perf_counter() - start)
        return result

    env.step, start = timed, time.perf_counter()
    trainer.write()
    del env.step
    return sum(spent) / (time.perf_counter() - start)
