"""A score head over a network of ``agents.transformer.networks``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.transformer.networks import make_policy

LIKELIHOOD = 0.2  # weight of a nat in the beginning: the likelihoods of two texts for a prompt differ by a few nats


class ScoreNetwork(nn.Module):
    """Scores of prefixes: any number, more is better.

    A score is linear in what the network puts out for the last token. In a network that begins as a policy
    (``text_begins``), the log-likelihood of the prefix is added, weighted: what that policy finds likely is better more
    often than not, before anything was judged, and judgements then train the likelihood itself, as DPO does (Rafailov
    et al. 2023; there without the head, and relative to a reference). It is a sum over tokens: where good and bad texts
    differ in length, the head has to make up for that.

    Args:
        architecture: as of :func:`agents.transformer.networks.describe`.
        folder: of a model of ``transformers`` whose weights it begins with.
        text_begins: column of the texts' first token, whose likelihood counts from there; None: it does not count.

    Attributes:
        policy: the network; its value head is not used.
        of_likelihood: (), the weight of a nat; not there without ``text_begins``.
        log_nu, log_nu_tokens: (), of ties in comparisons, and of tokens without a mark.
    """

    def __init__(self, architecture: Mapping[str, Any], folder: str | None = None, text_begins: int | None = None):
        super().__init__()
        self.text_begins = text_begins
        self.policy = make_policy(architecture)
        if folder is not None:
            self.policy.load_trunk(folder)
        with torch.no_grad():
            begin = torch.full((1, 1 + architecture.get("prompt_length", 0)), self.policy.vocabulary_size)
            width = self.policy.eval().hidden(begin).shape[-1]
        self.score = nn.Linear(width, 1)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)
        self.log_nu, self.log_nu_tokens = (nn.Parameter(torch.zeros(())) for _ in range(2))
        if text_begins is not None:
            self.of_likelihood = nn.Parameter(torch.tensor(LIKELIHOOD))

    def forward(self, windows: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Scores float32 (...) of the prefixes that end in ``columns`` int64 (...) of windows ``rows`` int64 (...), of
        windows int64 (B, C)."""
        return self.of(*self.read(windows, rows, columns))

    def read(self, windows: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor | None]:
        """The network's outputs (..., d) for these prefixes, and their log-likelihoods (...) where they count."""
        if self.text_begins is None:
            return self.policy.outputs(windows, rows, columns), None
        every = torch.arange(self.text_begins - 1, int(columns.max()) + 1, device=windows.device)
        own = torch.arange(len(windows), device=windows.device)[:, None].expand(-1, len(every))
        outputs = self.policy.outputs(windows, own, every.expand(len(windows), -1))  # (B, 1 + T, d)
        drawn = windows[:, self.text_begins : self.text_begins + len(every) - 1]  # (B, T)
        drawn = drawn.clamp(max=self.policy.vocabulary_size - 1)  # PAD, behind the prefixes that are asked for
        of_drawn = self.next_tokens(outputs[:, :-1]).gather(-1, drawn[..., None]).squeeze(-1)
        sums = F.pad(of_drawn.cumsum(1), (1, 0))  # (B, 1 + T)
        at = columns - self.text_begins + 1
        return outputs[rows, at], sums[rows, at]

    def next_tokens(self, outputs: Tensor) -> Tensor:
        """Log-probabilities float32 (..., V) of the token after those of the network's outputs (..., d)."""
        return self.policy.heads(outputs)[0].float().log_softmax(-1)

    def of(self, outputs: Tensor, log_likelihood: Tensor | None = None) -> Tensor:
        """Scores (...) of the network's outputs (..., d), and of the prefixes' log-likelihoods (...) where they
        count."""
        scores = self.score(outputs.float()).squeeze(-1)
        return scores if log_likelihood is None else scores + self.of_likelihood * log_likelihood
