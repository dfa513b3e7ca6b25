"""What a Stable-Baselines3 policy sees of the token window: one vector, for the place of the next token.

An observation is a window of L columns: the prompt, padded on the left, then the text so far. Every encoder finds the
*write position*, the column that the next action fills, and gives the features of that place. SB3 encodes the window
anew at every step, so nothing is computed that this one vector does not need: padding is cut away before the network,
and the last attention layer has a single query.

All but ``pretrained`` take ``vectors``: :class:`~textgym.sb3.word_vectors.WordVectors` that their tokens begin with.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from gymnasium.spaces import Space
from torch import Tensor, nn
from torch.nn import functional as F

from textgym.errors import one_of, unknown
from textgym.sb3.pretrained import PretrainedEncoder
from textgym.sb3.token_encoder import TokenEmbedding, TokenEncoder, row_of
from textgym.sb3.word_vectors import STD, WordVectors, put, token_table


class EmbeddingBagEncoder(TokenEncoder):
    """Mean token vector of the prompt and of the text, the ``last`` tokens in order, and the write position; one layer.

    A continuous bag of words (Mikolov et al. 2013): blind to order but for the last tokens, and the cheapest by far.
    Without ``prompt_length`` prompt and text share one bag.
    """

    def __init__(
        self,
        observation_space: Space,
        features_dim: int = 64,
        prompt_length: int | None = None,
        *,
        last: int = 4,
        embedding_dim: int = 32,
        vectors: WordVectors | None = None,
    ):
        super().__init__(observation_space, features_dim, prompt_length)
        self.last = last
        self.token = token_table(self.pad + 1, embedding_dim, vectors, keyword="embedding_dim", padding_idx=self.pad)
        self.column = nn.Embedding(self.window_length + 1, embedding_dim)
        nn.init.normal_(self.token.weight[: self.pad], std=STD)
        nn.init.normal_(self.column.weight, std=STD)
        put(vectors, self.token)
        width = ((2 if prompt_length else 1) + last + 1) * embedding_dim
        self.output = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, features_dim), nn.ReLU())

    def encode(self, tokens: Tensor) -> Tensor:
        end = self.write_position(tokens)
        bags = (tokens[:, : self.prompt_length], tokens[:, self.prompt_length :]) if self.prompt_length else (tokens,)
        # two thirds of the time of F.embedding_bag, which has no second derivative (TRPO needs it); PAD's vector is 0
        parts = [self.token(bag).sum(1) / (bag != self.pad).sum(1, keepdim=True).clamp(min=1) for bag in bags]
        columns = end[:, None] - torch.arange(self.last, 0, -1, device=tokens.device)  # (B, last)
        recent = tokens.gather(1, columns.clamp(min=0)).masked_fill(columns < 0, self.pad)
        return self.output(torch.cat([*parts, self.token(recent).flatten(1), self.column(end)], 1))


class ConvEncoder(TokenEncoder):
    """Causal dilated convolutions with residuals, as many as it takes to see the whole window.

    WaveNet's stack (van den Oord et al. 2016) with dilation ``kernel_size ** layer``. One output is read, and that one
    needs only every ``kernel_size``-th output of the layer below: a convolution of stride ``kernel_size`` over the
    sequences aligned at their ends, which is one matrix product.
    """

    def __init__(
        self,
        observation_space: Space,
        features_dim: int = 64,
        prompt_length: int | None = None,
        *,
        kernel_size: int = 4,
        vectors: WordVectors | None = None,
    ):
        super().__init__(observation_space, features_dim, prompt_length)
        if kernel_size < 2:
            raise ValueError(f"kernel_size is {kernel_size}; allowed: 2 or more")
        self.kernel_size = kernel_size
        layers = 1
        while kernel_size**layers < self.window_length + 1:
            layers += 1
        self.embed = TokenEmbedding(self, features_dim, vectors)
        self.embed_norm = nn.LayerNorm(features_dim)
        self.layers = nn.ModuleList(nn.Linear(kernel_size * features_dim, features_dim) for _ in range(layers))
        self.norm = nn.LayerNorm(features_dim)

    def encode(self, tokens: Tensor) -> Tensor:
        ids, columns, places, _ = self.sequences(tokens, align="right")
        keep = (ids != self.pad)[..., None]
        x = self.embed_norm(self.embed(ids, columns, places)) * keep  # (B, n, d)
        for layer in self.layers:
            fill = -x.shape[1] % self.kernel_size
            groups = F.pad(x, (0, 0, fill, 0)).unflatten(1, (-1, self.kernel_size))  # (B, n / k, k, d)
            keep = F.pad(keep, (0, 0, fill, 0)).unflatten(1, (-1, self.kernel_size)).any(2)
            x = (groups[:, :, -1] + F.gelu(layer(groups.flatten(2)))) * keep  # a group without tokens stays zero
        return self.norm(x[:, -1])


class GRUEncoder(TokenEncoder):
    """Gated recurrent units (Cho et al. 2014) over prompt, text and write position; the last hidden state."""

    network: type[nn.RNNBase] = nn.GRU

    def __init__(
        self,
        observation_space: Space,
        features_dim: int = 64,
        prompt_length: int | None = None,
        *,
        layers: int = 1,
        vectors: WordVectors | None = None,
    ):
        super().__init__(observation_space, features_dim, prompt_length)
        self.embed = TokenEmbedding(self, features_dim, vectors)
        self.embed_norm = nn.LayerNorm(features_dim)
        self.rnn = self.network(features_dim, features_dim, num_layers=layers, batch_first=True)

    def encode(self, tokens: Tensor) -> Tensor:
        ids, columns, places, lengths = self.sequences(tokens)
        hidden, _ = self.rnn(self.embed_norm(self.embed(ids, columns, places)))  # (B, n, d)
        return row_of(hidden, lengths - 1)


class LSTMEncoder(GRUEncoder):
    """Long short-term memory (Hochreiter & Schmidhuber 1997) over prompt, text and write position; the last output."""

    network = nn.LSTM


class TransformerEncoder(TokenEncoder):
    """Pre-norm Transformer (Vaswani et al. 2017) over prompt and text, read at a learned query at the write position.

    The last layer attends from that query alone, so a one-layer encoder costs little more than its embeddings.

    Args:
        layers, heads: ``heads`` divides ``features_dim``, the width.
        causal: tokens attend to earlier ones only; the query to all. No difference with one layer.
    """

    def __init__(
        self,
        observation_space: Space,
        features_dim: int = 64,
        prompt_length: int | None = None,
        *,
        layers: int = 1,
        heads: int = 4,
        causal: bool = False,
        vectors: WordVectors | None = None,
    ):
        super().__init__(observation_space, features_dim, prompt_length)
        if layers < 1 or heads < 1 or features_dim % heads:
            raise ValueError(f"layers={layers}, heads={heads}; allowed: layers >= 1, heads that divide {features_dim}")
        self.causal = causal
        self.embed = TokenEmbedding(self, features_dim, vectors)
        self.blocks = nn.ModuleList(TransformerBlock(features_dim, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(features_dim)

    def encode(self, tokens: Tensor) -> Tensor:
        ids, columns, places, lengths = self.sequences(tokens)
        x = self.embed(ids, columns, places)  # (B, n, d)
        keys = (ids != self.pad)[:, None]  # (B, 1, n)
        mask = keys[:, None]
        if self.causal:
            mask = mask & torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        for block in self.blocks[:-1]:
            x = block(x, mask)
        return self.norm(self.blocks[-1].read(x, row_of(x, lengths - 1), keys))


class TransformerBlock(nn.Module):
    """Pre-norm attention and MLP (Xiong et al. 2020): :meth:`forward` for all rows, :meth:`read` for one."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Rows x ``(B, n, d)``; mask ``(B, 1, 1 or n, n)`` bool, True where a key may be seen."""
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (B, h, n, e)
        x = x + self.output(F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))

    def read(self, x: Tensor, row: Tensor, keys: Tensor) -> Tensor:
        """What :meth:`forward` gives at ``row (B, d)`` of x; keys ``(B, 1, n)`` bool, True where a key may be seen.

        Keys and values are never computed: attention is linear in both, so the query goes through the key matrix, and
        the weighted mean of the inputs through the value matrix (the "absorbed" form of DeepSeek-V2, 2024).
        """
        w_q, w_k, w_v = self.qkv.weight.chunk(3)  # (d, d)
        b_q, _, b_v = self.qkv.bias.chunk(3)  # a key bias adds the same to all scores of a head
        x = self.norm1(x)
        q = F.linear(self.norm1(row), w_q, b_q).unflatten(1, (self.heads, -1)).transpose(0, 1)  # (h, B, e)
        q = (q * q.shape[-1] ** -0.5) @ w_k.unflatten(0, (self.heads, -1))  # (h, B, d)
        scores = torch.bmm(q.transpose(0, 1), x.transpose(1, 2))  # (B, h, n)
        mean = torch.bmm(scores.masked_fill(~keys, float("-inf")).softmax(-1), x)  # (B, h, d)
        values = mean.transpose(0, 1) @ w_v.unflatten(0, (self.heads, -1)).transpose(1, 2)  # (h, B, e)
        row = row + self.output(values.transpose(0, 1).flatten(1) + b_v)
        return row + self.mlp(self.norm2(row))


ENCODERS: dict[str, type[TokenEncoder]] = {
    "bag": EmbeddingBagEncoder,
    "conv": ConvEncoder,
    "gru": GRUEncoder,
    "lstm": LSTMEncoder,
    "transformer": TransformerEncoder,
    "pretrained": PretrainedEncoder,
}

_ACTOR_CRITIC = ("a2c", "maskable_ppo", "ppo", "recurrent_ppo", "trpo")
_VALUE_BASED = ("double_dqn", "dqn", "qr_dqn")


def policy_kwargs(encoder: str = "transformer", *, algo: str = "ppo", **encoder_kwargs: Any) -> dict[str, Any]:
    """``policy_kwargs`` for an SB3 or sb3-contrib algorithm: the encoder, and one linear layer from it to each output.

    ``ortho_init=False`` keeps SB3 from overwriting the encoder's linear layers, pretrained ones too; ``net_arch=[]``
    leaves out the two Tanh layers that it puts on top by default.

    Args:
        encoder: a name in :data:`ENCODERS`.
        algo: ppo, a2c, trpo, maskable_ppo, recurrent_ppo, dqn, double_dqn or qr_dqn.
        encoder_kwargs: keywords of the encoder's class; plain values and ``vectors``, since SB3 pickles them into a
            saved agent.

    Raises:
        ValueError: unknown encoder or algorithm.
        TypeError: a keyword that the encoder does not take.

    Example:
        >>> sorted(policy_kwargs("gru", prompt_length=8, algo="dqn"))
        ['features_extractor_class', 'features_extractor_kwargs', 'net_arch']
    """
    encoder_class = ENCODERS[one_of("encoder", encoder, ENCODERS)]
    takes = list(inspect.signature(encoder_class).parameters)[1:]  # not the observation space: SB3 passes it
    for name in encoder_kwargs:
        if name not in takes:
            raise TypeError(str(unknown(f"keyword of encoder {encoder!r}", name, takes)))
    one_of("algo", algo, (*_ACTOR_CRITIC, *_VALUE_BASED))
    kwargs = {"features_extractor_class": encoder_class, "features_extractor_kwargs": encoder_kwargs, "net_arch": []}
    if algo in _ACTOR_CRITIC:
        kwargs |= {"ortho_init": False, "share_features_extractor": True}
    return kwargs
