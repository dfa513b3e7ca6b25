"""The key-value cache of the built-in decoder; where its step is compiled, it is replayed from CUDA graphs on a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from agents.transformer.cuda_graphs import Graphs
from agents.transformer.layout import left_aligned
from agents.transformer.policy import Cache

if TYPE_CHECKING:
    from agents.transformer.model import Decoder

WIDTHS = 8  # what a compiled step looks at is rounded up to an eighth of the columns
CAPTURED = 2**14  # tokens that are read from a graph, at most: more keep a GPU busy as they are


class KeyValueCache(Cache):
    """Static keys and values of n left-aligned windows; a token costs its own row of every matrix, and attention over
    what is there."""

    def __init__(self, model: Decoder, n: int, columns: int):
        config, weight = model.config, model.embedding.weight
        self.model, self.columns = model, columns
        e, dtype = config.width // config.heads, weight.dtype if model.precision == torch.float32 else model.precision

        def zeros(*sizes: int) -> list[Tensor]:
            return [weight.new_zeros(n, config.heads, *sizes, dtype=dtype) for _ in model.blocks]

        self.values = zeros(columns, e)
        # (n, h, e, C): a product with one query a row reads them fastest as they lie here; on a GPU, as values do
        self.keys = [each.mT for each in zeros(columns, e)] if weight.is_cuda else zeros(e, columns)
        self.padding = torch.zeros(n, dtype=torch.long, device=weight.device)  # PAD columns before each prompt
        self.unit = -(-columns // WIDTHS) if model.compiled else 1
        self.graphs = Graphs() if model.compiled and weight.is_cuda else None

    def begin(self, rows, tokens, columns):
        tokens, padding = left_aligned(tokens, self.model.vocabulary_size)
        padding = torch.minimum(padding, columns)
        self.padding[rows] = padding
        places = columns - padding
        if self.graphs is None or tokens.numel() > CAPTURED:
            first, last = (int(place) for place in places.aminmax())
            return self._read(rows, tokens[:, : last + 1], places, first)
        k = len(rows)
        more = torch.arange(1 << (k - 1).bit_length(), device=rows.device).clamp_max_(k - 1)  # the last row again
        return self.graphs(self._read, rows[more], tokens[more], places[more], after=2)[:k]

    def append(self, tokens, columns):
        places = (columns - self.padding).clamp_min(0)  # rows that are to begin anew may be told any column
        width = min((int(places.max()) // self.unit + 1) * self.unit, self.columns)
        if self.graphs is None:
            return self._step(tokens, places, width)
        return self.graphs(self._step, tokens, places, width=width)

    def _step(self, tokens: Tensor, places: Tensor, width: int) -> Tensor:
        return self.model.step(tokens, places, self.keys, self.values, width)

    def _read(self, rows: Tensor, tokens: Tensor, places: Tensor, first: int = 0) -> Tensor:
        """The outputs (k, d) of ``places`` int64 (k,), from ``first`` on, of left-aligned ``tokens`` int64 (k, C'),
        whose keys and values ``rows`` keep."""
        x, kept = self.model.read(tokens, first)
        for keys, values, (k, v) in zip(self.keys, self.values, kept, strict=True):
            keys[rows, :, :, : tokens.shape[1]] = k.transpose(-1, -2).to(keys.dtype)
            values[rows, :, : tokens.shape[1]] = v.to(values.dtype)
        return x[torch.arange(len(rows), device=rows.device), places - first]
