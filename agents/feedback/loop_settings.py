"""The settings of the loop, and all that can be known to be wrong with them before it begins."""

from __future__ import annotations

import inspect
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from agents.cli import Json, making
from agents.feedback.simulated import SimulatedAnnotator
from textgym.errors import did_you_mean, one_of, unknown, whole_number
from textgym.registration import full_id
from textgym.rewards import SCHEDULES
from textgym.rewards.base import number

if TYPE_CHECKING:
    from agents.transformer.settings import TrainArgs

EVALUATIONS = 5  # of the policy in a round
MINIBATCH = 2048  # tokens of a step of the policy
# flags of the policy's trainer that are the loop's own
OWN = ("env", "env_kwargs", "reward", "steps", "seed", "network", "init", "pretrain", "eval_episodes")
OWN += ("folder", "resume", "overwrite", "device", "threads", "progress")
FREE = ("rounds", "folder", "resume", "overwrite", "speed", "progress", "threads")  # may change when a loop is resumed
Annotator = Literal["simulated", "people"]


@dataclass
class LoopArgs:
    """Learn a policy from judgements alone. The true score is only looked at: nothing is trained or chosen by it (but a
    simulated annotator judges by it)."""

    env: str = "textgym/Spelling-v0"
    """The environment's id, with or without textgym/."""
    env_kwargs: Json = None
    """Its keywords, as JSON."""
    folder: Path = Path("runs/loop")
    """Where everything goes."""
    resume: bool = False
    """Go on where the folder's loop was stopped."""
    overwrite: bool = False
    """Start anew in a folder that has a loop already."""
    init: Path | None = None
    """The warm start, a .pt of agents.transformer.train; by default one is made."""
    rounds: int = 2
    """How often."""
    annotator: Annotator = "simulated"
    """Who judges: by the true score with errors, or people, for whom it waits."""
    error: float = 0.1
    """Of the simulated annotator: probability that a preference is turned round."""
    temperature: float = 0.0
    """Of the simulated annotator's Bradley-Terry model, in units of the score."""
    speed: float | None = None
    """Judgements a minute of the simulated annotator; by default it judges at once."""
    comparisons: int = 600
    """New ones in every round; fewer where no pair is left to judge, of which a line tells."""
    prompts: int = 300
    """Prompts to write for in every round."""
    each: int = 4
    """Texts for each prompt."""
    members: int = 3
    """Reward models of the ensemble."""
    epochs: int = 4
    """Of each, at most."""
    reward_learning_rate: float = 3e-4
    """Of the reward models, which begin as the warm start."""
    schedule: str = "terminal"
    """How the learned reward is paid: terminal, delta, every_step, potential."""
    penalty: float = 0.0
    """Standard deviations of the ensemble that are taken off the reward."""
    kl_weight: float = 0.05
    """Weight of the KL to the warm start, in the reward."""
    kl_target: float | None = None
    """Nats a text to which this weight adapts; by default it is fixed."""
    pretrain: int = 2000
    """Updates of maximum likelihood that make the warm start."""
    steps: int = 80_000
    """Tokens that the policy writes in a round, in which it begins at the warm start."""
    critic_start: int = 8_000
    """Of these, tokens that the value head alone is fitted to, before the policy learns."""
    learning_rate: float = 3e-4
    """Of the policy."""
    n_envs: int = 512
    """Texts that the policy writes at a time, to learn from them together: with few of them it gets worse."""
    policy: Json = None
    """Other flags of agents.transformer.train, as JSON: '{"epochs": 1}'."""
    width: int = 64
    """Of the network of policy and reward models; with --init it is the checkpoint's."""
    eval_episodes: int = 200
    """Fixed validation episodes of the true score."""
    seed: int = 0
    """Of everything."""
    threads: int = 1
    """Threads of PyTorch."""
    progress: bool = True
    """Show a progress bar."""


def checked(args: LoopArgs) -> dict[str, Any]:
    """The settings as JSON values. Nothing is written.

    Raises:
        ValueError: a setting that cannot be, by itself, with the others, or in the environment; an ``init`` of another
            environment.
        FileNotFoundError: no such ``init``.
    """
    id = full_id(args.env)
    _check_numbers(args)
    one_of("annotator", args.annotator, get_args(Annotator))
    SimulatedAnnotator(args.error, args.temperature, speed=args.speed)  # raises
    if args.speed is not None and args.annotator == "people":
        raise ValueError(f"speed={args.speed}: people judge as fast as they do; annotator='simulated' has a speed")
    _check_schedule(args.schedule)
    if args.folder.exists() and not args.folder.is_dir():
        raise ValueError(f"folder={args.folder} is a file")
    if args.init is not None:
        _check_file(args.init)
    network = network_of(args)
    _check_policy_flags(args, network)
    _check_environment(args, network)
    return json.loads(json.dumps({**asdict(args), "env": id}, default=str))


def network_of(args: LoopArgs) -> dict[str, Any]:
    """The flags that say which network policy and reward models have."""
    if args.init is None:
        return {"width": args.width}
    from agents.transformer.checkpoints import read_checkpoint
    from agents.transformer.networks import SIZES

    trained = read_checkpoint(args.init)["config"]
    return {name: trained[name] for name in ("network", *SIZES)}


def policy_args(args: LoopArgs, network: dict[str, Any], **more: Any) -> TrainArgs:
    """What a policy is trained with: what is the same of all of them, and ``more`` flags."""
    from agents.transformer.settings import TrainArgs

    common = {"env": args.env, "env_kwargs": dict(args.env_kwargs or {}), "seed": args.seed, **network}
    common |= {"eval_episodes": args.eval_episodes, "threads": args.threads, "device": "cpu", "progress": False}
    return TrainArgs(**common, **more)


def of_round(args: LoopArgs, model: Path) -> dict[str, Any]:
    """The flags of the policy of a round, which is paid by the reward model in the file ``model``."""
    metric = {"name": "learned", "model": str(model), "penalty": args.penalty}
    how: dict[str, Any] = {"kl_weight": args.kl_weight, "kl_target": args.kl_target, "kl_in": "reward"}
    how |= {"critic_start": args.critic_start, "learning_rate": args.learning_rate, "entropy_weight": 0.0}
    how |= {"n_envs": args.n_envs, "minibatch": MINIBATCH, "eval_every": max(1, args.steps // EVALUATIONS)}
    return {
        **{"measure_kl": True, **how, **(args.policy or {})},
        "steps": args.steps,
        "reward": {"name": args.schedule, "metric": metric},
    }


def _check_numbers(args: LoopArgs) -> None:
    at_least_1 = ("rounds", "comparisons", "prompts", "members", "epochs", "pretrain", "steps", "n_envs", "width")
    for name, low in {**dict.fromkeys((*at_least_1, "eval_episodes", "threads"), 1), "each": 2, "seed": 0}.items():
        whole_number(name, getattr(args, name), low)
    whole_number("critic_start", args.critic_start, 0)
    for name in ("kl_weight", "penalty"):
        number(name, getattr(args, name), low=0.0)
    for name in ("learning_rate", "reward_learning_rate"):
        number(name, getattr(args, name), above=0.0)
    if args.kl_target is not None:
        number("kl_target", args.kl_target, above=0.0)
    if args.penalty and args.members < 2:
        raise ValueError(f"penalty={args.penalty}: one member cannot disagree; members=3")


def _check_schedule(schedule: str) -> None:
    """Raise where it does not pay a metric; a class of one's own is tried with the environment."""
    if not isinstance(schedule, str) or ":" not in schedule or schedule.partition(":")[0] in SCHEDULES:
        pays = [name for name, made in SCHEDULES.items() if "metric" in inspect.signature(made).parameters]
        one_of("schedule", schedule, pays)


def _check_file(init: Path) -> None:
    if init.is_file():
        return
    folder = init if init.is_dir() else init.parent
    there = sorted(str(path) for path in folder.glob("*.pt"))
    said = f" {folder} has: {', '.join(there)}." if there else ""
    raise FileNotFoundError(
        f"init={init}: there is no such file.{did_you_mean(init, there)}{said} agents.transformer.train writes best.pt "
        "and last.pt into the folder of its run"
    )


def _check_policy_flags(args: LoopArgs, network: dict[str, Any]) -> None:
    from agents.transformer.networks import SIZES
    from agents.transformer.settings import TrainArgs, resolve

    flags = {field.name: field for field in fields(TrainArgs) if field.name not in (*OWN, *SIZES)}
    for name, value in (args.policy or {}).items():
        if name not in flags:
            raise unknown("flag in policy", name, flags)
        if flags[name].type == "bool" and not isinstance(value, bool):
            raise ValueError(f"policy: {name} must be true or false, got {value!r}")
    training = policy_args(args, network, **of_round(args, args.folder / "1" / "reward" / "reward.pt"))
    try:
        resolve(training)
        for tokens in training.eval_at:
            whole_number("eval_at", tokens, 1)
    except (ValueError, TypeError) as error:
        raise ValueError(f"policy {json.dumps(args.policy)}: {error}" if args.policy else str(error)) from error
    if training.critic_start >= args.steps:
        raise ValueError(f"critic_start={training.critic_start} of steps={args.steps} tokens leaves none to learn from")


def _check_environment(args: LoopArgs, network: dict[str, Any]) -> None:
    """Raise where it cannot be made, where the schedule cannot pay in it, or where the network does not fit it."""
    from agents.evaluation import evaluation_env
    from agents.transformer.checkpoints import load_into, read_checkpoint
    from agents.transformer.networks import SIZES, describe, folder_of, make_policy
    from agents.transformer.redistribution import Redistribution

    id, env_kwargs = full_id(args.env), dict(args.env_kwargs or {})
    of_true_score = {"name": args.schedule, "metric": None}  # there is no reward model yet
    with making(f"{id} with env_kwargs {env_kwargs} and schedule {args.schedule!r}"):
        env = evaluation_env(id, "train", num_envs=1, reward=of_true_score, **env_kwargs)
    if args.init is not None:
        trained = read_checkpoint(args.init)["config"]
        if (trained["vocabulary"], trained["prompt_length"]) != (env.vocabulary.fingerprint, env.prompt_length):
            raise ValueError(
                f"init={args.init} was trained in {trained['env']} with env_kwargs {trained['env_kwargs']}; {id} with "
                f"env_kwargs {env_kwargs} has another vocabulary or longest prompt"
            )
    kind = network.get("network", "decoder")
    architecture = describe(kind, env, {name: network.get(name) for name in SIZES})
    with making(f"the network {kind!r}"):
        policy = make_policy(architecture, folder_of(kind))
    if args.init is not None:
        load_into(policy, args.init, {"architecture": architecture, "vocabulary": env.vocabulary.fingerprint})
    if (args.policy or {}).get("redistribute") in ("attention", "reward_attention"):  # the reward model's is the same
        Redistribution("attention", 1.0, policy, env)  # raises
    env.close()
