"""What a trainer needs of a network: read windows of tokens, say what may come next and what it is worth.

A window is what the environment shows, with one column before it that begins every text: ``[BEGIN][prompt, padded on
the left][text]``, int64 (B, C). BEGIN and PAD are both id V: column 0 is always seen, a PAD elsewhere never. The output
of a column is about the token in the next one, so that text token t is chosen by the output of column ``prompt_length
+ t``: after an empty prompt that is a PAD, which sees BEGIN alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

PRECISIONS = ("float32", "bfloat16")


class Policy(nn.Module, ABC):
    """A policy and its value function over one trunk.

    A network of one's own gives :meth:`hidden` and :meth:`heads`; it is then run on whole windows at every token. What
    can go on from where it was gives :meth:`cache` too.

    Attributes:
        vocabulary_size: V; the network knows V + 1 ids, the last one being BEGIN and PAD.
        columns: the longest windows it reads, BEGIN included; None: no limit.
        precision: torch.float32, or torch.bfloat16: matrix products in it, parameters and log-probabilities in float32.
    """

    vocabulary_size: int
    columns: int | None = None
    precision: torch.dtype = torch.float32

    @abstractmethod
    def hidden(self, tokens: Tensor) -> Tensor:
        """The outputs (B, C, d) of the columns of windows ``tokens`` int64 (B, C)."""

    def outputs(self, tokens: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """The outputs (..., d) of some ``columns`` int64 (...) of windows ``rows`` int64 (...) of ``tokens`` int64
        (B, C): for networks that need not compute the others."""
        return self.hidden(tokens[:, : int(columns.max()) + 1])[rows, columns]

    @abstractmethod
    def heads(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (..., V) of the next token, and the value (...) of the text so far, from outputs (..., d)."""

    def cache(self, n: int, columns: int) -> Cache:
        """What n windows of ``columns`` leave to go on from."""
        return WholeWindows(self, n, columns)

    def attention(self, tokens: Tensor, columns: Tensor) -> Tensor:
        """How much the output of ``columns`` int64 (B,) looks at each column of windows (B, C), in the last layer, mean
        of its heads: float (B, C), adding up to 1. Only redistribution by attention asks for it.

        Raises:
            ValueError: it has no attention, or does not tell.
        """
        raise ValueError(f"{type(self).__name__} tells of no attention by which rewards could be redistributed")

    def filled(self, tokens: Tensor, hidden: Tensor, rows: Tensor, columns: Tensor) -> Tensor | None:
        """Outputs (m, d) about the tokens that stand at ``rows``, ``columns`` int64 (m,) themselves, of windows (B, C)
        read in both directions, [MASK] standing in for what is ``hidden``, bool (B, C). None: it reads in one only."""
        return None

    def check(self, vocabulary_size: int, columns: int) -> None:
        """Raise ``ValueError`` where it does not know ``vocabulary_size`` tokens, or not windows of ``columns``."""
        if self.vocabulary_size != vocabulary_size:
            raise ValueError(
                f"the policy knows {self.vocabulary_size} tokens, the environment's vocabulary has {vocabulary_size}"
            )
        if self.columns is not None and self.columns < columns:
            raise ValueError(
                f"the policy reads at most {self.columns} columns; BEGIN, prompt and budget of the environment are "
                f"{columns}"
            )

    def autocast(self) -> torch.autocast:
        """The context in which it computes in its precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == torch.bfloat16)

    def compile_step(self) -> None:
        """Have the step of its cache compiled: CUDA graphs on a GPU.

        Raises:
            ValueError: there is nothing to compile.
        """
        raise ValueError(f"{type(self).__name__} has no step that can be compiled; the built-in decoder has")

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device


class Cache(ABC):
    """n windows being written, each at its own column."""

    @abstractmethod
    def begin(self, rows: Tensor, tokens: Tensor, columns: Tensor) -> Tensor:
        """Begin the windows ``tokens`` int64 (k, C') in ``rows`` int64 (k,), written up to and with ``columns`` (k,):
        the outputs (k, d) of these columns."""

    @abstractmethod
    def append(self, tokens: Tensor, columns: Tensor) -> Tensor:
        """Write ``tokens`` int64 (n,) into ``columns`` int64 (n,) of all rows: the outputs (n, d) of these columns."""


class WholeWindows(Cache):
    """For networks that cannot go on: every window is read again at every token."""

    def __init__(self, policy: Policy, n: int, columns: int):
        self.policy = policy
        self.tokens = torch.full((n, columns), policy.vocabulary_size, device=policy.device)
        self.rows = torch.arange(n, device=policy.device)

    def begin(self, rows, tokens, columns):
        self.tokens[rows] = self.policy.vocabulary_size
        self.tokens[rows, : tokens.shape[1]] = tokens
        return self.policy.outputs(tokens, torch.arange(len(rows), device=rows.device), columns)

    def append(self, tokens, columns):
        self.tokens[self.rows, columns] = tokens
        return self.policy.outputs(self.tokens, self.rows, columns)


def windows(observations: Tensor, pad: int) -> Tensor:
    """Observations (B, L) of the environment as windows int64 (B, 1 + L)."""
    return torch.nn.functional.pad(observations.long(), (1, 0), value=pad)
