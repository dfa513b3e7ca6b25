"""Every network of the Transformer trainer, small: those built in, models of transformers on disk, one of a user's."""

import pytest
import torch
import transformers
from torch import nn

from agents.transformer.networks import SAVED, make_policy
from agents.transformer.policy import Policy, windows

PROMPT, BUDGET, V = 7, 12, 20
WIDER = 5  # columns more of padding that a prompt may have

SMALL = {"vocab_size": 23, "hidden_size": 16, "num_attention_heads": 4, "num_hidden_layers": 2}
SMALL |= {"intermediate_size": 16, "max_position_embeddings": 40, "initializer_range": 0.3}
SMALL |= {"bos_token_id": 21, "eos_token_id": 19, "pad_token_id": 22}
OF_BART = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2}
OF_BART |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "decoder_start_token_id": 21}
OF_BART |= {"init_std": 0.3}
OF_T5 = {
    "vocab_size": 23,
    "d_model": 16,
    "d_kv": 4,
    "d_ff": 16,
    "num_layers": 2,
    "num_heads": 4,
    "initializer_factor": 1.5,
}
OF_T5 |= {"relative_attention_num_buckets": 8, "relative_attention_max_distance": 12, "dropout_rate": 0.1}
OF_T5 |= {"bos_token_id": None, "eos_token_id": 19, "pad_token_id": 22, "decoder_start_token_id": 22}
MODELS = {
    "gpt2": lambda: transformers.GPT2Config(**SMALL),
    "llama": lambda: transformers.LlamaConfig(**SMALL, num_key_value_heads=2),
    "gemma": lambda: transformers.Gemma2Config(
        **SMALL, num_key_value_heads=1, head_dim=4, sliding_window=4, final_logit_softcapping=2.0
    ),
    "opt": lambda: transformers.OPTConfig(**SMALL, ffn_dim=16, word_embed_proj_dim=16),
    "bloom": lambda: transformers.BloomConfig(**SMALL, n_head=4, n_layer=2),
    "mamba": lambda: transformers.MambaConfig(**SMALL, state_size=4),
    "t5": lambda: transformers.T5Config(**OF_T5),
    "t5 1.1": lambda: transformers.T5Config(
        **{**OF_T5, "initializer_factor": 0.3}, feed_forward_proj="gated-gelu", tie_word_embeddings=False
    ),
    "bart": lambda: transformers.BartConfig(**{**SMALL, **OF_BART}),
    "bert": lambda: transformers.BertConfig(**SMALL, cls_token_id=21, mask_token_id=20),
    "roberta": lambda: transformers.RobertaConfig(**SMALL | {"pad_token_id": 1}, mask_token_id=20),
    "distilbert": lambda: transformers.DistilBertConfig(
        vocab_size=23, dim=16, hidden_dim=16, n_heads=4, n_layers=2, max_position_embeddings=40, initializer_range=0.3
    ),
}
MASKED = ("bert", "roberta", "distilbert")  # the last one without [MASK]
LOADERS = {"causal_lm": "CausalLM", "seq2seq_lm": "Seq2SeqLM", "masked_lm": "MaskedLM"}
BUILT_IN = {
    "decoder": {"kind": "decoder", "width": 32, "columns": 40},
    "decoder, learned": {"kind": "decoder", "width": 32, "columns": 40, "positions": "learned"},
    "lstm": {"kind": "lstm", "width": 32},
    "encoder": {"kind": "encoder", "width": 32, "columns": 40},
    "encoder, learned": {"kind": "encoder", "width": 32, "columns": 40, "positions": "learned"},
    "encoder_decoder": {"kind": "encoder_decoder", "width": 32, "columns": 40},
    "encoder_decoder, learned": {"kind": "encoder_decoder", "width": 32, "columns": 40, "positions": "learned"},
    "own": {"kind": "networks:Recurrent"},
}
NETWORKS = [*BUILT_IN, *MODELS]
AGAIN = (
    "gemma",
    "opt",
    "bloom",
    "mamba",
    "t5 1.1",
    "bart",
    "roberta",
    "distilbert",
)  # of families that others stand for where time is short


def mostly(names):
    """For ``parametrize``: those that stand for others are always tested, the rest with -m slow."""
    return [pytest.param(name, marks=pytest.mark.slow) if name in AGAIN else name for name in names]


class Recurrent(Policy):
    """A network of a user's own: no cache, and nothing said of positions, so that padding counts."""

    def __init__(self, vocabulary_size, width=16):
        super().__init__()
        self.vocabulary_size = vocabulary_size
        self.embedding = nn.Embedding(vocabulary_size + 1, width)
        self.rnn = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, vocabulary_size + 1)

    def hidden(self, tokens):
        return self.rnn(self.embedding(tokens))[0]

    def heads(self, hidden):
        return self.out(hidden)[..., :-1], self.out(hidden)[..., -1]


class NeedsMore(Recurrent):
    """It cannot be had by name."""

    def __init__(self, vocabulary_size, depth):
        super().__init__(vocabulary_size, depth)


def kind_of(name):
    """What a model's policy is called; ``LOADERS`` has the class of transformers that it is of."""
    if name in MASKED:
        return "masked_lm"
    return "seq2seq_lm" if MODELS[name]().is_encoder_decoder else "causal_lm"


def described(name, vocabulary_size=V, prompt_length=PROMPT, budget=BUDGET):
    """What describes a network in a checkpoint."""
    if name in MODELS:
        config = MODELS[name]()
        values = {k: v for k, v in config.to_dict().items() if k != "dtype"}
        kind = kind_of(name)
        description = {"kind": kind, "model": values, "columns": 1 + prompt_length + budget}
    else:
        description = dict(BUILT_IN[name])
    description["vocabulary_size"] = vocabulary_size
    if description["kind"] in ("lstm", "encoder", "encoder_decoder", *SAVED):
        description["prompt_length"] = prompt_length
    return description


def make(name, seed=0, **sizes):
    """A network in evaluation mode, whose values are not 0."""
    torch.manual_seed(seed)
    policy = make_policy(described(name, **sizes)).eval()
    for parameter in policy.parameters():
        if name in BUILT_IN and parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.2)  # as initialised, little depends on the text
    if name != "own":
        nn.init.normal_(policy.value.weight)
    return policy


def prompts(n, generator, prompt_length=PROMPT):
    """Windows (n, C) with prompts of random lengths, empty ones among them, and no text."""
    observations = torch.full((n, prompt_length + BUDGET), V)
    for row in observations:
        size = int(torch.randint(0, PROMPT + 1, (), generator=generator))
        row[prompt_length - size : prompt_length] = torch.randint(0, V, (size,), generator=generator)
    return windows(observations, V)


def same(a, b):
    """Whether two trees of tensors and values are equal, bit for bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[name], b[name]) for name in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b
