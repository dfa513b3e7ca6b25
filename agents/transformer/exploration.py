"""Upper-confidence exploration: how often each token was written after each text, in a table of hashes."""

from __future__ import annotations

import torch
from torch import Tensor

from agents.transformer.batch import Batch
from agents.transformer.distributed import ALONE, World

BASE = 6364136223846793005  # odd constants of Knuth's MMIX and of the golden ratio; int64 wraps around
GOLDEN = -7046029254386353131


class Counts:
    """N(context, token), from which an agent is paid weight / sqrt(N): MBIE-EB (Strehl & Littman 2008, eq. 4), with the
    contexts hashed as in Tang et al. 2017.

    What falls into the same cell counts as the same: with 10,000 different ones in 2^20 cells, that is 1 % of them.

    Args:
        context: the tokens before a token that are its context; None: all of the prompt and the text.
        device: of the table.
        bits: of a hash.

    Attributes:
        cells: int32 (2^bits,), the counts.
    """

    def __init__(self, context: int | None, device: torch.device, bits: int = 20):
        self.context, self.bits = context, bits
        self.cells = torch.zeros(1 << bits, dtype=torch.int32, device=device)

    def visit(self, batch: Batch, world: World = ALONE) -> Tensor:
        """Count the tokens of the batch, and those of other ranks, that were drawn; N of the batch's tokens after that,
        float (M,), at least 1."""
        before = hashes(batch.windows, self.context)[batch.parts, batch.columns]
        cells = ((before * BASE + batch.actions + 1) * GOLDEN >> (64 - self.bits)) & ((1 << self.bits) - 1)
        drawn = cells if batch.forced is None else cells[~batch.forced]
        ones = torch.ones_like(drawn, dtype=torch.int32)
        self.cells += world.sum(torch.zeros_like(self.cells).index_add_(0, drawn, ones))
        return self.cells[cells].clamp_min(1).float()


def hashes(windows: Tensor, context: int | None = None) -> Tensor:
    """A polynomial hash, int64 (S, C), of the last ``context`` tokens up to and with each column of windows (S, C);
    None: of all of them."""
    found, last = torch.empty_like(windows), torch.zeros_like(windows[:, 0])
    for column in range(windows.shape[1]):
        last = found[:, column] = last * BASE + windows[:, column] + 1
    if context is None or context >= windows.shape[1]:
        return found
    power = pow(BASE, context, 1 << 64)
    power -= (power >> 63) << 64  # as int64
    gone = torch.nn.functional.pad(found, (context, 0))[:, : windows.shape[1]]
    return found - gone * power
