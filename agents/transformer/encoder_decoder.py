"""The built-in encoder-decoder: a prompt is read both ways, once a text; the decoder reads the text and looks at it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.transformer.encoder import EncoderConfig, bidirectional
from agents.transformer.layout import Compact
from agents.transformer.model import Block, initialise, rotations
from agents.transformer.policy import Cache, Policy


class EncoderDecoderConfig(EncoderConfig):
    """The sizes of an :class:`EncoderDecoder`: as an encoder's; ``layers`` is of the encoder and of the decoder."""


class EncoderDecoder(Policy):
    """Pre-norm encoder and decoder (Vaswani et al. 2017), all embeddings tied.

    Positions count from BEGIN, in the prompt as in the text. Columns before the text have outputs of 0.
    """

    def __init__(self, config: EncoderDecoderConfig):
        super().__init__()
        self.config = config
        self.vocabulary_size, self.columns = config.vocabulary_size, config.columns
        self.embedding = nn.Embedding(config.vocabulary_size + 1, config.width)
        learned = config.positions == "learned"
        self.position = nn.Embedding(config.columns, config.width) if learned else None
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.encoder_norm = nn.LayerNorm(config.width)
        self.blocks = nn.ModuleList(CrossBlock(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.value = nn.Linear(config.width, 1)
        if self.position is None:
            self.register_buffer("rotation", rotations(config.columns, config.width // config.heads), persistent=False)
        initialise(self, config.layers)

    def hidden(self, tokens):
        return F.pad(self.read(tokens)[0], (0, 0, self.config.prompt_length, 0))

    def heads(self, hidden):
        return F.linear(hidden, self.embedding.weight[:-1]), self.value(hidden).squeeze(-1)

    def cache(self, n, columns):
        return PromptAndText(self, n, columns)

    def read(self, tokens: Tensor) -> tuple[Tensor, list[tuple[Tensor, ...]], Tensor]:
        """Outputs (B, T, d) of the T columns of windows (B, C) from the last one of the prompt on, keys and values (B,
        h, T, e) of each layer and those of the prompt (B, h, P, e), and which of the latter are seen, bool (B, P)."""
        encoded, seen = self.encode(tokens[:, : 1 + self.config.prompt_length])
        text = tokens[:, self.config.prompt_length :].clone()
        text[:, 0] = self.vocabulary_size  # BEGIN
        x, rotation = self.embed(text, torch.arange(text.shape[1], device=text.device)[None])
        kept = []
        for block in self.blocks:
            q, k, v = block.project(x, rotation)
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            prompt = block.prompt(encoded)
            x = block.look(x, attended.transpose(1, 2).flatten(2), *prompt, seen)
            kept.append((k, v, *prompt))
        return self.norm(x), kept, seen

    def encode(self, prompts: Tensor) -> tuple[Tensor, Tensor]:
        """What is said of BEGIN and prompts (B, P), (B, P, d), without the padding; and what of it counts, (B, P)."""
        layout = Compact(prompts, self.vocabulary_size, self.config.prompt_length)
        tokens = F.pad(layout.tokens, (0, prompts.shape[1] - layout.tokens.shape[1]))
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        seen = positions < (tokens.shape[1] - layout.padding)[:, None]
        x, rotation = self.embed(tokens, positions[None])
        return self.encoder_norm(bidirectional(self.encoder, x, seen, rotation)), seen

    def embed(self, tokens: Tensor, positions: Tensor) -> tuple[Tensor, Tensor | None]:
        """Embeddings (B, C, d) of tokens (B, C), and the rotations of their positions, (B or 1, C, e)."""
        x = self.embedding(tokens)
        if self.position is None:
            return self.dropout(x), self.rotation[positions]
        return self.dropout(x + self.position(positions)), None


class CrossBlock(Block):
    """One layer of the decoder: a block that looks at the prompt between its attention and its MLP."""

    def __init__(self, config: EncoderDecoderConfig):
        super().__init__(config)
        d = config.width
        self.cross_norm = nn.LayerNorm(d)
        self.cross_query, self.cross_key_value, self.cross_output = (
            nn.Linear(d, d),
            nn.Linear(d, 2 * d),
            nn.Linear(d, d),
        )

    def prompt(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, h, P, e) of an encoded prompt (B, P, d)."""
        return self.cross_key_value(encoded).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()

    def look(self, x: Tensor, attended: Tensor, keys: Tensor, values: Tensor, seen: Tensor) -> Tensor:
        """x (B, C, d) and what the layer adds to it, given what its text and its prompt are to it."""
        x = x + self.dropout(self.output(attended))
        q = self.cross_query(self.cross_norm(x)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        looked = F.scaled_dot_product_attention(q, keys, values, attn_mask=seen[:, None, None])
        x = x + self.dropout(self.cross_output(looked.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.mlp(self.norm2(x)))


class PromptAndText(Cache):
    """Keys and values of n prompts and n texts: a token is one column of the decoder."""

    def __init__(self, model: EncoderDecoder, n: int, columns: int):
        config, weight = model.config, model.embedding.weight
        self.model, self.first = model, config.prompt_length
        shape = (n, config.heads, columns - self.first, config.width // config.heads)
        prompt = (n, config.heads, 1 + self.first, shape[-1])
        self.kept = [[weight.new_zeros(s) for s in (shape, shape, prompt, prompt)] for _ in model.blocks]
        self.seen = torch.ones(n, 1 + self.first, dtype=torch.bool, device=weight.device)
        self.rows = torch.arange(n, device=weight.device)

    def begin(self, rows, tokens, columns):
        x, kept, self.seen[rows] = self.model.read(tokens)
        for ours, theirs in zip(self.kept, kept, strict=True):
            for own, begun in zip(ours, theirs, strict=True):
                own[rows, :, : begun.shape[2]] = begun.to(own.dtype)
        return x[torch.arange(len(rows), device=rows.device), columns - self.first]

    def append(self, tokens, columns):
        places = (columns - self.first).clamp(min=0)  # rows that begin anew are anywhere: nobody looks at them
        width = int(places.max()) + 1
        seen = torch.arange(width, device=places.device) <= places[:, None]  # (n, width)
        x, rotation = self.model.embed(tokens[:, None], places[:, None])
        for block, (keys, values, *prompt) in zip(self.model.blocks, self.kept, strict=True):
            q, k, v = block.project(x, rotation)  # (n, h, 1, e)
            keys[self.rows, :, places] = k[:, :, 0].to(keys.dtype)
            values[self.rows, :, places] = v[:, :, 0].to(values.dtype)
            attended = F.scaled_dot_product_attention(
                q, keys[:, :, :width], values[:, :, :width], attn_mask=seen[:, None, None]
            )
            x = block.look(x, attended.transpose(1, 2).flatten(2), *prompt, self.seen)
        return self.model.norm(x)[:, 0]
