"""The built-in network: a decoder-only Transformer with a policy and a value head."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.bias import causal_lower_right

from agents.transformer.key_value_cache import KeyValueCache
from agents.transformer.layout import attention_in_columns, left_aligned
from agents.transformer.policy import Policy
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

    It reads windows that are left-aligned: BEGIN, prompt and text without padding between them, each token in its
    place (columns count the padding before the prompt, places do not). So what it says of a text does not depend on how
    far the prompt is padded, and every mask is causal.

    Attributes:
        compiled: :meth:`step` is.
    """

    compiled = False

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
        initialise(self, config.layers)

    def hidden(self, tokens):
        rows, columns = (torch.arange(size, device=tokens.device) for size in tokens.shape)
        return self.outputs(tokens, rows[:, None], columns)

    def outputs(self, tokens, rows, columns):
        tokens, padding = left_aligned(tokens, self.vocabulary_size)
        places = (columns - padding[rows]).clamp_min(0)  # a PAD before the text says what BEGIN says
        first, last = (int(place) for place in places.aminmax())
        return self.read(tokens[:, : last + 1], first)[0][rows, places - first]

    def heads(self, hidden):
        return F.linear(hidden, self.embedding.weight[:-1]), self.value(hidden).squeeze(-1)

    def attention(self, tokens, columns):
        tokens, padding = left_aligned(tokens, self.vocabulary_size)
        rows, every = (torch.arange(size, device=tokens.device) for size in tokens.shape)
        x, rotation = self.embed(tokens, every)
        for block in self.blocks[:-1]:
            q, k, v = block.project(x, rotation)
            x = block.add(x, F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        q, k, _ = self.blocks[-1].project(x, rotation)
        places = (columns - padding).clamp_min(0)
        scores = torch.einsum("bhe,bhce->bhc", q[rows, :, places], k) * q.shape[-1] ** -0.5
        looks = scores.masked_fill((every > places[:, None])[:, None], float("-inf")).softmax(-1).mean(1)  # (B, C)
        return attention_in_columns(looks, padding, tokens.shape[1])

    def cache(self, n, columns):
        return KeyValueCache(self, n, columns)

    def compile_step(self):
        self.compiled = True

    def read(self, tokens: Tensor, first: int) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """The outputs (B, C - first, d) from place ``first`` on of left-aligned windows (B, C), and each layer's keys
        and values (B, h, C, e). What the last layer adds to the places before is not computed."""
        x, rotation = self.embed(tokens, torch.arange(tokens.shape[1], device=tokens.device))
        kept = []
        for block in self.blocks:
            q, k, v = block.project(x, rotation)
            if block is self.blocks[-1]:
                x, q = x[:, first:], q[:, :, first:]
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=causal_lower_right(q.shape[2], k.shape[2]))
            x = block.add(x, attended.transpose(1, 2).flatten(2))
            kept.append((k, v))
        return self.norm(x), kept

    def step(self, tokens: Tensor, places: Tensor, keys: list[Tensor], values: list[Tensor], width: int) -> Tensor:
        """Write ``tokens`` int64 (n,) into ``places`` int64 (n,), all below ``width``: their outputs (n, d). ``keys``
        (n, h, e, C) and ``values`` (n, h, C, e) of each layer are written to."""
        step, n, h = compiled(Block.step) if self.compiled else Block.step, len(tokens), self.config.heads
        columns = torch.arange(width, device=tokens.device)
        x, rotation = self.embed(tokens[:, None], places[:, None])
        unseen = (columns > places[:, None]).repeat_interleave(h, 0)[:, None]
        bias = x.new_zeros(n * h, 1, width).masked_fill(unseen, float("-inf"))
        for block, keys_there, values_there in zip(self.blocks, keys, values, strict=True):
            x = step(block, x, rotation, places, keys_there, values_there, bias)
        return self.norm(x)[:, 0]

    def embed(self, tokens: Tensor, places: Tensor) -> tuple[Tensor, Tensor | None]:
        """Embeddings (..., d) of tokens (...), and the rotations (..., e / 2, 2) of ``places``."""
        x = self.embedding(tokens)
        if self.position is None:
            return self.dropout(x), self.rotation[places]
        return self.dropout(x + self.position(places)), None


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
        """Queries, keys and values (B, h, C, e) of x (B, C, d), rotated by ``rotation`` (C or B, C; e / 2, 2)."""
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).unbind(2)  # (B, C, h, e) each
        if rotation is not None:
            rotation = rotation[..., None, :, :]  # the same for every head
            q, k = rotated(q, rotation), rotated(k, rotation)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    def add(self, x: Tensor, attended: Tensor) -> Tensor:
        """x (..., d) and what the layer adds to it, given the attended values (..., d)."""
        x = x + self.dropout(self.output(attended))
        return x + self.dropout(self.mlp(self.norm2(x)))

    def step(
        self, x: Tensor, rotation: Tensor | None, places: Tensor, keys: Tensor, values: Tensor, bias: Tensor
    ) -> Tensor:
        """What it makes of one place a row, x (n, 1, d), of the ``places`` int64 (n,), which look where ``bias``
        (n h, 1, width) is 0; ``keys`` (n, h, e, C) and ``values`` (n, h, C, e) are written to.

        One query a row: two batched products beat PyTorch's scaled_dot_product_attention there.
        """
        rows, width = torch.arange(len(x), device=x.device), bias.shape[-1]
        q, k, v = self.project(x, rotation)  # (n, h, 1, e)
        keys[rows, :, :, places] = k[:, :, 0].to(keys.dtype)
        values[rows, :, places] = v[:, :, 0].to(values.dtype)
        seen_keys, seen_values = keys[..., :width].flatten(0, 1), values[:, :, :width].flatten(0, 1)
        scores = torch.baddbmm(bias, q.flatten(0, 1), seen_keys, alpha=q.shape[-1] ** -0.5)  # (n h, 1, width)
        return self.add(x, (scores.softmax(-1) @ seen_values).view(len(x), 1, -1))


@functools.cache
def compiled(function: Callable) -> Callable:
    """What a layer does, compiled once for the layers of all networks: nothing in a network is bound to its weights."""
    return torch.compile(function, dynamic=True)


def initialise(network: nn.Module, layers: int) -> None:
    """GPT-2's: normal with deviation 0.02, less for what each of the ``layers`` adds to the sum; values of 0, since no
    opinion is better than a random one: it would move the first policies."""

    def draw(module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
        if isinstance(module, Block):
            for last in (module.output, module.mlp[-1]):
                nn.init.normal_(last.weight, std=0.02 / (2 * layers) ** 0.5)

    network.apply(draw)
    nn.init.zeros_(network.value.weight)


def rotations(columns: int, size: int, base: float = 10_000.0) -> Tensor:
    """Cosine and sine of the size / 2 angles of each position, (columns, size / 2, 2)."""
    angles = torch.outer(torch.arange(columns), base ** (-torch.arange(0, size, 2) / size))
    return torch.stack([angles.cos(), angles.sin()], -1)


def rotated(x: Tensor, rotation: Tensor) -> Tensor:
    """x (..., e), pair by pair a complex number, times the complex numbers ``rotation`` (..., e / 2, 2)."""
    pairs = torch.view_as_complex(x.to(rotation.dtype).unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * torch.view_as_complex(rotation)).flatten(-2).to(x.dtype)
