"""Bidirectional encoders, and the built-in one (BERT-like): every token is chosen by a new look at the whole text.

What one says of a column is about the text up to there with ``[MASK]`` behind it, as BERT is asked for a token (Devlin
et al. 2019). A longer text is another one from its first layer on, so that nothing is left to go on from:

- a rollout reads prompt and text again at every token, where a decoder reads one column;
- an update reads a text of T tokens T times, once for each, where a decoder reads it once; what the gradient needs of
  all of them is kept, so that memory grows as much (give a smaller ``--minibatch``).

Copy of 8 and of 32 letters (2 layers, width 128, 16 rows, one core): 0.4 and 0.3 times the tokens a second of a
decoder's rollouts, 0.14 and 0.08 times those of its updates.
"""

from __future__ import annotations

from abc import abstractmethod
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


class ReadAnew(Policy):
    """A policy that reads a text in both directions, anew at every token: BEGIN, prompt, text and ``[MASK]``.

    The output of a column is that of the ``[MASK]`` behind it, or its own where there is no such token. Columns before
    the text, and those that nothing is written in, have outputs of 0.

    Attributes:
        prompt_length: columns of the prompt.
        mask: the id of ``[MASK]``, or None.
    """

    prompt_length: int
    mask: int | None

    @abstractmethod
    def look(self, ids: Tensor, seen: Tensor) -> Tensor:
        """Outputs (B, W, d) of left-aligned ids (B, W), of which every one sees all that are ``seen``, bool (B, W)."""

    def ids(self, tokens: Tensor) -> Tensor:
        """Tokens as the network knows them: PAD stands where nobody looks."""
        return tokens

    def hidden(self, tokens):
        begin = self.prompt_length
        written = tokens[:, begin:] != self.vocabulary_size
        written[:, 0] = True
        rows, after = written.nonzero(as_tuple=True)  # (m,) each: one prefix a token
        x = self.outputs(tokens, rows, begin + after)
        return x.new_zeros(*tokens.shape, x.shape[-1]).index_put((rows, begin + after), x)

    def outputs(self, tokens, rows, columns):
        ids, seen, last, _ = self.prefixes(tokens, rows.flatten(), columns.flatten())
        x = self.look(ids, seen)
        return x[torch.arange(len(x), device=x.device), last].view(*rows.shape, -1)

    def prefixes(self, tokens: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What is read for ``columns`` (m,) of windows ``rows`` (m,): ids (m, W), which of them are seen, bool (m, W),
        the place that the output is of, and the columns that the windows are moved by, int64 (m,) each."""
        columns = columns.clamp(min=self.prompt_length)  # in rows that begin anew, which nobody looks at
        layout = Compact(tokens[rows, : int(columns.max()) + 1], self.vocabulary_size, self.prompt_length)
        last = columns - layout.padding + (self.mask is not None)
        positions = torch.arange(int(last.max()) + 1, device=tokens.device)
        ids = F.pad(self.ids(layout.tokens), (0, 1))[:, : len(positions)]
        if self.mask is not None:
            ids = ids.masked_fill(positions >= last[:, None], self.mask)
        return ids, positions <= last[:, None], last, layout.padding

    def filled(self, tokens, hidden, rows, columns):
        if self.mask is None:
            return None
        pad = self.vocabulary_size
        layout = Compact(tokens.masked_fill(hidden, pad + 1), pad, self.prompt_length)  # pad + 1: no token either
        ids = self.ids(layout.tokens).masked_fill(layout.tokens == pad + 1, self.mask)
        positions = torch.arange(ids.shape[1], device=tokens.device)
        seen = (layout.tokens != pad) & (positions < tokens.shape[1] - layout.padding[:, None])
        seen[:, 0] = True  # BEGIN
        return self.look(ids, seen)[rows, columns - layout.padding[rows]]


class Encoder(ReadAnew):
    """Pre-norm Transformer without a causal mask, and a policy and a value head that read ``[MASK]``."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.config = config
        self.vocabulary_size, self.columns = config.vocabulary_size, config.columns
        self.prompt_length, self.mask = config.prompt_length, config.vocabulary_size + 1
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

    def heads(self, hidden):
        return F.linear(hidden, self.embedding.weight[:-2]), self.value(hidden).squeeze(-1)

    def look(self, ids, seen):
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
