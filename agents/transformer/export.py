"""A trained network as a folder of Hugging Face transformers: ``python -m agents.transformer.export --checkpoint ...``.

In the folder: config.json, model.safetensors and generation_config.json, the tokenizer, and the value head, which
transformers passes over. ``--network FOLDER`` trains on from there.

- decoder, learned positions: ``GPT2LMHeadModel``; rotary: ``GPTNeoXForCausalLM``. Logits are the same. Its tokens are
  the environment's vocabulary and one more, id V, which is BOS: a text is generated after
  ``[model.config.bos_token_id, *tokenizer(prompt).input_ids]``, and BOS itself never is.
- a model of transformers: as it was given, with the weights that were learnt.
- other networks are not known to transformers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import (
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from agents.cli import command_line
from agents.evaluation import evaluation_env
from agents.transformer.checkpoints import load_policy
from agents.transformer.model import Decoder
from agents.transformer.policy import Policy
from agents.transformer.saved_model import VALUE_HEAD, SavedModel
from textgym.tokenizers import Vocabulary


@dataclass
class ExportArgs:
    """Write a trained network as a folder that transformers loads."""

    checkpoint: Path
    """A file of agents.transformer.train, such as runs/x/best.pt."""
    folder: Path
    """Where to; it is made."""


def export(args: ExportArgs) -> Path:
    """Write the folder.

    Raises:
        FileNotFoundError, ValueError: no checkpoint of the trainer, a network that transformers does not know, a folder
            that has files, an environment whose vocabulary is not that of the checkpoint.
    """
    if args.folder.exists() and (not args.folder.is_dir() or any(args.folder.iterdir())):
        raise ValueError(f"{args.folder} is there already; --folder takes a new or an empty folder")
    policy, config = load_policy(args.checkpoint)
    env = evaluation_env(config["env"], num_envs=1, reward=config["reward"], **config["env_kwargs"])
    if env.vocabulary.fingerprint != config["vocabulary"]:
        raise ValueError(f"{config['env']} has another vocabulary by now than {args.checkpoint} was trained with")
    save_pretrained(policy, env.vocabulary, args.folder)
    return args.folder


def save_pretrained(policy: Policy, vocabulary: Vocabulary, folder: Path) -> None:
    """A policy and its vocabulary as files of transformers.

    Raises:
        ValueError: transformers has no such network.
    """
    model = as_transformers(policy, vocabulary.eos)
    model.save_pretrained(folder)
    eos = vocabulary.tokenizer.id_to_token(vocabulary.eos)
    PreTrainedTokenizerFast(tokenizer_object=vocabulary.tokenizer, eos_token=eos).save_pretrained(folder)
    vocabulary.tokenizer.save(str(folder / "tokenizer.json"))  # as it is: transformers changes some of it
    save_file({name: value.contiguous() for name, value in policy.value.state_dict().items()}, folder / VALUE_HEAD)


def as_transformers(policy: Policy, eos: int) -> PreTrainedModel:
    """The model of transformers with a policy's logits; those of a :class:`Decoder` and of id V, BOS, behind them.

    Raises:
        ValueError: there is none.
    """
    if isinstance(policy, SavedModel):
        return policy.model
    if not isinstance(policy, Decoder):
        raise ValueError(
            f"transformers has no network such as {type(policy).__name__}; a decoder, rotary or learned, and models of "
            "transformers can be exported"
        )
    bos = policy.vocabulary_size
    ids = {"bos_token_id": bos, "eos_token_id": eos, "pad_token_id": eos}
    model = (_gpt_neox if policy.position is None else _gpt2)(policy, ids)
    model.generation_config = GenerationConfig(**ids, suppress_tokens=[bos], do_sample=True, max_length=policy.columns)
    return model.eval()


def _gpt2(policy: Decoder, ids: dict[str, int]) -> GPT2LMHeadModel:
    config, own = policy.config, policy.state_dict()
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocabulary_size + 1,
            n_positions=config.columns,
            n_embd=config.width,
            n_layer=config.layers,
            n_head=config.heads,
            activation_function="gelu",
            layer_norm_epsilon=policy.norm.eps,
            resid_pdrop=config.dropout,
            embd_pdrop=config.dropout,
            attn_pdrop=0.0,
            **ids,
        )
    )
    weights = {"wte.weight": own["embedding.weight"], "wpe.weight": own["position.weight"]}
    weights |= _norms(own, "norm", "ln_f")
    for i in range(config.layers):
        weights |= _norms(own, f"blocks.{i}.norm1", f"h.{i}.ln_1") | _norms(own, f"blocks.{i}.norm2", f"h.{i}.ln_2")
        for ours, theirs in LINEAR_OF_GPT2.items():  # theirs are the other way round
            weights[f"h.{i}.{theirs}.weight"] = own[f"blocks.{i}.{ours}.weight"].T
            weights[f"h.{i}.{theirs}.bias"] = own[f"blocks.{i}.{ours}.bias"]
    model.transformer.load_state_dict(weights)
    return model


def _gpt_neox(policy: Decoder, ids: dict[str, int]) -> GPTNeoXForCausalLM:
    config, own = policy.config, policy.state_dict()
    model = GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=config.vocabulary_size + 1,
            max_position_embeddings=config.columns,
            hidden_size=config.width,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            intermediate_size=4 * config.width,
            hidden_act="gelu",
            layer_norm_eps=policy.norm.eps,
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 1.0},
            use_parallel_residual=False,
            attention_bias=True,
            hidden_dropout=config.dropout,
            attention_dropout=0.0,
            tie_word_embeddings=True,
            **ids,
        )
    )
    weights = {"embed_in.weight": own["embedding.weight"], **_norms(own, "norm", "final_layer_norm")}
    for i in range(config.layers):
        block, layer = f"blocks.{i}.", f"layers.{i}."
        weights |= _norms(own, block + "norm1", layer + "input_layernorm")
        weights |= _norms(own, block + "norm2", layer + "post_attention_layernorm")
        for kind in ("weight", "bias"):
            for ours, theirs in LINEAR_OF_NEOX.items():
                weights[f"{layer}{theirs}.{kind}"] = own[f"{block}{ours}.{kind}"]
            q, k, v = own[block + f"qkv.{kind}"].unflatten(0, (3, config.heads, -1))  # (heads, e, ...) each
            # they rotate the first half of a head against the second, not neighbours, and go head by head
            q, k = (torch.cat([each[:, 0::2], each[:, 1::2]], 1) for each in (q, k))
            qkv = torch.stack([q, k, v])
            weights[layer + f"attention.query_key_value.{kind}"] = qkv.transpose(0, 1).flatten(0, 2)
    model.gpt_neox.load_state_dict(weights)
    return model


LINEAR_OF_GPT2 = {"qkv": "attn.c_attn", "output": "attn.c_proj", "mlp.0": "mlp.c_fc", "mlp.2": "mlp.c_proj"}
LINEAR_OF_NEOX = {"output": "attention.dense", "mlp.0": "mlp.dense_h_to_4h", "mlp.2": "mlp.dense_4h_to_h"}


def _norms(own: dict[str, Tensor], ours: str, theirs: str) -> dict[str, Tensor]:
    return {f"{theirs}.{kind}": own[f"{ours}.{kind}"] for kind in ("weight", "bias")}


def main() -> None:
    """The command line."""
    print(command_line(ExportArgs, export, "python -m agents.transformer.export"))


if __name__ == "__main__":
    main()
