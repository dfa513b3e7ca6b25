"""Any ``transformers`` model on disk as a token encoder."""

from __future__ import annotations

from pathlib import Path

import torch
from gymnasium.spaces import Space
from torch import Tensor, nn
from torch.nn import functional as F

from textgym.sb3.token_encoder import TokenEncoder, row_of


class PretrainedEncoder(TokenEncoder):
    """A ``transformers`` model from disk, read at the last token; plus a learned vector of the write position, first 0.

    Token ids go to the model as they are: the environment's vocabulary must be the model's. In an encoder-decoder model
    the encoder gets the prompt, the decoder the text. The model stays in eval mode: dropout would put noise into PPO's
    probability ratios. A saved agent loads the model from ``path`` again before it gets its own weights back.

    Args:
        features_dim: None for the model's hidden size; else a linear layer maps to it.
        path: a folder written by ``save_pretrained``.
        frozen: do not train the model's own weights.

    Raises:
        FileNotFoundError: no folder at ``path``.
        ImportError: ``transformers`` is not installed.
        ValueError: the model knows fewer tokens than the environment; an encoder-decoder model without a prompt length.
    """

    def __init__(
        self,
        observation_space: Space,
        features_dim: int | None = None,
        prompt_length: int | None = None,
        *,
        path: str,
        frozen: bool = False,
    ):
        try:
            from transformers import AutoModel
        except ImportError as error:
            raise ImportError('PretrainedEncoder needs transformers: pip install "textgym[transformers]"') from error
        if not Path(path).is_dir():
            raise FileNotFoundError(f"no folder {str(path)!r}; a model's save_pretrained(path) writes one")
        model = AutoModel.from_pretrained(path).float().requires_grad_(not frozen)
        config = model.config
        super().__init__(observation_space, features_dim or config.hidden_size, prompt_length)
        if (known := model.get_input_embeddings().num_embeddings) < self.pad:
            raise ValueError(f"the environment has {self.pad} tokens, the model in {str(path)!r} only {known}")
        if config.is_encoder_decoder and not prompt_length:
            raise ValueError(f"prompt_length is {prompt_length}; allowed for an encoder-decoder model: 1 or more")
        config.use_cache = False
        # begins a decoder's text, and stands where there is no token
        ids = (getattr(config, f"{name}_token_id", None) for name in ("decoder_start", "bos", "eos", "pad"))
        self.begin = next((i for i in ids if isinstance(i, int)), 0)
        self.model, self.frozen = model.eval(), frozen
        self.column = nn.Embedding(self.window_length + 1, config.hidden_size)
        nn.init.zeros_(self.column.weight)
        self.output = nn.Identity() if features_dim is None else nn.Linear(config.hidden_size, features_dim)

    def train(self, mode: bool = True) -> PretrainedEncoder:
        super().train(mode)
        self.model.eval()
        return self

    def encode(self, tokens: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            hidden = self._decode(tokens) if self.model.config.is_encoder_decoder else self._read(tokens)
        return self.output(hidden + self.column(self.write_position(tokens)))

    def _read(self, tokens: Tensor) -> Tensor:
        ids, mask, lengths = self._model_inputs(tokens)
        hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state  # (B, n, hidden)
        return row_of(hidden, (lengths - 2).clamp(min=0))

    def _decode(self, tokens: Tensor) -> Tensor:
        in_prompt = torch.arange(self.window_length, device=tokens.device) < self.prompt_length
        ids, mask, _ = self._model_inputs(tokens.masked_fill(~in_prompt, self.pad))
        text, _, lengths = self._model_inputs(tokens.masked_fill(in_prompt, self.pad))
        text = F.pad(text, (1, -1), value=self.begin)  # token t is read at t + 1
        hidden = self.model(input_ids=ids, attention_mask=mask, decoder_input_ids=text).last_hidden_state
        return row_of(hidden, lengths - 1)

    def _model_inputs(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Padded on the right, so that positions count from the first token in every kind of model."""
        ids, _, _, lengths = self.sequences(tokens)
        mask = ids < self.pad
        mask[:, 0] = True
        return ids.masked_fill(ids >= self.pad, self.begin), mask.long(), lengths
