"""Any encoder-decoder language model of ``transformers`` as a policy: T5, BART, ..."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoModelForSeq2SeqLM
from transformers.cache_utils import DynamicCache, DynamicLayer, EncoderDecoderCache

from agents.transformer.layout import Compact
from agents.transformer.policy import Cache
from agents.transformer.saved_model import AlignedRows, Autoregressive, first_id
from textgym.metrics.pretrained import longest


class Seq2SeqLM(Autoregressive):
    """The encoder reads the prompt and EOS, the decoder BEGIN (its start token) and the text.

    While a text is written its prompt is encoded once, and the keys and values of both attentions are kept. Columns
    before the text have outputs of 0. See :class:`Autoregressive`.
    """

    kind = "encoder-decoder model"

    begins = ("decoder_start", "bos", "pad")

    def make(self, config):
        self.end = first_id(config, "eos", "sep", "pad")  # of prompts
        self.scale = config.d_model**-0.5 if getattr(config, "scale_decoder_outputs", False) else 1.0  # T5
        return AutoModelForSeq2SeqLM.from_config(config).float()

    def longest(self):
        limit = longest(self.model)
        if limit is None:
            return None
        if limit < self.prompt_length + 1:
            raise ValueError(
                f"the {type(self.model).__name__} encodes {limit} tokens; prompt and EOS of the environment are "
                f"{self.prompt_length + 1}"
            )
        return self.prompt_length + limit

    def hidden(self, tokens):
        return F.pad(self.read(tokens)[0], (0, 0, self.prompt_length, 0))

    def read(self, tokens, keep=False):
        seen = self.encode(tokens)
        ids, kept = self.texts(tokens), EncoderDecoderCache(DynamicCache(), DynamicCache()) if keep else None
        padding = torch.full((len(tokens),), self.prompt_length, device=tokens.device)
        return self.decode(ids, torch.ones_like(ids), *seen, kept), padding, (kept, *seen)

    def encode(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """What the encoder says of the prompts of windows, (B, prompt_length + 1, d), and where it says something."""
        layout = Compact(tokens[:, : 1 + self.prompt_length], self.vocabulary_size, self.prompt_length)
        sizes = self.prompt_length - layout.padding[:, None]
        ids = F.pad(layout.tokens[:, 1:], (0, 1 + self.prompt_length - (layout.tokens.shape[1] - 1)), value=self.end)
        columns = torch.arange(1 + self.prompt_length, device=tokens.device)
        ids, mask = ids.masked_fill(columns >= sizes, self.end), (columns <= sizes).long()
        return self.model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state, mask

    def texts(self, tokens: Tensor) -> Tensor:
        """What the decoder reads of windows: BEGIN and the text."""
        ids = self.ids(tokens[:, self.prompt_length :])
        ids[:, 0] = self.begin
        return ids

    def decode(self, ids: Tensor, held: Tensor, encoded: Tensor, mask: Tensor, cache=None) -> Tensor:
        """Outputs (B, W, d) of what the decoder reads, ids (B, W)."""
        return (
            self.scale
            * self.model.get_decoder()(
                input_ids=ids,
                attention_mask=held,
                encoder_hidden_states=encoded,
                encoder_attention_mask=mask,
                past_key_values=cache,
                use_cache=cache is not None,
            ).last_hidden_state
        )

    def reference(self, tokens):
        encoded, mask = self.encode(tokens)
        ids = self.texts(tokens)
        return self.model(
            encoder_outputs=(encoded,), attention_mask=mask, decoder_input_ids=ids, use_cache=False
        ).logits

    def rows(self, n, columns):
        return Seq2SeqRows(self, n)

    def without_cache(self, n, columns):
        return EncodedPrompts(self, n, columns)

    def keeps_keys(self):
        return True


class Seq2SeqRows(AlignedRows):
    """n texts of a :class:`Seq2SeqLM`: keys and values of the texts, and those of the prompts."""

    def __init__(self, policy: Seq2SeqLM, n: int):
        super().__init__(policy, n)
        self.prompts = DynamicCache()
        self.encoded: Tensor | None = None
        self.mask = torch.ones(n, policy.prompt_length + 1, dtype=torch.long, device=policy.device)

    def keep(self, rows, kept):
        cache, encoded, self.mask[rows] = kept
        if self.encoded is None:
            n = len(self.mask)
            self.encoded = encoded.new_zeros(n, *encoded.shape[1:])  # read no more, but it has to be there
            for layer in cache.cross_attention_cache.layers:
                own = DynamicLayer()
                own.keys, own.values = (each.new_zeros(n, *each.shape[1:]) for each in (layer.keys, layer.values))
                own.is_initialized = True
                self.prompts.layers.append(own)
        for own, layer in zip(self.prompts.layers, cache.cross_attention_cache.layers, strict=True):
            own.keys[rows], own.values[rows] = layer.keys, layer.values
        return cache.self_attention_cache

    def read_next(self, ids, held, positions):
        cache = EncoderDecoderCache(self.keys, self.prompts)  # finds out that the prompts are there
        return self.policy.decode(ids, held, self.encoded, self.mask, cache)


class EncodedPrompts(Cache):
    """n texts whose prompts are encoded once; the decoder reads the whole text at every token."""

    def __init__(self, policy: Seq2SeqLM, n: int, columns: int):
        self.policy = policy
        device = policy.device
        self.tokens = torch.full((n, columns), policy.vocabulary_size, device=device)
        self.encoded = torch.zeros(n, policy.prompt_length + 1, policy.model.config.hidden_size, device=device)
        self.mask = torch.ones(n, policy.prompt_length + 1, dtype=torch.long, device=device)
        self.rows = torch.arange(n, device=device)

    def begin(self, rows, tokens, columns):
        self.tokens[rows, : tokens.shape[1]] = tokens
        self.encoded[rows], self.mask[rows] = self.policy.encode(tokens)
        return self._outputs(rows, columns)

    def append(self, tokens, columns):
        self.tokens[self.rows, columns] = tokens
        return self._outputs(self.rows, columns.clamp(min=self.policy.prompt_length))

    def _outputs(self, rows: Tensor, columns: Tensor) -> Tensor:
        ids = self.policy.texts(self.tokens[rows, : int(columns.max()) + 1])
        x = self.policy.decode(ids, torch.ones_like(ids), self.encoded[rows], self.mask[rows])
        return x[torch.arange(len(rows), device=rows.device), columns - self.policy.prompt_length]
