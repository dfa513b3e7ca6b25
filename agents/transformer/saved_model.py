"""What policies over language models of ``transformers`` share: their folders, heads, and texts that go on.

A window is read as ``[BEGIN][prompt][text]`` without the padding; BEGIN is the model's BOS, else EOS, else PAD, if the
kind of the model says nothing else.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import MODEL_FOR_MASKED_LM_MAPPING, AutoConfig, PretrainedConfig
from transformers.cache_utils import DynamicCache

from agents.transformer.policy import Cache, Policy, WholeWindows
from textgym.metrics.pretrained import KINDS, AlignedCache, has_plain_cache, load_model
from textgym.tokenizers import Vocabulary

VALUE_HEAD = "value_head.safetensors"  # beside the model, where a policy was exported


class SavedModel(Policy):
    """A language model of ``transformers`` with a value head on its trunk; its weights are random until :meth:`load`.

    Args:
        vocabulary_size: V; the model may know more tokens, whose logits are cut off.
        columns: of the windows: 1 + prompt_length + budget.
        prompt_length: columns of the prompt.
        model: its config.json, as of :func:`config_of`.
        dropout: probability, wherever the architecture has dropout; in training mode only.

    Raises:
        ValueError: the model knows fewer tokens, or reads shorter texts.
    """

    kind: str  # a key of textgym.metrics.pretrained.KINDS
    begins: tuple[str, ...] = ("bos", "eos", "pad")  # the first of them that it has is BEGIN

    def __init__(
        self,
        vocabulary_size: int,
        columns: int,
        prompt_length: int,
        model: dict[str, Any],
        dropout: float = 0.0,
    ):
        super().__init__()
        config = AutoConfig.for_model(**model)
        for name, value in vars(config).items():
            if "drop" in name and isinstance(value, float):
                setattr(config, name, dropout)
        self.model = self.make(config)
        self.vocabulary_size, self.prompt_length = vocabulary_size, prompt_length
        known = self.model.get_input_embeddings().num_embeddings
        name = f"the {type(self.model).__name__}"
        if known < vocabulary_size:
            raise ValueError(f"{name} knows {known} tokens, the environment's vocabulary has {vocabulary_size}")
        self.columns = self.longest()
        if self.columns is not None and self.columns < columns:
            raise ValueError(
                f"{name} reads windows of {self.columns} columns; BEGIN, prompt and budget of the environment are "
                f"{columns}"
            )
        self.begin = first_id(config, *self.begins)
        self.value = nn.Linear(self.model.get_output_embeddings().in_features, 1)
        nn.init.zeros_(self.value.weight)
        nn.init.zeros_(self.value.bias)

    @abstractmethod
    def make(self, config: PretrainedConfig) -> nn.Module:
        """The model, float32."""

    @abstractmethod
    def longest(self) -> int | None:
        """The longest windows that the model can read; None: no limit."""

    def heads(self, hidden):
        logits = self.model.get_output_embeddings()(hidden)
        if (bias := getattr(self.model, "final_logits_bias", None)) is not None:
            logits = logits + bias[0]
        if cap := getattr(self.model.config.get_text_config(), "final_logit_softcapping", None):
            logits = cap * torch.tanh(logits / cap)
        return logits[..., : self.vocabulary_size], self.value(hidden).squeeze(-1)

    def ids(self, tokens: Tensor) -> Tensor:
        """Tokens as the model knows them: PAD stands where nobody looks."""
        return tokens.masked_fill(tokens == self.vocabulary_size, self.begin)

    def load(self, folder: str) -> None:
        """The weights that are in a folder, those of the value head too where it has them.

        Raises:
            FileNotFoundError, ValueError: as of :func:`textgym.metrics.pretrained.load_model`; the model makes its
                logits in another way than :meth:`heads`, or looks at what it must not see.
        """
        self.model.load_state_dict(self.resized(load_model(self.kind, folder, "cpu")).state_dict())
        if (file := Path(folder) / VALUE_HEAD).exists():
            from safetensors.torch import load_file

            self.value.load_state_dict(load_file(file))
        self.check_outputs(folder)

    def load_trunk(self, folder: str) -> None:
        """The weights of a folder that are needed where nobody asks for logits: by default as :meth:`load`."""
        self.load(folder)

    def resized(self, given: nn.Module) -> nn.Module:
        """A loaded model with as many tokens as this one: a token that it does not know has a random embedding."""
        size = self.model.get_input_embeddings().num_embeddings
        if given.get_input_embeddings().num_embeddings < size:
            given.resize_token_embeddings(size, mean_resizing=False)
        return given

    @torch.no_grad()
    def check_outputs(self, folder: str) -> None:
        """:meth:`compare`, without dropout."""
        training = self.training
        self.eval()
        self.compare(f"the {type(self.model).__name__} in {folder!r}")
        self.train(training)

    @abstractmethod
    def compare(self, name: str) -> None:
        """Raise ``ValueError`` where the outputs are not those of ``name``, the model, by its own ``forward``."""

    def last_attention(self, **read: Tensor) -> Tensor | None:
        """The attention (B, heads, W, W) of the trunk's last layer while it reads; None where it does not tell."""
        usual = self.model.config._attn_implementation
        self.model.set_attn_implementation("eager")  # the faster ones do not tell
        try:
            layers = getattr(self.model.base_model(**read, output_attentions=True), "attentions", None)
        finally:
            self.model.set_attn_implementation(usual)
        return layers[-1] if layers else None

    def _some_tokens(self) -> Tensor:
        """Two windows, int64 (2, C), C at most 3 longer than the shortest; the second prompt is half as long."""
        size = 1 + self.prompt_length + 3
        if self.columns is not None:
            size = min(size, self.columns)
        tokens = torch.arange(2 * size, device=self.device).reshape(2, size) % self.vocabulary_size
        tokens[:, 0] = self.vocabulary_size
        tokens[1, 1 : 1 + self.prompt_length // 2] = self.vocabulary_size
        return tokens


class Autoregressive(SavedModel):
    """A model that reads a text from its left: what was read of one that goes on can be kept."""

    @abstractmethod
    def read(self, tokens: Tensor, keep: bool = False) -> tuple[Tensor, Tensor, Any]:
        """Outputs (B, W, d) of the columns from BEGIN on of windows (B, C), how many columns stand before it, (B,), and
        (``keep``) what is kept of them."""

    @abstractmethod
    def reference(self, tokens: Tensor) -> Tensor:
        """Logits (B, W, .) beside the outputs of :meth:`read`, as the model's own ``forward`` computes them."""

    def compare(self, name):
        tokens = self._some_tokens()[:1]
        changed = tokens.clone()
        changed[0, -1] = (changed[0, -1] + 1) % self.vocabulary_size
        logits, expected = self.heads(self.read(tokens)[0])[0], self.reference(tokens)[..., : self.vocabulary_size]
        near = 1e-3 * expected.abs().max()
        if (logits - expected).abs().max() > near:
            raise ValueError(f"{name} makes its logits in a way that is not known here")
        if (logits - self.heads(self.read(changed)[0])[0])[:, :-1].abs().max() > near:
            raise ValueError(f"{name} looks at the tokens to come: not causal")

    def cache(self, n, columns):
        return (self.rows if self.goes_on else self.without_cache)(n, columns)

    @abstractmethod
    def rows(self, n: int, columns: int) -> Cache:
        """n texts whose keys and values are kept."""

    def without_cache(self, n: int, columns: int) -> Cache:
        """n texts of a model that :meth:`rows` do not fit."""
        return WholeWindows(self, n, columns)

    @cached_property
    def goes_on(self) -> bool:
        """Whether texts of different lengths can go on side by side from their keys and values: it is tried.

        Not where the model cannot be told positions that differ from row to row (BART), or keeps something else.
        """
        if not self.keeps_keys():
            return False
        training = self.training
        self.eval()
        with torch.no_grad():
            equal = self._tried()
        self.train(training)
        return equal

    def keeps_keys(self) -> bool:
        """Whether all layers keep keys and values of all columns, or of a sliding window of them."""
        return has_plain_cache(self.model)

    def _tried(self) -> bool:
        tokens, begin = self._some_tokens(), self.prompt_length
        columns = torch.tensor([begin, tokens.shape[1] - 2], device=self.device)
        rows = torch.arange(2, device=self.device)
        expected = self.hidden(tokens)
        cache = self.rows(2, tokens.shape[1])
        found = [cache.begin(rows, tokens[:, :-1], columns)]
        found.append(cache.append(tokens[rows, columns + 1], columns + 1))
        wanted = [expected[rows, columns], expected[rows, columns + 1]]
        near = 1e-4 * expected.abs().max()
        return all((a - b).abs().max() <= near for a, b in zip(found, wanted, strict=True))


class AlignedRows(Cache):
    """n texts whose columns all end at one, whatever their lengths: see
    :class:`~textgym.metrics.pretrained.AlignedCache`. A token is one forward of one column."""

    def __init__(self, policy: Autoregressive, n: int):
        self.policy = policy
        self.keys = AlignedCache(n)
        self.padding = torch.zeros(n, dtype=torch.long, device=policy.device)  # columns before BEGIN
        self.sizes = torch.zeros(n, dtype=torch.long, device=policy.device)  # columns kept

    def begin(self, rows, tokens, columns):
        x, padding, kept = self.policy.read(tokens, keep=True)
        at = columns - padding
        self.padding[rows], self.sizes[rows] = padding, 0
        size = int(at.max()) + 1
        source = (torch.arange(size, device=at.device) - (size - 1 - at[:, None])).clamp(min=0)  # (k, size)
        read = self.keep(rows, kept)
        for layer in read.layers:
            layer.keys, layer.values = (
                each.gather(2, source[:, None, :, None].expand(-1, each.shape[1], -1, each.shape[3]))
                for each in (layer.keys, layer.values)
            )
        self.keys.put(rows, read, int(self.sizes.max()))
        self.sizes[rows] = at + 1
        return x[torch.arange(len(rows), device=rows.device), at]

    def append(self, tokens, columns):
        sizes = (columns - self.padding).clamp(min=0)  # rows that begin anew are anywhere: nobody looks at them
        most = int(sizes.max())
        self.keys.show(most)
        held = torch.arange(most, -1, -1, device=sizes.device) <= sizes[:, None]  # (n, most + 1)
        x = self.read_next(self.policy.ids(tokens)[:, None], held.long(), sizes[:, None])[:, 0]
        self.sizes = sizes + 1
        return x

    def keep(self, rows: Tensor, kept: Any) -> DynamicCache:
        """The keys and values of the texts, of what the policy keeps of them."""
        return kept

    @abstractmethod
    def read_next(self, ids: Tensor, held: Tensor, positions: Tensor) -> Tensor:
        """Outputs (n, 1, d) of one more token, ids and positions (n, 1); ``held`` (n, C): which columns a text has."""


# -- folders ---------------------------------------------------------------------------------------


def config_of(folder: str) -> tuple[str, dict[str, Any]]:
    """Which kind of policy the model in a folder is, a key of ``agents.transformer.networks.SAVED``, and its
    config.json, JSON values.

    Raises:
        ValueError: there is none.
    """
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        why = str(error).strip().splitlines()[0]
        raise ValueError(f"no model of transformers is in {folder!r} (save_pretrained writes one): {why}") from error
    causal = getattr(config, "is_decoder", False) or saved_by(folder).endswith(KINDS["causal language model"][1])
    if config.is_encoder_decoder:
        kind = "seq2seq_lm"
    elif type(config) in MODEL_FOR_MASKED_LM_MAPPING and not causal:
        kind = "masked_lm"
    else:
        kind = "causal_lm"
    passing = ("transformers_version", "architectures", "dtype", "_name_or_path", "use_cache", "is_encoder_decoder")
    values = json.loads(config.to_json_string())
    return kind, {name: value for name, value in values.items() if name not in passing}


def saved_by(folder: str) -> str:
    """The class that wrote a folder, such as "BertForMaskedLM", as its config.json says; "" where it does not."""
    return (AutoConfig.from_pretrained(folder, local_files_only=True).architectures or [""])[0]


def check_tokenizer(folder: str, vocabulary: Vocabulary) -> None:
    """Raise ``ValueError`` where the tokenizer in a folder, if there is one, is not the environment's vocabulary."""
    if not (Path(folder) / "tokenizer.json").exists():
        return
    theirs, ours = (v.tokenizer.get_vocab() for v in (Vocabulary.load(folder), vocabulary))
    if theirs == ours:
        return
    if len(theirs) != len(ours):
        what = f"the tokenizer in {folder!r} has {len(theirs)} tokens, the environment's vocabulary {len(ours)}"
    else:
        by_id = {i: token for token, i in theirs.items()}
        token, i = next((t, i) for t, i in ours.items() if theirs.get(t) != i)
        what = f"token {i} is {by_id.get(i)!r} in {folder!r}, {token!r} in the environment's vocabulary"
    raise ValueError(f"""{what}; env_kwargs '{{"tokenizer": "{folder}"}}' writes in the folder's""")


def first_id(config: PretrainedConfig, *names: str) -> int:
    """The first of a config's token ids that is a token, such as "bos" for ``bos_token_id``; 0 where none is."""
    config = config.get_text_config()
    for name in names:
        given = getattr(config, f"{name}_token_id", None)
        if isinstance(given, list) and given:
            given = given[0]
        if isinstance(given, int) and 0 <= given < config.vocab_size:  # GPT-2's are 50256, if nobody says another
            return given
    return 0
