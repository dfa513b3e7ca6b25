"""A score head over a network of ``agents.transformer.networks``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from agents.transformer.networks import make_policy


class ScoreNetwork(nn.Module):
    """Scores of prefixes: any number, more is better.

    Args:
        architecture: as of :func:`agents.transformer.networks.describe`.
        folder: of a model of ``transformers`` whose weights it begins with.

    Attributes:
        policy: the network; its policy and value heads are not used.
        log_nu, log_nu_tokens: (), of ties in comparisons, and of tokens without a mark.
    """

    def __init__(self, architecture: Mapping[str, Any], folder: str | None = None):
        super().__init__()
        self.policy = make_policy(architecture, folder)
        with torch.no_grad():
            begin = torch.full((1, 1 + architecture.get("prompt_length", 0)), self.policy.vocabulary_size)
            width = self.policy.eval().hidden(begin).shape[-1]
        self.score = nn.Linear(width, 1)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)
        self.log_nu, self.log_nu_tokens = (nn.Parameter(torch.zeros(())) for _ in range(2))

    def forward(self, windows: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Scores float32 (...) of the prefixes that end in ``columns`` int64 (...) of windows ``rows`` int64 (...), of
        windows int64 (B, C)."""
        return self.of(self.policy.outputs(windows, rows, columns))

    def of(self, outputs: Tensor) -> Tensor:
        """Scores (...) of the network's outputs (..., d)."""
        return self.score(outputs.float()).squeeze(-1)
