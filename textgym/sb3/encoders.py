"""What a Stable-Baselines3 policy sees of the token window: one vector for the place of the next token.

An observation is a window of L columns: the prompt, padded on the left, then the text so far. Every encoder here
finds the *write position*, the column that the next action fills, and reads its features there.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn
from torch.nn import functional as F

from textgym.errors import one_of, unknown


class TokenEncoder(BaseFeaturesExtractor):
    """Base of the encoders: ``forward(observations) -> (B, features_dim)`` float32.

    Observations are ``(B, L)`` token ids of any dtype (SB3 passes float32, exact up to 2**24), or a dict with such
    ``tokens``; other keys, as the action mask, are left to the policy. A subclass defines :meth:`encode`.

    Args:
        observation_space: ``Box(0, PAD, (L,))`` of integers, or a ``Dict`` with such a space under ``tokens``.
        features_dim: the width of the features.
        prompt_length: the first column of the text. The write position is then the first PAD at or after it. Without
            it, it is the column after the last token of the window: right too, as long as the prompt is not empty.

    Raises:
        ValueError: the space is no token window, or ``prompt_length`` is not in 0..L-1.
    """

    def __init__(self, observation_space: spaces.Space, features_dim: int = 64, prompt_length: int | None = None):
        window = _token_window(observation_space)
        super().__init__(observation_space, features_dim)
        self.length = window.shape[0]
        self.pad = int(window.high[0])
        self.next = self.pad + 1  # the id that stands at the write position and asks for a token
        if prompt_length is not None and not 0 <= prompt_length < self.length:
            raise ValueError(f"prompt_length {prompt_length} is not in 0..{self.length - 1}: the window has {self.length} columns")
        self.prompt_length = prompt_length

    def forward(self, observations: Tensor | dict[str, Tensor]) -> Tensor:
        tokens = observations["tokens"] if isinstance(observations, dict) else observations
        return self.encode(tokens.long())

    def encode(self, tokens: Tensor) -> Tensor:
        """``(B, L)`` int64 -> ``(B, features_dim)``."""
        raise NotImplementedError

    def write_position(self, tokens: Tensor) -> Tensor:
        """The column to be written next, ``(B,)`` in 0..L; L when the window is full."""
        if self.prompt_length is None:
            return self.length - (tokens == self.pad).flip(1).cumprod(1).sum(1)
        return self.prompt_length + (tokens[:, self.prompt_length :] != self.pad).cumprod(1).sum(1)

    def sequences(self, tokens: Tensor, align: str = "left") -> tuple[Tensor, Tensor, Tensor]:
        """Each row cut down to its tokens and the id ``next`` after them: no columns are spent on padding.

        Returns:
            ids ``(B, n)``, PAD outside of the sequence; the window columns they come from ``(B, n)`` in 0..L;
            lengths ``(B,)`` in 1..n, ``next`` counted. n is the longest of the batch.
        """
        end = self.write_position(tokens)
        start = torch.minimum((tokens == self.pad).cumprod(1).sum(1), end)
        lengths = end - start + 1
        steps = torch.arange(int(lengths.max()), device=tokens.device)
        columns = start[:, None] + steps if align == "left" else end[:, None] + steps - steps[-1]
        ids = tokens.gather(1, columns.clamp(0, self.length - 1))
        ids = ids.masked_fill((columns > end[:, None]) | (columns < start[:, None]), self.pad)
        ids = ids.masked_fill(columns == end[:, None], self.next)
        return ids, columns.clamp(0, self.length), lengths


class TokenEmbedding(nn.Module):
    """Learned token + position vectors, std 0.02; ids 0..PAD+1, columns 0..L."""

    def __init__(self, encoder: TokenEncoder, width: int, norm: bool):
        super().__init__()
        self.token = nn.Embedding(encoder.next + 1, width, padding_idx=encoder.pad)
        self.position = nn.Embedding(encoder.length + 1, width)
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.order = nn.Embedding(encoder.length + 1, width)
        for table in (self.token, self.position, self.order):
            nn.init.normal_(table.weight, std=0.02)
        self.use_order = True

    def forward(self, ids: Tensor, columns: Tensor) -> Tensor:
        x = self.token(ids) + self.position(columns)
        if self.use_order:
            x = x + self.order.weight[: ids.shape[1]]
        return self.norm(x)


class TransformerEncoder(TokenEncoder):
    def __init__(self, observation_space, features_dim=64, prompt_length=None, *, layers=1, heads=4, causal=False):
        super().__init__(observation_space, features_dim, prompt_length)
        if features_dim % heads:
            raise ValueError(f"features_dim {features_dim} is not a multiple of heads {heads}")
        self.causal = causal
        self.embed = TokenEmbedding(self, features_dim, norm=False)
        self.blocks = nn.ModuleList(Block(features_dim, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(features_dim)

    def encode(self, tokens):
        ids, columns, lengths = self.sequences(tokens)
        keep = ids != self.pad
        x = self.embed(ids, columns)  # (B, n, d)
        if len(self.blocks) > 1:
            mask = keep[:, None, None, :]
            if self.causal:
                n = ids.shape[1]
                mask = mask & torch.ones(n, n, dtype=torch.bool, device=ids.device).tril()
            for block in self.blocks[:-1]:
                x = block(x, mask)
        last = x[torch.arange(len(x), device=x.device), lengths - 1]  # (B, d)
        return self.norm(self.blocks[-1].read(x, last, keep))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)  # a bias would add the same to every score
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(-2, -3)

    def forward(self, x, mask):
        y = self.norm1(x)
        y = F.scaled_dot_product_attention(self.split(self.query(y)), self.split(self.key(y)), self.split(self.value(y)), mask)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))

    def read(self, x, last, keep):
        y = self.norm1(x)
        q = self.query(self.norm1(last)).unflatten(1, (self.heads, -1))  # (B, h, e)
        w = self.key.weight.unflatten(0, (self.heads, -1))  # (h, e, d)
        q = torch.einsum("bhe,hed->bhd", q, w) * q.shape[-1] ** -0.5
        a = torch.bmm(q, y.transpose(1, 2)).masked_fill(~keep[:, None], float("-inf")).softmax(-1)  # (B, h, n)
        c = torch.bmm(a, y)  # (B, h, d)
        v = torch.einsum("bhd,hed->bhe", c, self.value.weight.unflatten(0, (self.heads, -1))).flatten(1) + self.value.bias
        x = last + self.out(v)
        return x + self.mlp(self.norm2(x))


def _token_window(space: spaces.Space) -> spaces.Box:
    return space["tokens"] if isinstance(space, spaces.Dict) else space
