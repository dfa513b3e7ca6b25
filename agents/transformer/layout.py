"""Windows without the padding before their prompts: ``[BEGIN][prompt][text]``, as networks read that count columns."""

from __future__ import annotations

import torch
from torch import Tensor


class Compact:
    """Windows int64 (B, C) moved to the left, by as many columns as stand between BEGIN and the prompt.

    Attributes:
        padding: int64 (B,), these columns of each window: its column c is column c - padding here.
        tokens: int64 (B, W), W as small as can be; what stands behind the columns of a window is of no meaning.
    """

    def __init__(self, windows: Tensor, pad: int, prompt_length: int):
        self.columns = torch.arange(windows.shape[1], device=windows.device)
        self.padding = (windows[:, 1 : 1 + prompt_length] == pad).long().cumprod(1).sum(1)
        width = windows.shape[1] - int(self.padding.min())
        # the padding ends at the column that is read as BEGIN, which has the same id
        source = (self.columns[:width] + self.padding[:, None]).clamp(max=windows.shape[1] - 1)
        self.tokens = windows.gather(1, source)

    def spread(self, outputs: Tensor) -> Tensor:
        """Outputs (B, C, d) of the windows' columns, of those here (B, W, d); padding has that of BEGIN."""
        source = (self.columns - self.padding[:, None]).clamp(min=0)
        return outputs.gather(1, source[..., None].expand(-1, -1, outputs.shape[-1]))
