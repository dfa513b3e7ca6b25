"""Any bidirectional encoder of ``transformers`` as a policy: BERT, RoBERTa, DistilBERT, ..."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForMaskedLM

from agents.transformer.encoder import ReadAnew
from agents.transformer.layout import attention_in_columns
from agents.transformer.saved_model import SavedModel, saved_by
from textgym.metrics.pretrained import KINDS, load_model, load_tokenizer, longest


class MaskedLM(SavedModel, ReadAnew):
    """Reads ``[CLS]``, prompt, text and ``[MASK]``, anew at every token, and no ``[SEP]``.

    See :class:`SavedModel` and :class:`~agents.transformer.encoder.ReadAnew`. ``[CLS]`` is the ``cls_token_id`` of the
    config, which :func:`with_special_ids` puts there, else BOS, else PAD. Outputs are what the last layer of the
    masked-language-model head reads: where a folder has no such head (:meth:`load_trunk`), one layer on the trunk is
    new, as in a classifier.
    """

    kind = "masked language model"
    begins = ("cls", "bos", "pad")

    def make(self, config):
        self.mask = getattr(config, "mask_token_id", None)
        return AutoModelForMaskedLM.from_config(config).float()

    def longest(self):
        limit = longest(self.model)
        return None if limit is None else limit - (self.mask is not None)

    def look(self, ids, seen):
        read = []

        def keep(_, given):
            read.append(given[0])
            return (given[0][:, :0],)  # no logits: those of some columns only are asked for

        hook = self.model.get_output_embeddings().register_forward_pre_hook(keep)
        try:
            self.model(input_ids=ids, attention_mask=seen.long())
        finally:
            hook.remove()
        if not read:
            raise ValueError(f"the {type(self.model).__name__} makes its logits in a way that is not known here")
        return read[0]

    def attention(self, tokens, columns):
        """As of :class:`~agents.transformer.policy.Policy`, the look at ``[MASK]`` itself left out."""
        ids, seen, last, padding = self.prefixes(tokens, torch.arange(len(tokens), device=tokens.device), columns)
        found = self.last_attention(input_ids=ids, attention_mask=seen.long())
        if found is None:
            return super().attention(tokens, columns)
        looks = found[torch.arange(len(ids), device=ids.device), :, last].mean(1)  # (B, W)
        places = torch.arange(looks.shape[1], device=ids.device)
        looks = looks.masked_fill(places >= last[:, None] + (self.mask is None), 0.0)
        looks = torch.nn.functional.pad(looks, (0, max(0, tokens.shape[1] - looks.shape[1])))
        return attention_in_columns(looks / looks.sum(1, keepdim=True), padding, tokens.shape[1])

    def load(self, folder):
        if not self.has_head(folder):
            raise ValueError(
                f"no {self.kind} is in {folder!r}: it holds a {saved_by(folder)}, which predicts no tokens; a reward "
                "model can be trained over it, a policy needs a ...ForMaskedLM"
            )
        super().load(folder)

    def load_trunk(self, folder):
        if self.has_head(folder):
            self.load(folder)
            return
        weights = self.resized(load_model("text encoder", folder, "cpu")).state_dict()
        own = self.model.base_model.state_dict()
        self.model.base_model.load_state_dict({name: weights[name] for name in own})  # without the pooler
        self.check_outputs(folder)

    def has_head(self, folder: str) -> bool:
        """Whether a folder may have the weights of the head, of which its config.json tells."""
        saved = saved_by(folder)
        return not saved or saved.endswith(KINDS[self.kind][1])

    def compare(self, name):
        tokens, rows = self._some_tokens(), torch.arange(2, device=self.device)
        columns = torch.tensor([self.prompt_length, tokens.shape[1] - 1], device=self.device)
        logits = self.heads(self.outputs(tokens, rows, columns))[0]
        for row in rows:  # each without the padding that the other asks for
            ids, seen, last, _ = self.prefixes(tokens, rows[row : row + 1], columns[row : row + 1])
            expected = self.model(input_ids=ids, attention_mask=seen.long()).logits[0, last[0], : self.vocabulary_size]
            if (logits[row] - expected).abs().max() > 1e-3 * expected.abs().max():
                raise ValueError(f"{name} makes its logits in a way that is not known here, or looks at padding")


def with_special_ids(folder: str, model: dict[str, Any], vocabulary_size: int) -> dict[str, Any]:
    """The config.json of the model in a folder with ``cls_token_id`` and ``mask_token_id`` as the tokenizer there has
    them, and with one token more where the vocabulary has: the EOS that most tokenizers of encoders lack."""
    if not (Path(folder) / "tokenizer.json").exists():
        return model
    tokenizer = load_tokenizer(folder)
    ids = {name: getattr(tokenizer, name) for name in ("cls_token_id", "mask_token_id")}
    size = model["vocab_size"] + (vocabulary_size == model["vocab_size"] + 1)
    return {**model, **{name: i for name, i in ids.items() if i is not None}, "vocab_size": size}
