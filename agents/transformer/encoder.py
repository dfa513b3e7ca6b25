"""The built-in bidirectional encoder (BERT-like): every token is chosen by a new look at the whole text, both ways.

What it says of a column is about the text up to there with ``[MASK]`` behind it, as BERT is asked for a token (Devlin
et al. 2019). A longer text is another one from its first layer on, so that nothing is left to go on from:

- a rollout reads prompt and text again at every token, where a decoder reads one column;
- an update reads a text of T tokens T times, once for each, where a decoder reads it once; what the gradient needs of
  all of them is kept, so that memory grows as much (give a smaller ``--minibatch``).

Copy of 8 and of 32 letters (2 layers, width 128, 16 rows, one core): 0.4 and 0.3 times the tokens a second of a
decoder's rollouts, 0.14 and 0.08 times those of its updates.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.transformer.layout import Compact
from agents.transformer.model import Block, DecoderConfig, initialise, rotations
from agents.transformer.policy import Policy


@dataclass(frozen=True)
class EncoderConfig(DecoderConfig):
    """The sizes of an :class:`Encoder`: those of a decoder, and ``prompt_length``, columns of the prompt."""

    prompt_length: int = field(kw_only=True)


class Encoder(Policy):
    """Pre-norm Transformer without a causal mask, and a policy and a value head that read ``[MASK]``.

    Columns before the text, and those that nothing is written in, have outputs of 0.
    """

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.config = config
        self.vocabulary_size, self.columns = config.vocabulary_size, config.columns
        self.embedding = nn.Embedding(config.vocabulary_size + 2, config.width)  # BEGIN and [MASK] are the last two
        learned = config.positions == "learned"
        self.position = nn.Embedding(config.columns + 1, config.width) if learned else None
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.value = nn.Linear(config.width, 1)
        if self.position is None:
            table = rotations(config.columns + 1, config.width // config.heads)
            self.register_buffer("rotation", table, persistent=False)
        initialise(self, config.layers)

    def hidden(self, tokens):
        begin = self.config.prompt_length
        written = tokens[:, begin:] != self.vocabulary_size
        written[:, 0] = True
        rows, after = written.nonzero(as_tuple=True)  # (m,) each: one prefix a token
        x = self.outputs(tokens, rows, begin + after)
        return x.new_zeros(*tokens.shape, x.shape[-1]).index_put((rows, begin + after), x)

    def heads(self, hidden):
        return F.linear(hidden, self.embedding.weight[:-2]), self.value(hidden).squeeze(-1)

    def outputs(self, tokens, rows, columns):
        columns = columns.clamp(min=self.config.prompt_length)  # in rows that begin anew, which nobody looks at
        layout = Compact(tokens[rows, : int(columns.max()) + 1], self.vocabulary_size, self.config.prompt_length)
        last = columns - layout.padding + 1  # where [MASK] stands
        positions = torch.arange(int(last.max()) + 1, device=tokens.device)
        ids = F.pad(layout.tokens, (0, 1))[:, : len(positions)]
        ids = ids.masked_fill(positions >= last[:, None], self.vocabulary_size + 1)
        x = self.read(ids, positions <= last[:, None])
        return x[torch.arange(len(x), device=x.device), last]

    def filled(self, tokens, hidden, rows, columns):
        ids = tokens.masked_fill(hidden, self.vocabulary_size + 1)
        layout = Compact(ids, self.vocabulary_size, self.config.prompt_length)
        positions = torch.arange(layout.tokens.shape[1], device=tokens.device)
        seen = (layout.tokens != self.vocabulary_size) & (positions < tokens.shape[1] - layout.padding[:, None])
        seen[:, 0] = True  # BEGIN
        return self.read(layout.tokens, seen)[rows, columns - layout.padding[rows]]

    def read(self, ids: Tensor, seen: Tensor) -> Tensor:
        """Outputs (B, W, d) of left-aligned ids (B, W), of which every one sees all that are ``seen``, bool (B, W)."""
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.embedding(ids)
        if self.position is not None:
            x = x + self.position(positions)
        rotation = None if self.position is not None else self.rotation[positions][None]
        return self.norm(bidirectional(self.blocks, self.dropout(x), seen, rotation))


def bidirectional(blocks: nn.ModuleList, x: Tensor, seen: Tensor, rotation: Tensor | None) -> Tensor:
    """x (B, C, d) after blocks in which every column sees all that are ``seen``, bool (B, C)."""
    mask = None if seen.all() else seen[:, None, None]  # (B, 1, 1, C)
    for block in blocks:
        q, k, v = block.project(x, rotation)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = block.add(x, attended.transpose(1, 2).flatten(2))
    return x
