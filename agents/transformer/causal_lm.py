"""Any causal language model of ``transformers`` as a policy: GPT-2, Llama, ..."""

from __future__ import annotations

import torch
from transformers import AutoModelForCausalLM
from transformers.cache_utils import DynamicCache

from agents.transformer.layout import Compact, attention_in_columns
from agents.transformer.saved_model import AlignedRows, Autoregressive
from textgym.metrics.pretrained import longest


class CausalLM(Autoregressive):
    """Reads BEGIN, prompt and text as one text, each row without its padding; see :class:`Autoregressive`."""

    kind = "causal language model"

    def make(self, config):
        return AutoModelForCausalLM.from_config(config).float()

    def longest(self):
        return longest(self.model)

    def hidden(self, tokens):
        layout = Compact(tokens, self.vocabulary_size, self.prompt_length)
        return layout.spread(self._read(layout)[0])

    def read(self, tokens, keep=False):
        layout = Compact(tokens, self.vocabulary_size, self.prompt_length)
        x, kept = self._read(layout, keep)
        return x, layout.padding, kept

    def _read(self, layout: Compact, keep: bool = False):
        ids = self.ids(layout.tokens)
        kept = DynamicCache() if keep else None  # without a config: it keeps what a sliding window leaves behind, too
        # what stands behind a text is not seen by it: there is nothing to mask
        cache = {"past_key_values": kept, "use_cache": True} if keep else {"use_cache": False}
        x = self.model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids), **cache).last_hidden_state
        return x, kept

    def attention(self, tokens, columns):
        layout = Compact(tokens, self.vocabulary_size, self.prompt_length)
        ids = self.ids(layout.tokens)
        found = self.last_attention(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
        if found is None:
            return super().attention(tokens, columns)
        rows = torch.arange(len(ids), device=ids.device)
        looks = found[rows, :, columns - layout.padding].mean(1)  # (B, W)
        return attention_in_columns(looks, layout.padding, tokens.shape[1])

    def reference(self, tokens):
        ids = self.ids(Compact(tokens, self.vocabulary_size, self.prompt_length).tokens)
        return self.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits

    def rows(self, n, columns):
        return CausalRows(self, n)


class CausalRows(AlignedRows):
    """n texts of a :class:`CausalLM`."""

    def read_next(self, ids, held, positions):
        return self.policy.model.base_model(
            input_ids=ids, attention_mask=held, position_ids=positions, past_key_values=self.keys, use_cache=True
        ).last_hidden_state
