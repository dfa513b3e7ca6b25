"""Windows without the padding before their prompts: ``[BEGIN][prompt][text]``, as networks read that count columns."""

from __future__ import annotations

import torch
from torch import Tensor


def left_aligned(windows: Tensor, pad: int, prompt_length: int | None = None) -> tuple[Tensor, Tensor]:
    """Windows int64 (B, C) moved to the left by the columns that are empty behind BEGIN, and how many these are, int64
    (B,): column c is column c - padding now. What stands behind the columns of a window is of no meaning.

    Args:
        prompt_length: of as many columns, at most; None: of all, and so all of them where nothing is written.
    """
    stop = windows.shape[1] if prompt_length is None else 1 + prompt_length
    padding = (windows[:, 1:stop] == pad).long().cumprod(1).sum(1)
    # the padding ends at the column that is read as BEGIN, which has the same id
    source = torch.arange(windows.shape[1], device=windows.device) + padding[:, None]
    return windows.gather(1, source.clamp_max_(windows.shape[1] - 1)), padding


def attention_in_columns(looks: Tensor, padding: Tensor, columns: int) -> Tensor:
    """How much the places of left-aligned windows are looked at, (B, W), as columns of the windows (B, C): 0 in the
    padding, int64 (B,)."""
    every, padding = torch.arange(columns, device=looks.device), padding[:, None]
    return looks.gather(1, (every - padding).clamp_min(0)).masked_fill((every > 0) & (every <= padding), 0.0)


class Compact:
    """Left-aligned windows, and the way back.

    Attributes:
        padding: int64 (B,), see :func:`left_aligned`.
        tokens: int64 (B, W), W as small as can be.
    """

    def __init__(self, windows: Tensor, pad: int, prompt_length: int):
        self.columns = torch.arange(windows.shape[1], device=windows.device)
        tokens, self.padding = left_aligned(windows, pad, prompt_length)
        self.tokens = tokens[:, : windows.shape[1] - int(self.padding.min())]

    def spread(self, outputs: Tensor) -> Tensor:
        """Outputs (B, C, d) of the windows' columns, of those here (B, W, d); padding has that of BEGIN."""
        source = (self.columns - self.padding[:, None]).clamp(min=0)
        return outputs.gather(1, source[..., None].expand(-1, -1, outputs.shape[-1]))
