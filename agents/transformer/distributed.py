"""Data-parallel training: N processes with n rows each learn what one process with N * n rows would.

    torchrun --nproc-per-node N -m agents.transformer.train ...

Rank r has rows r * n to r * n + n - 1 of the one: it seeds them as those, and draws for them what those would draw. All
ranks cut the same minibatches from the texts of all; each reads its own texts of a minibatch, the losses are weighed by
what all have together, and the gradients are added up. Weights and optimizers stay equal because their inputs are.

Gradients go through one buffer and one ``all_reduce`` a minibatch. ``DistributedDataParallel`` is not used: it averages
over ranks, where ranks have unequal numbers of tokens; it needs a backward pass on every rank, where a rank may have no
text in a minibatch; and it hooks into ``forward``, where the trainer calls ``hidden`` and ``heads``. What it would add,
communication during the backward pass, matters for networks far larger than those trained here.

Outside the equality: dropout, which has a stream a rank, and rewards with state across rows, which each rank has of
its own.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

Value = TypeVar("Value")
PATIENCE = timedelta(hours=1)  # the longest wait for another rank, which may be evaluating


class World:
    """The processes that train together; one alone by default, for which nothing is communicated.

    Every rank calls the same methods in the same order.

    Args:
        rank: of this process, 0 <= rank < size. Rank 0 evaluates, logs and writes files.
        size: number of processes.
    """

    def __init__(self, rank: int = 0, size: int = 1):
        self.rank, self.size = rank, size

    def rand(self, n: int, m: int, **kwargs: Any) -> Tensor:
        """Uniform draws in [0, 1) for this rank's n rows: (n, m), its rows of those that are drawn for all ranks.

        ``kwargs``: of ``torch.rand``, a ``generator`` in the same state on every rank among them.
        """
        return torch.rand(n * self.size, m, **kwargs)[n * self.rank : n * (self.rank + 1)]

    def gather(self, value: Value) -> list[Value]:
        """The values of all ranks, in their order; what comes from others has its tensors on the CPU."""
        if self.size == 1:
            return [value]
        packed: list[Any] = [None] * self.size
        with _together(self):
            dist.all_gather_object(packed, _pack(value))
        return [value if rank == self.rank else _unpack(each) for rank, each in enumerate(packed)]

    def add(self, values: Mapping[str, float]) -> dict[str, float]:
        """The sums over all ranks, name by name; a rank may lack some."""
        ranks = self.gather(dict(values))
        names = dict.fromkeys(name for each in ranks for name in each)
        return {name: sum(each.get(name, 0.0) for each in ranks) for name in names}

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all ranks, without a gradient."""
        if self.size == 1:
            return tensor
        total = tensor.detach().clone()
        with _together(self):
            dist.all_reduce(total)
        return total

    def sum_gradients(self, parameters: Iterable[nn.Parameter], loss: Tensor) -> Tensor:
        """Each gradient becomes the sum over all ranks, none counting as 0; returns the sum of the losses ()."""
        if self.size == 1:
            return loss.detach()
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        for parameter in trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = self.sum(torch.cat([loss.detach().reshape(1), *(parameter.grad.flatten() for parameter in trained)]))
        for parameter, summed in zip(trained, flat[1:].split([p.numel() for p in trained]), strict=True):
            parameter.grad.copy_(summed.view_as(parameter))
        return flat[0]

    def once(self, call: Callable[[], Value]) -> Value:
        """What ``call`` returns on rank 0, which alone calls it; what it raises there is raised on every rank."""
        if self.size == 1:
            return call()
        outcome: list[Any] = [None]
        if self.rank == 0:
            try:
                outcome = [call(), None]
            except Exception as error:
                outcome = [None, error]
        sent = [_pack(outcome) if self.rank == 0 else None]
        with _together(self):
            dist.broadcast_object_list(sent, 0)
        value, error = outcome if self.rank == 0 else _unpack(sent[0])
        if error is not None:
            raise error
        return value

    def share_weights(self, network: nn.Module) -> None:
        """Every rank has the weights and buffers of rank 0."""
        if self.size > 1:
            network.load_state_dict(self.once(network.state_dict))


ALONE = World()


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[tuple[World, torch.device]]:
    """The world that torchrun's environment variables tell of, and the device of this rank: of several GPUs its own.

    Without such variables: this process alone. Ranks talk by gloo on the CPU, by NCCL between GPUs.

    Raises:
        ValueError: one GPU for several processes, or fewer GPUs than processes.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield ALONE, device
        return
    backend = "gloo"
    if device.type == "cuda":
        device, backend = _own_gpu(device), "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(device)
    dist.init_process_group(backend, timeout=PATIENCE)
    yield World(dist.get_rank(), dist.get_world_size()), device
    dist.destroy_process_group()  # not after an error, where others may never come; the end of the process does it


def _own_gpu(device: torch.device) -> torch.device:
    local, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if device.index is not None:
        raise ValueError(
            f"device {str(device)!r} cannot be shared by several processes: give cuda, and each has its own"
        )
    if local >= there:
        raise ValueError(
            f"process {local} of this machine has no GPU, there are {there}: one process a GPU, or device cpu"
        )
    return torch.device("cuda", local)


def rows_of(world: World, n_envs: int, group_size: int = 1) -> int:
    """The rows of each rank.

    Raises:
        ValueError: ``n_envs`` rows, the total, do not make whole groups on every rank.
    """
    rows, least = n_envs // world.size, world.size * group_size
    if n_envs % least:
        raise ValueError(
            f"n_envs={n_envs} is the total of {world.size} processes, which have whole groups of {group_size} each: it "
            f"must be a multiple of {least}, such as {-(-n_envs // least) * least}"
        )
    return rows


@contextlib.contextmanager
def _together(world: World) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        lost = f"rank {world.rank} has lost the other {world.size - 1}, of which one has failed or is stuck"
        raise ConnectionError(f"{lost} ({str(error).splitlines()[0]})") from error


def _pack(value: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def _unpack(packed: bytes) -> Any:
    return torch.load(io.BytesIO(packed), map_location="cpu", weights_only=False)  # from a process of this run
