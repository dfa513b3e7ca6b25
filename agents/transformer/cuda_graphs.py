"""CUDA graphs: the launch of some hundred kernels becomes that of one."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor


class Graph(NamedTuple):
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    output: Tensor


class Graphs:
    """Functions of tensors, replayed from a graph for each of the shapes that they are called with.

    It keeps no reference to the functions: they may belong to what keeps the graphs.
    """

    def __init__(self):
        self.calls: dict[tuple, int] = {}
        self.graphs: dict[tuple, Graph] = {}
        self.memory = torch.cuda.graph_pool_handle()  # one for all: what a graph leaves is read before the next

    def __call__(self, function: Callable[..., Tensor], *inputs: Tensor, after: int = 0, **others: object) -> Tensor:
        """``function(*inputs, **others)``.

        Args:
            function: of tensors on the GPU, and of other arguments by name: one tensor. What else it reads or writes
                is in the same memory every time, it may be run again with the same arguments, and it never waits for
                the GPU.
            after: calls with the same shapes after which it is captured; before, it is called as it is.
        """
        key = (function.__name__, *(each.shape for each in inputs), *others.values())
        if key not in self.graphs:
            self.calls[key] = self.calls.get(key, 0) + 1
            if self.calls[key] <= after:
                return function(*inputs, **others)
            self.graphs[key] = self._captured(function, inputs, others)
        graph, buffers, output = self.graphs[key]
        for buffer, each in zip(buffers, inputs, strict=True):
            buffer.copy_(each)
        graph.replay()
        return output.clone()

    def _captured(
        self, function: Callable[..., Tensor], inputs: tuple[Tensor, ...], others: dict[str, object]
    ) -> Graph:
        inputs = tuple(each.clone() for each in inputs)
        graph, aside = torch.cuda.CUDAGraph(), torch.cuda.Stream()
        with _nothing_kept_or_freed():
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                function(*inputs, **others)  # what is compiled or allocated once is not to be captured
            torch.cuda.current_stream().wait_stream(aside)
            with torch.cuda.graph(graph, pool=self.memory):
                output = function(*inputs, **others)
        return Graph(graph, inputs, output)


@contextmanager
def _nothing_kept_or_freed():
    """Autocast casts weights anew, so that every replay does; other graphs are not freed, which a capture forbids."""
    cached, collected = torch.is_autocast_cache_enabled(), gc.isenabled()
    gc.collect()
    torch.set_autocast_cache_enabled(False)
    gc.disable()
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(cached)
        if collected:
            gc.enable()
