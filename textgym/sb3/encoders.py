"""What a Stable-Baselines3 policy sees of the token window: one vector, for the place of the next token.

An observation is a window of L columns: the prompt, padded on the left, then the text so far. Every encoder finds the
*write position*, the column that the next action fills, and gives the features of that place. SB3 encodes the window
anew at every step, so nothing is computed that this one vector does not need: padding is cut away before the network,
and the last attention layer has a single query.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn
from torch.nn import functional as F

from textgym.errors import one_of, unknown


class TokenEncoder(BaseFeaturesExtractor):
    """Base of the encoders: ``forward(observations) -> (B, features_dim)`` float32, finite for every window.

    Observations are token ids ``(B, L)`` in 0..PAD of any dtype (SB3 passes float32, exact up to 2**24), or a dict that
    has them under ``tokens``; its other keys, such as the action mask, are for the policy. A subclass defines
    :meth:`encode`.

    Args:
        observation_space: ``Box(0, PAD, (L,))`` of integers, or a ``Dict`` with that space under ``tokens``.
        features_dim: width of the features.
        prompt_length: the column where the text begins. The write position is the first PAD from there on. When None
            it is the column after the last token of the window, which is the same unless prompt and text are both empty.

    Raises:
        ValueError: the space is no token window, or ``prompt_length`` is not in 0..L-1.
    """

    def __init__(self, observation_space: spaces.Space, features_dim: int = 64, prompt_length: int | None = None):
        window = _token_window(observation_space)
        super().__init__(observation_space, features_dim)
        self.window_length = window.shape[0]
        self.pad = int(window.high[0])
        self.next = self.pad + 1  # the id put at the write position: "which token comes here?"
        if prompt_length is not None and not 0 <= prompt_length < self.window_length:
            raise ValueError(f"prompt_length is {prompt_length}; allowed: 0..{self.window_length - 1}, columns of the window")
        self.prompt_length = prompt_length

    def forward(self, observations: Tensor | dict[str, Tensor]) -> Tensor:
        tokens = observations["tokens"] if isinstance(observations, dict) else observations
        return self.encode(tokens.long())

    def encode(self, tokens: Tensor) -> Tensor:
        """Token ids ``(B, L)`` int64 -> features ``(B, features_dim)``."""
        raise NotImplementedError

    def write_position(self, tokens: Tensor) -> Tensor:
        """The column of the next token, ``(B,)`` int64 in 0..L; L when the window is full."""
        if self.prompt_length is None:
            return self.window_length - (tokens == self.pad).flip(1).cumprod(1).sum(1)
        return self.prompt_length + (tokens[:, self.prompt_length :] != self.pad).cumprod(1).sum(1)

    def sequences(self, tokens: Tensor, align: str = "left") -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Each row's tokens and, after them, the id ``next``; n, the longest of the batch, is the only padding left.

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
        ids = ids.masked_fill(columns > end[:, None], self.pad).masked_fill(columns == end[:, None], self.next)
        return ids, columns, places, lengths


class TokenEmbedding(nn.Module):
    """Sum of three learned vectors of std 0.02: the token, its column in the window, its place in the sequence.

    With the prompt padded on the left, columns count from the border of prompt and text, places from the first token:
    "the third token of the prompt" is one vector for prompts of all lengths, and so is "the last one".
    PAD is the zero vector.
    """

    def __init__(self, encoder: TokenEncoder, width: int):
        super().__init__()
        self.token = nn.Embedding(encoder.next + 1, width)
        self.column = nn.Embedding(encoder.window_length + 1, width)
        self.place = nn.Embedding(encoder.window_length + 1, width)
        for table in (self.token, self.column, self.place):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, ids: Tensor, columns: Tensor, places: Tensor) -> Tensor:
        # in place: each fresh (B, n, d) array costs more than the sum
        return self.token(ids).add_(self.column(columns)).add_(self.place(places.clamp(min=0)))  # (B, n, d)


class EmbeddingBagEncoder(TokenEncoder):
    """Mean token vectors of prompt and of text, the ``last`` tokens in order, and the write position; one ReLU layer.

    The continuous bag of words (Mikolov et al. 2013): blind to order but for the last tokens, and by far the cheapest.
    Without ``prompt_length`` there is one bag, of all tokens.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        features_dim: int = 64,
        prompt_length: int | None = None,
        *,
        last: int = 4,
        embedding_dim: int = 32,
    ):
        super().__init__(observation_space, features_dim, prompt_length)
        self.last = min(last, self.window_length)
        self.embed = TokenEmbedding(self, embedding_dim)
        parts = (1 if prompt_length is None else 2) + self.last + 1
        self.output = nn.Sequential(
            nn.LayerNorm(parts * embedding_dim), nn.Linear(parts * embedding_dim, features_dim), nn.ReLU()
        )

    def encode(self, tokens: Tensor) -> Tensor:
        end = self.write_position(tokens)[:, None]  # (B, 1)
        parts = [self._bag(part) for part in (tokens[:, : self.prompt_length], tokens[:, self.prompt_length or :])]
        return self.output(torch.cat(parts, 1))
