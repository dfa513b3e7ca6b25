"""The built-in recurrent network: an LSTM with a policy and a value head; its state is what texts go on from."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from agents.transformer.layout import Compact
from agents.transformer.policy import Cache, Policy


@dataclass(frozen=True)
class LSTMConfig:
    """The sizes of an :class:`LSTM`.

    Attributes:
        vocabulary_size: V.
        prompt_length: columns of the prompt.
        layers, width: of the LSTM; ``width`` is that of the embeddings, too.
        dropout: probability, of the embeddings and between layers; in training mode only.
    """

    vocabulary_size: int
    prompt_length: int
    layers: int = 2
    width: int = 128
    dropout: float = 0.0

    def __post_init__(self):
        if min(self.vocabulary_size, self.layers, self.width) < 1:
            raise ValueError(f"sizes are at least 1, got {self}")


class LSTM(Policy):
    """Hochreiter & Schmidhuber 1997; output embeddings tied to those of the input.

    Reads windows of any length, without the padding before the prompt.
    """

    def __init__(self, config: LSTMConfig):
        super().__init__()
        self.config = config
        self.vocabulary_size = config.vocabulary_size
        self.embedding = nn.Embedding(config.vocabulary_size + 1, config.width)
        between = config.dropout if config.layers > 1 else 0.0
        self.lstm = nn.LSTM(config.width, config.width, config.layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(config.dropout)
        self.input_norm = nn.LayerNorm(config.width)  # the embeddings are small, being those of the output, too
        self.norm = nn.LayerNorm(config.width)
        self.value = nn.Linear(config.width, 1)
        nn.init.normal_(self.embedding.weight, std=0.02)
        nn.init.zeros_(self.value.weight)
        nn.init.zeros_(self.value.bias)

    def hidden(self, tokens):
        layout = self.layout(tokens)
        with exact():
            return layout.spread(self.norm(self.lstm(self.embed(layout.tokens))[0]))

    def heads(self, hidden):
        return F.linear(hidden, self.embedding.weight[:-1]), self.value(hidden).squeeze(-1)

    def cache(self, n, columns):
        return States(self, n)

    def layout(self, tokens: Tensor) -> Compact:
        return Compact(tokens, self.vocabulary_size, self.config.prompt_length)

    def embed(self, tokens: Tensor) -> Tensor:
        """Embeddings (..., d) of tokens (...)."""
        return self.dropout(self.input_norm(self.embedding(tokens)))


class States(Cache):
    """The states of n texts, (layers, n, d) each: a token costs one step."""

    def __init__(self, policy: LSTM, n: int):
        self.policy = policy
        weight = policy.embedding.weight
        self.states = tuple(weight.new_zeros(policy.config.layers, n, policy.config.width) for _ in "hc")

    def begin(self, rows, tokens, columns):
        policy, layout = self.policy, self.policy.layout(tokens)
        sizes = (columns - layout.padding + 1).cpu()
        packed = pack_padded_sequence(policy.embed(layout.tokens), sizes, batch_first=True, enforce_sorted=False)
        with exact():
            begun = policy.lstm(packed)[1]
        for state, new in zip(self.states, begun, strict=True):
            state[:, rows] = new
        return policy.norm(self.states[0][-1, rows])

    def append(self, tokens, columns):
        with exact():
            x, self.states = self.policy.lstm(self.policy.embed(tokens[:, None]), self.states)
        return self.policy.norm(x[:, 0])


def exact() -> AbstractContextManager:
    """Float32 is float32: on a GPU, cuDNN would compute in TF32, and texts read at once would differ by 1e-3 from the
    same read token by token."""
    own = torch.backends.cudnn
    return own.flags(own.enabled, own.benchmark, deterministic=own.deterministic, allow_tf32=False)
