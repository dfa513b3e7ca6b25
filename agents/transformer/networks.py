"""Every network by name: what a run's settings say, as a dict of JSON values, and the policy that such a dict makes.

``--network`` is one of ``BUILT_IN``, a folder that ``save_pretrained`` of ``transformers`` wrote, or
``package.module:Class``, a :class:`~agents.transformer.policy.Policy` of one's own (docs/policies.md). A network is
given what its constructor names of ``OF_ENV`` and ``SIZES``.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agents.transformer.encoder import Encoder, EncoderConfig
from agents.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from agents.transformer.lstm import LSTM, LSTMConfig
from agents.transformer.model import Decoder, DecoderConfig
from agents.transformer.policy import Policy
from textgym.errors import did_you_mean, load_object

BUILT_IN = {
    "decoder": (Decoder, DecoderConfig),
    "lstm": (LSTM, LSTMConfig),
    "encoder": (Encoder, EncoderConfig),
    "encoder_decoder": (EncoderDecoder, EncoderDecoderConfig),
}
# of transformers, which is loaded where it is used
SAVED = {
    "causal_lm": "agents.transformer.causal_lm:CausalLM",
    "seq2seq_lm": "agents.transformer.seq2seq_lm:Seq2SeqLM",
    "masked_lm": "agents.transformer.masked_lm:MaskedLM",
}
BIDIRECTIONAL = ("encoder", "masked_lm")
OF_ENV = ("vocabulary_size", "columns", "prompt_length")
SIZES = ("layers", "width", "heads", "positions", "dropout")


def check_network(network: str) -> None:
    """Raise ``ValueError`` where ``network`` is no name, no folder and no ``package.module:Class``."""
    if network in BUILT_IN or Path(network).is_dir():
        return
    if ":" in network:
        _own(network)
        return
    if os.sep in network:
        raise ValueError(f"there is no folder {network!r}; save_pretrained of transformers writes one")
    raise ValueError(
        f"unknown network {network!r}.{did_you_mean(network, BUILT_IN)} Allowed: {', '.join(BUILT_IN)}, a folder of a "
        "transformers model, or package.module:Class."
    )


def describe(network: str, env, sizes: Mapping[str, Any]) -> dict[str, Any]:
    """A network for an environment: ``{"kind": ..., ...}``, from which :func:`make_policy` makes it again.

    Args:
        network: what :func:`check_network` lets pass.
        env: has a vocabulary, a prompt length and a budget.
        sizes: of ``SIZES``; None: what the network has itself.

    Raises:
        ValueError: a size that the network does not have; a folder without a model, or whose tokenizer is not the
            environment's vocabulary.
    """
    kind, more = network, {}
    if network not in BUILT_IN and Path(network).is_dir():
        from agents.transformer.saved_model import check_tokenizer, config_of

        kind, model = config_of(network)
        check_tokenizer(network, env.vocabulary)
        if kind == "masked_lm":
            from agents.transformer.masked_lm import with_special_ids

            model = with_special_ids(network, model, env.vocabulary.size)
        more = {"model": model}
    takes = inspect.signature(_factory(kind)[0]).parameters
    given = {name: value for name, value in sizes.items() if value is not None}
    for name, value in given.items():
        if name not in takes:
            own = ", ".join(size for size in SIZES if size in takes) or "no sizes"
            raise ValueError(f"{name}={value}: the network {network!r} has no {name}; it takes {own}")
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    required = {name for name, p in takes.items() if p.default is p.empty and p.kind not in variable}
    known = {
        **{name: takes[name].default for name in SIZES if name in takes and name not in required},
        "vocabulary_size": env.vocabulary.size,
        "columns": 1 + env.prompt_length + env.budget,
        "prompt_length": env.prompt_length,
        **given,
        **more,
    }
    described = {name: value for name, value in known.items() if name in takes}
    if missing := ", ".join(name for name in takes if name in required and name not in described):
        raise ValueError(f"the network {network!r} needs {missing}, but is given {', '.join((*OF_ENV, *given))}")
    return {"kind": kind, **described}


def make_policy(description: Mapping[str, Any], folder: str | None = None) -> Policy:
    """The policy that :func:`describe` describes; its weights are random, or those of the model in ``folder``.

    Raises:
        ValueError: sizes that cannot be, or are not the environment's; a folder without such a model.
    """
    sizes = dict(description)
    policy = _factory(sizes.pop("kind"))[1](**sizes)
    if folder is not None:
        policy.load(folder)
    return policy


def folder_of(network: str) -> str | None:
    """``network`` where it is a folder."""
    return network if network not in BUILT_IN and Path(network).is_dir() else None


def _factory(kind: str) -> tuple[Callable[..., Any], Callable[..., Policy]]:
    """What has a network's sizes as parameters, and what makes it of them."""
    if kind in BUILT_IN:
        network, config = BUILT_IN[kind]
        return config, lambda **sizes: network(config(**sizes))
    own = load_object(SAVED[kind]) if kind in SAVED else _own(kind)
    return own, own


def _own(path: str) -> type[Policy]:
    """A user's class."""
    own = load_object(path)
    if not (isinstance(own, type) and issubclass(own, Policy)):
        raise ValueError(f"{path!r} is no network: a class that extends agents.transformer.policy.Policy is")
    return own
