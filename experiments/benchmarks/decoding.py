"""What a step of a rollout takes: against the time that its bytes take, and where the rest of the rollout goes."""

from __future__ import annotations

import platform
import time

import numpy as np
import torch

from agents.transformer.trainer import Trainer
from experiments.benchmarks.timing import in_turns


def decoding(trainer: Trainer, rounds: int) -> list[str]:
    """Two sentences: the time of a step of the cache in the middle of a text, and the share of environment and reward
    in a rollout."""
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
    return [
        f"{parameters / 1e6:.1f} M parameters: a step in the middle of a text takes {1e3 * seconds:.2f} ms, reading "
        f"its {moved / 2**20:,.0f} MiB (parameters, keys, values) {1e3 * least:.2f} ms ({seconds / least:.1f}x). "
        f"Environment and reward are {share_of_env(trainer):.1%} of a rollout."
    ]


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


def hardware(device: str) -> str:
    """The name of what computes."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        with open("/proc/cpuinfo") as lines:
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
