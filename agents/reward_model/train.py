"""Train a reward model: ``python -m agents.reward_model.train --store feedback.db --env Spelling-v0``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from tqdm import tqdm

from agents.cli import Json, command_line, making
from agents.evaluation import evaluation_env
from agents.feedback.sample import task_name
from agents.feedback.store import Store
from agents.feedback.summary import oddities, summary
from agents.files import replacing, write_json
from agents.reward_model.judged import Judged, read_store
from agents.reward_model.network import ScoreNetwork
from agents.reward_model.report import figure, held_out, markdown
from agents.reward_model.scorer import Scorer, save
from agents.reward_model.training import Fitting, fit_member, score_at
from agents.transformer.checkpoints import read_checkpoint
from agents.transformer.networks import BIDIRECTIONAL, SIZES, check_network, describe, folder_of
from textgym.errors import usable_device, whole_number
from textgym.registration import full_id
from textgym.rewards.base import number


@dataclass
class RewardArgs:
    """Train an ensemble of reward models on the judgements of a store: comparisons, ratings and marks, of whole texts
    and of random prefixes."""

    store: Path
    """The file with the judgements."""
    env: str
    """The environment's id, with or without textgym/."""
    env_kwargs: Json = None
    """Other keywords of the environment, as JSON."""
    task: str | None = None
    """What the store calls the task; by default what agents.feedback sample calls it."""
    folder: Path = Path("runs/reward")
    """Where reward.pt, report.json, report.md and report.png go."""
    overwrite: bool = False
    """Replace a reward.pt that is there."""

    network: Annotated[str, tyro.conf.arg(metavar="NAME|FOLDER|MODULE:CLASS")] = "decoder"
    """decoder, lstm, encoder, encoder_decoder, a folder of transformers, or your own: package.module:Class."""
    init: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Begin with the network of this policy, a .pt of agents.transformer.train, and with what it finds likely."""
    layers: int | None = None
    """Layers of the network."""
    width: int | None = None
    """Its width."""
    heads: int | None = None
    """Attention heads a layer."""
    positions: str | None = None
    """How positions are told: rotary or learned."""
    dropout: float | None = None
    """Probability."""

    members: int = 3
    """Networks of the ensemble, each of another seed, trained on a bootstrap sample."""
    epochs: int = 20
    """At most: a member stops when it gets worse on what it did not draw. 0: it stays as it begins."""
    batch: int = 32
    """Judgements of a step."""
    learning_rate: float = 1e-3
    """Of AdamW."""
    weight_decay: float = 0.01
    """Of AdamW."""
    prefix_weight: float = 0.5
    """Share of the loss that is about random prefixes."""
    held_out: float = 0.2
    """Share of the prompts that is held out, with all that was judged of them."""
    halvings: int = 3
    """Also train one member each on 1/2, 1/4, ... of the judgements, to see what more of them would bring."""
    seed: int = 0
    """Seed of the first member."""
    device: str = "auto"
    """Where the networks live: auto, cpu, cuda."""
    threads: int = 1
    """Threads of PyTorch on the CPU."""
    progress: bool = True
    """Show a progress bar."""


def train(args: RewardArgs) -> dict[str, Any]:
    """Train, report, save.

    Returns:
        report.json: ``config``, ``counts``, ``texts``, ``held_out``, ``left_out``, ``annotators`` (whose answers are
        odd, in words), and ``curve``, what :func:`~agents.reward_model.report.held_out` finds after training on fewer
        judgements first, the ensemble last.

    Raises:
        ValueError: a setting that cannot be; nothing to learn from; a reward.pt that is there.
        FileNotFoundError: no such store, or policy.
        FloatingPointError: a loss that is no finite number.
    """
    _check(args)
    torch.set_num_threads(args.threads)
    device, id, env_kwargs = usable_device(args.device), full_id(args.env), dict(args.env_kwargs or {})
    with making(f"{id} with env_kwargs {env_kwargs}"):
        env = evaluation_env(id, "train", num_envs=1, **env_kwargs)
    task = task_name(id, env_kwargs) if args.task is None else args.task
    with Store(args.store, create=False) as store:
        judged, odd = read_store(store, task, env, args.held_out), oddities(summary(store))
    weights = None
    if args.init is None:
        architecture = describe(args.network, env, {name: getattr(args, name) for name in SIZES})
    else:
        architecture, weights = _of_policy(args, env)
    config = {
        "env": id,
        "env_kwargs": env_kwargs,
        "task": task,
        "architecture": architecture,
        "text_begins": _text_begins(env, architecture) if weights is not None else None,
        "vocabulary": env.vocabulary.fingerprint,
        "prompt_length": env.prompt_length,
        "budget": env.budget,
        "data": judged.fingerprint,
        **{name: getattr(args, name) for name in ("members", "held_out", "seed", "init")},
        **{name: getattr(args, name) for name in ("epochs", "batch", "learning_rate", "weight_decay", "prefix_weight")},
    }
    config = json.loads(json.dumps(config, default=str))
    kept, out = (np.flatnonzero(each) for each in (~judged.held, judged.held))
    order = np.random.default_rng([args.seed, 3]).permutation(kept)
    # one member of each of the smaller sets, then those of the ensemble
    sizes = [size for size in (len(kept) >> i for i in range(args.halvings, 0, -1)) if size >= 8]
    fitting = Fitting(args.epochs, args.batch, args.learning_rate, args.weight_decay, args.prefix_weight)
    curve, members = [], []
    fits = len(sizes) + args.members
    with tqdm(total=fits * args.epochs, unit="epoch", disable=not args.progress, dynamic_ncols=True) as bar:
        for i, size in enumerate([*sizes, *[len(kept)] * args.members]):
            seed = args.seed + max(0, i - len(sizes))
            bar.set_description(f"network {i + 1} of {fits}, {size:,} judgements")
            torch.manual_seed(seed)
            folder = folder_of(args.network) if weights is None else None
            network = ScoreNetwork(architecture, folder, config["text_begins"])
            if weights is not None:
                network.policy.load_state_dict(weights)
            network.to(device)

            def show(loss: str) -> None:
                bar.set_postfix(loss=loss, refresh=False)
                bar.update()

            fit_member(network, judged, np.sort(order[:size]), fitting, seed, show)
            if i < len(sizes):
                curve.append({"trained_on": size, "members": 1, **held_out([network], judged, out)})
            else:
                members.append(network)
    curve.append({"trained_on": len(kept), "members": args.members, **held_out(members, judged, out)})
    report = {
        "config": config,
        "counts": judged.counts,
        "texts": len(judged.lengths),
        "held_out": len(out),
        "held_out_by_prompt": judged.by_prompt,
        "left_out": judged.left_out,
        "annotators": odd,
        "curve": curve,
    }
    args.folder.mkdir(parents=True, exist_ok=True)
    write_json(args.folder / "report.json", report)
    with replacing(args.folder / "report.md") as file:
        file.write(markdown(report).encode())
    (args.folder / "report.png").unlink(missing_ok=True)  # of a model that is replaced
    figure(report, args.folder / "report.png")
    save(args.folder / "reward.pt", Scorer(members, [_scale(member, judged) for member in members], config), report)
    return report


@torch.no_grad()
def _scale(member: ScoreNetwork, judged: Judged) -> tuple[float, float]:
    """Mean and standard deviation of the scores of all texts."""
    texts = torch.arange(len(judged.lengths))
    parts = [score_at(member, judged, at, judged.lengths[at]) for at in texts.split(256)]
    scores = torch.cat(parts).double()
    return float(scores.mean()), max(float(scores.std(correction=0)), 1e-6)


def _check(args: RewardArgs) -> None:
    for name, least in (("members", 1), ("epochs", 0), ("batch", 1), ("halvings", 0), ("seed", 0), ("threads", 1)):
        whole_number(name, getattr(args, name), least)
    number("learning_rate", args.learning_rate, above=0.0)
    number("weight_decay", args.weight_decay, low=0.0)
    number("prefix_weight", args.prefix_weight, low=0.0, high=1.0)
    if not 0 < args.held_out < 1:
        raise ValueError(f"held_out must be above 0 and below 1, got {args.held_out}")
    check_network(args.network)
    if args.init is not None:
        given = [name for name in SIZES if getattr(args, name) is not None]
        if args.network != "decoder" or given:
            raise ValueError(f"--init has its network: leave out {', '.join(given) or '--network'}")
    if (args.folder / "reward.pt").exists() and not args.overwrite:
        raise ValueError(f"{args.folder} has a reward.pt already: --overwrite replaces it, --folder goes elsewhere")


def _of_policy(args: RewardArgs, env) -> tuple[dict[str, Any], dict[str, Any]]:
    """Architecture and weights of the policy that is begun with."""
    saved = read_checkpoint(args.init)
    config = saved["config"]
    if (config["vocabulary"], config["prompt_length"]) != (env.vocabulary.fingerprint, env.prompt_length):
        raise ValueError(f"{args.init} was trained in {config['env']}, which has another vocabulary or longest prompt")
    return config["architecture"], saved["policy"]


def _text_begins(env, architecture: dict[str, Any]) -> int | None:
    """The column of windows where texts begin; None of a network that sees what comes behind a token."""
    return None if architecture["kind"] in BIDIRECTIONAL else 1 + env.prompt_length  # column 0 is BEGIN


def main() -> None:
    """The command line."""

    def work(args: RewardArgs) -> None:
        print(markdown(train(args)))
        print(f"{args.folder / 'reward.pt'}; pay it with --reward '{_reward(args.folder)}'")

    command_line(RewardArgs, work, "python -m agents.reward_model.train")


def _reward(folder: Path) -> str:
    return json.dumps({"name": "delta", "metric": {"name": "learned", "model": str(folder / "reward.pt")}})


if __name__ == "__main__":
    main()
