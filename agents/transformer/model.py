"""The built-in network: a decoder-only Transformer with a policy and a value head, and its key-value cache."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.transformer.policy import Cache, Policy
from textgym.errors import one_of

POSITIONS = ("rotary", "learned")


@dataclass(frozen=True)
class DecoderConfig:
    """The sizes of a :class:`Decoder`.

    Attributes:
        vocabulary_size: V.
        columns: the longest window, BEGIN included: 1 + prompt_length + budget.
        layers, width, heads: ``heads`` divides ``width``.
        positions: "rotary" (Su et al. 2021) or "learned" (one vector a position, as in GPT-2).
        dropout: probability, of the embeddings and of what each layer adds; in training mode only.
    """

    vocabulary_size: int
    columns: int
    layers: int = 2
    width: int = 128
    heads: int = 4
    positions: str = "rotary"
    dropout: float = 0.0

    def __post_init__(self):
        one_of("positions", self.positions, POSITIONS)
        if min(self.vocabulary_size, self.columns, self.layers, self.heads) < 1 or self.width % (2 * self.heads):
            raise ValueError(f"sizes are at least 1, and 2 * heads divides width, got {self}")


class Decoder(Policy):
    """Pre-norm decoder (Xiong et al. 2020), output embeddings tied to those of the input (Press & Wolf 2017).

    Positions count the tokens, not the padding before them: what it says of a text does not depend on how far the
    prompt is padded.
    """

    def __init__(self, config: DecoderConfig):
        super().__init__()
        self.config = config
        self.vocabulary_size, self.columns = config.vocabulary_size, config.columns
        self.embedding = nn.Embedding(config.vocabulary_size + 1, config.width)
        self.position = nn.Embedding(config.columns, config.width) if config.positions == "learned" else None
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.value = nn.Linear(config.width, 1)
        if self.position is None:
            self.register_buffer("rotation", rotations(config.columns, config.width // config.heads), persistent=False)
        self.apply(self._initialise)
        nn.init.zeros_(self.value.weight)  # no opinion is better than a random one: it would move the first policies

    def _initialise(self, module: nn.Module) -> None:
        """GPT-2's: normal with deviation 0.02, less for what each layer adds to the sum."""
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
        if isinstance(module, Block):
            for last in (module.output, module.mlp[-1]):
                nn.init.normal_(last.weight, std=0.02 / (2 * self.config.layers) ** 0.5)

    def hidden(self, tokens):
        # columns that are padding in all windows are not computed: they see BEGIN alone, as BEGIN does
        blank = int((tokens[:, 1:] == self.vocabulary_size).all(0).long().cumprod(0).sum())
        x = self.read(torch.cat([tokens[:, :1], tokens[:, 1 + blank :]], 1))[0]
        return torch.cat([x[:, :1].expand(-1, 1 + blank, -1), x[:, 1:]], 1)

    def heads(self, hidden):
        return F.linear(hidden, self.embedding.weight[:-1]), self.value(hidden).squeeze(-1)

    def attention(self, tokens, columns):
        every, rows = (torch.arange(size, device=tokens.device) for size in reversed(tokens.shape))
        seen, positions = self.layout(tokens)
        mask = (every <= every[:, None]) & seen[:, None, None]  # (B, 1, C, C)
        x, rotation = self.embed(tokens, positions)
        for block in self.blocks[:-1]:
            q, k, v = block.project(x, rotation)
            x = block.add(x, F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2))
        q, k, _ = self.blocks[-1].project(x, rotation)
        scores = torch.einsum("bhe,bhce->bhc", q[rows, :, columns], k) * q.shape[-1] ** -0.5
        return scores.masked_fill(~mask[rows, :, columns], float("-inf")).softmax(-1).mean(1)

    def cache(self, n, columns):
        return KeyValueCache(self, n, columns)

    def read(self, tokens: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Outputs (B, C, d) of windows (B, C), and each layer's keys and values (B, h, C, e)."""
        seen, positions = self.layout(tokens)
        mask = None
        if not seen.all():
            causal = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool, device=tokens.device).tril()
            mask = causal & seen[:, None, None]  # (B, 1, C, C); BEGIN is seen by all
        x, rotation = self.embed(tokens, positions)
        kept = []
        for block in self.blocks:
            q, k, v = block.project(x, rotation)
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
            x = block.add(x, attended.transpose(1, 2).flatten(2))
            kept.append((k, v))
        return self.norm(x), kept

    def layout(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Which columns are seen, bool (B, C), and their positions, int64 (B, C)."""
        seen = tokens != self.vocabulary_size
        seen[:, 0] = True
        return seen, seen.cumsum(1) - 1

    def embed(self, tokens: Tensor, positions: Tensor) -> tuple[Tensor, Tensor | None]:
        """Embeddings (..., d) of tokens (...), and the rotations of their positions, (..., e)."""
        x = self.embedding(tokens)
        if self.position is None:
            return self.dropout(x), self.rotation[positions]
        return self.dropout(x + self.position(positions)), None


class Block(nn.Module):
    """One layer: attention and MLP, each added to what it reads."""

    def __init__(self, config: DecoderConfig):
        super().__init__()
        d = config.width
        self.heads = config.heads
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv = nn.Linear(d, 3 * d)
        self.output = nn.Linear(d, d)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))
        self.dropout = nn.Dropout(config.dropout)

    def project(self, x: Tensor, rotation: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (B, h, C, e) of x (B, C, d), rotated by ``rotation`` (B, C, e)."""
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if rotation is not None:
            rotation = rotation[:, None]  # the same for every head
            q, k = rotated(q, rotation), rotated(k, rotation)
        return q, k, v

    def add(self, x: Tensor, attended: Tensor) -> Tensor:
        """x (..., d) and what the layer adds to it, given the attended values (..., d)."""
        x = x + self.dropout(self.output(attended))
        return x + self.dropout(self.mlp(self.norm2(x)))


class KeyValueCache(Cache):
    """Static keys and values of n windows; a token costs its own row of every matrix, and attention over what is there.

    One query a row: two batched products beat PyTorch's scaled_dot_product_attention there.
    """

    def __init__(self, model: Decoder, n: int, columns: int):
        config, weight = model.config, model.embedding.weight
        self.model = model
        shape = (n, config.heads, columns, config.width // config.heads)
        self.keys = [weight.new_zeros(shape) for _ in model.blocks]
        self.values = [weight.new_zeros(shape) for _ in model.blocks]
        self.bias = weight.new_full((n, 1, 1, columns), float("-inf"))  # 0 where a column is seen
        self.padding = torch.zeros(n, dtype=torch.long, device=weight.device)  # PAD columns of each row
        self.rows = torch.arange(n, device=weight.device)

    def begin(self, rows, tokens, columns):
        width, each = tokens.shape[1], torch.arange(len(rows), device=rows.device)
        x, kept = self.model.read(tokens)
        for keys, values, (k, v) in zip(self.keys, self.values, kept, strict=True):
            keys[rows, :, :width], values[rows, :, :width] = k, v
        seen, positions = self.model.layout(tokens)
        self.bias[rows] = float("-inf")
        self.bias[rows, 0, 0, :width] = torch.where(seen, 0.0, float("-inf")).to(self.bias.dtype)
        self.padding[rows] = columns - positions[each, columns]
        return x[each, columns]

    def append(self, tokens, columns):
        self.bias[self.rows, 0, 0, columns] = 0.0
        width = int(columns.max()) + 1
        bias = self.bias[..., :width]
        positions = (columns - self.padding).clamp(min=0)  # below 0 in rows that begin anew: nobody looks at them
        x, rotation = self.model.embed(tokens[:, None], positions[:, None])
        for block, keys, values in zip(self.model.blocks, self.keys, self.values, strict=True):
            q, k, v = block.project(x, rotation)  # (n, h, 1, e)
            keys[self.rows, :, columns], values[self.rows, :, columns] = k[:, :, 0], v[:, :, 0]
            scores = q @ keys[:, :, :width].transpose(-1, -2) * q.shape[-1] ** -0.5 + bias  # (n, h, 1, width)
            attended = scores.softmax(-1) @ values[:, :, :width]
            x = block.add(x, attended.transpose(1, 2).flatten(2))
        return self.model.norm(x)[:, 0]


def rotations(columns: int, size: int, base: float = 10_000.0) -> Tensor:
    """Cosines and sines of the angles of each position, (columns, size): size / 2 of each."""
    angles = torch.outer(torch.arange(columns), base ** (-torch.arange(0, size, 2) / size))
    return torch.cat([angles.cos(), angles.sin()], -1)


def rotated(x: Tensor, rotation: Tensor) -> Tensor:
    """x (..., e) with its halves rotated against each other by the angles of ``rotation`` (..., e)."""
    (a, b), (cos, sin) = x.chunk(2, -1), rotation.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
