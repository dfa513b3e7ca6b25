"""What every token encoder shares: the window of tokens as sequences without padding, and their embedding."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from gymnasium.spaces import Box, Dict, Space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn
from torch.nn import functional as F

from textgym.sb3.word_vectors import STD, WordVectors, put, token_table


class TokenEncoder(BaseFeaturesExtractor, ABC):
    """Base of the encoders: ``forward(observations) -> (B, features_dim)`` float32, finite for every window.

    Observations are token ids ``(B, L)`` in 0..PAD of any dtype (SB3 passes float32, exact up to 2**24), or a dict that
    has them under ``tokens``; its other keys, such as the action mask, are for the policy. A subclass defines
    :meth:`encode`.

    Args:
        observation_space: ``Box(0, PAD, (L,))`` of integers, or a ``Dict`` with that space under ``tokens``.
        features_dim: width of the features.
        prompt_length: the column where the text begins. The write position is the first PAD from there on. When None
            it is the column after the last token, which is the same unless prompt and text are both empty.

    Raises:
        ValueError: the space is no token window, or ``prompt_length`` is not in 0..L-1.
    """

    def __init__(self, observation_space: Space, features_dim: int = 64, prompt_length: int | None = None):
        window = token_window(observation_space)
        super().__init__(observation_space, features_dim)
        self.window_length = window.shape[0]
        self.pad = int(window.high[0])
        self.next = self.pad + 1  # the id put at the write position: "which token comes here?"
        if prompt_length is not None and not 0 <= prompt_length < self.window_length:
            raise ValueError(f"prompt_length is {prompt_length}; allowed: None or 0..{self.window_length - 1}")
        self.prompt_length = prompt_length

    def forward(self, observations: Tensor | dict[str, Tensor]) -> Tensor:
        tokens = observations["tokens"] if isinstance(observations, dict) else observations
        return self.encode(tokens.long())

    @abstractmethod
    def encode(self, tokens: Tensor) -> Tensor:
        """Token ids ``(B, L)`` int64 -> features ``(B, features_dim)``."""

    def write_position(self, tokens: Tensor) -> Tensor:
        """The column of the next token, ``(B,)`` int64 in 0..L; L when the window is full."""
        if self.prompt_length is None:
            return self.window_length - (tokens == self.pad).flip(1).cumprod(1).sum(1)
        return self.prompt_length + (tokens[:, self.prompt_length :] != self.pad).cumprod(1).sum(1)

    def sequences(self, tokens: Tensor, align: str = "left") -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Each row's tokens and, after them, the id ``next``; padded to n, the longest of the batch.

        Args:
            tokens: ``(B, L)`` int64.
            align: ``"left"``: all sequences begin at index 0; ``"right"``: all end at index n - 1.

        Returns:
            ids ``(B, n)``, PAD outside of the sequence; the window columns they come from ``(B, n)`` in 0..L; their
            places in the sequence, ``(n,)`` or ``(B, n)``, from 0; the lengths ``(B,)`` in 1..n, ``next`` included.
        """
        end = self.write_position(tokens)
        start = torch.minimum((tokens == self.pad).cumprod(1).sum(1), end)
        lengths = end - start + 1
        places = torch.arange(int(lengths.max()), device=tokens.device)
        if align == "right":
            places = places + (lengths - len(places))[:, None]
        columns = (places + start[:, None]).clamp(0, self.window_length)
        ids = F.pad(tokens, (0, 1), value=self.pad).gather(1, columns)
        ids = ids.masked_fill((places < 0) | (columns > end[:, None]), self.pad)
        ids = ids.masked_fill(columns == end[:, None], self.next)
        return ids, columns, places.clamp(min=0), lengths


class TokenEmbedding(nn.Module):
    """Sum of three learned vectors, std 0.02: the token, its column in the window, its place in the sequence.

    Prompts are padded on the left, so columns count from the border of prompt and text, places from the first token.
    With both, the prompt's third token and its last but one have the same vectors in prompts of every length, which is
    what attention needs to copy and to reverse.

    Args:
        encoder: gives the window.
        width: of the vectors, the encoder's ``features_dim``.
        vectors: word vectors that tokens begin with.
    """

    def __init__(self, encoder: TokenEncoder, width: int, vectors: WordVectors | None = None):
        super().__init__()
        self.token = token_table(encoder.next + 1, width, vectors, keyword="features_dim")
        self.column = nn.Embedding(encoder.window_length + 1, width)
        self.place = nn.Embedding(encoder.window_length + 1, width)
        for table in (self.token, self.column, self.place):
            nn.init.normal_(table.weight, std=STD)
        put(vectors, self.token)

    def forward(self, ids: Tensor, columns: Tensor, places: Tensor) -> Tensor:
        # in place: each fresh (B, n, d) array costs more than the sum
        return self.token(ids).add_(self.column(columns)).add_(self.place(places))  # (B, n, d)


def token_window(space: Space) -> Box:
    """The window's space: the space itself, or ``tokens`` of a Dict."""
    window = space.spaces.get("tokens") if isinstance(space, Dict) else space
    if not (
        isinstance(window, Box)
        and len(window.shape) == 1
        and window.dtype.kind in "iu"
        and (window.low == 0).all()
        and (window.high == window.high[0]).all()
    ):
        raise ValueError(
            f"no token window: {space}; allowed: Box(0, PAD, (L,)) of integers, or a Dict with such 'tokens'"
        )
    return window


def row_of(x: Tensor, index: Tensor) -> Tensor:
    """``x[b, index[b]]`` of ``(B, n, d)``: ``(B, d)``."""
    return x[torch.arange(len(x), device=x.device), index]
