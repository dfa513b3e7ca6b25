"""The loop: sample texts, have them judged, train a reward model, train the policy on it, and again.

A folder holds it all: ``feedback.db``, ``warm_start/``, and of every round ``1/reward/`` and ``1/policy/``. A stage
that is done is known by its file, so that a loop that was stopped anywhere goes on from there with ``--resume``.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from agents.cli import Json
from agents.feedback.sample import SampleArgs, sample
from agents.feedback.simulated import SimulatedAnnotator
from agents.feedback.store import Store
from agents.files import replacing, write_json
from agents.runs import claim, read_evaluations
from textgym.errors import one_of, whole_number
from textgym.registration import full_id
from textgym.rewards.base import number

POLL = 2.0  # seconds between looks at whether people have judged enough
EVALUATIONS = 5  # of the policy in a round
MINIBATCH = 2048  # tokens of a step of the policy
# flags of the policy's trainer that are the loop's own
OWN = ("env", "env_kwargs", "reward", "steps", "seed", "network", "init", "pretrain", "eval_episodes")
OWN += ("folder", "resume", "overwrite", "device", "threads", "progress")
FREE = ("rounds", "folder", "resume", "progress", "threads")  # may change when a loop is resumed


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
    init: Path | None = None
    """The warm start, a .pt of agents.transformer.train; by default one is made."""
    rounds: int = 2
    """How often."""
    annotator: Literal["simulated", "people"] = "simulated"
    """Who judges: by the true score with errors, or people, for whom it waits."""
    error: float = 0.1
    """Of the simulated annotator: probability that a preference is turned round."""
    temperature: float = 0.0
    """Of the simulated annotator's Bradley-Terry model, in units of the score."""
    comparisons: int = 600
    """New ones in every round."""
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
    """How the learned reward is paid: terminal, delta, ..."""
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


def loop(args: LoopArgs) -> list[dict[str, Any]]:
    """Run the rounds that are not done yet.

    Returns:
        The lines of rounds.json, the warm start first: ``round``, ``judgements`` so far, ``score`` (true, argmax) with
        ``score_se``, ``sampled`` (true, of sampled texts), ``learned`` (what the reward model of the round thinks of
        the argmax texts), ``start_kl`` (to the warm start, nats a text), ``entropy`` (nats a token), ``length``
        (tokens); ``accuracy`` and ``true_score`` of the reward model's held-out comparisons; ``curve``: the former of
        every evaluation of the round, with its ``steps``.

    Raises:
        ValueError: a setting that cannot be; a folder that has another loop; an ``init`` of another environment.
        FileNotFoundError: no such ``init``.
    """
    config = _resolve(args)
    claim(args.folder, config, [name for name in config if name not in FREE], resume=args.resume, overwrite=False)
    args.folder.mkdir(parents=True, exist_ok=True)
    write_json(args.folder / "config.json", config)
    stages = 1 + 4 * args.rounds
    with tqdm(total=stages, unit="stage", disable=not args.progress, dynamic_ncols=True) as bar:
        run = _Loop(args, config, bar)
        rows = [run.warm_start()]
        run.report(rows)
        for n in range(1, args.rounds + 1):
            rows.append(run.round(n))
            run.report(rows)
    return rows


class _Loop:
    def __init__(self, args: LoopArgs, config: dict[str, Any], bar: tqdm):
        self.args, self.config, self.bar = args, config, bar
        self.store = args.folder / "feedback.db"
        self.start = args.folder / "warm_start" / "last.pt"
        self.network: dict[str, Any] = {"width": args.width}
        if args.init is not None:
            from agents.transformer.checkpoints import read_checkpoint
            from agents.transformer.networks import SIZES

            trained = read_checkpoint(args.init)["config"]
            self.network = {name: trained[name] for name in ("network", *SIZES)}

    def warm_start(self) -> dict[str, Any]:
        self.bar.set_description("warm start")
        made = {"pretrain": self.args.pretrain} if self.args.init is None else {"init": self.args.init}
        self._train("warm_start", steps=0, reward=None, **made)
        self.bar.update()
        return {"round": 0, "judgements": 0, **self._curve("warm_start")[-1]}

    def round(self, n: int) -> dict[str, Any]:
        args, folder = self.args, self.args.folder
        wrote = self.start if n == 1 else folder / str(n - 1) / "policy" / "last.pt"
        model, before = folder / str(n) / "reward" / "reward.pt", folder / str(n - 1) / "reward" / "reward.pt"
        if not model.exists():  # else the texts and judgements that it was trained on are there
            self.bar.set_description(f"round {n} of {args.rounds}: texts")
            first = args.seed + (n - 1) * args.each
            sampling = {"prompts": args.prompts, "each": args.each, "seed": first, "progress": False}
            sample(SampleArgs(self.store, str(wrote), **sampling))
            self.bar.update()
            self.bar.set_description(f"round {n} of {args.rounds}: judgements")
            self._collect(n * args.comparisons, before if before.exists() else None)
            self.bar.update()
            self.bar.set_description(f"round {n} of {args.rounds}: reward model")
            self._train_reward(model)
        else:
            self.bar.update(2)
        self.bar.update()
        self.bar.set_description(f"round {n} of {args.rounds}: policy")
        metric = {"name": "learned", "model": str(model), "penalty": args.penalty}
        reward = {"name": args.schedule, "metric": metric}
        kl = {"kl_weight": args.kl_weight, "kl_target": args.kl_target, "kl_in": "reward", "measure_kl": True}
        how = {"critic_start": args.critic_start, "learning_rate": args.learning_rate, "entropy_weight": 0.0}
        how |= {"n_envs": args.n_envs, "minibatch": MINIBATCH}
        how |= {"eval_every": max(1, args.steps // EVALUATIONS), **kl, **(args.policy or {})}
        self._train(f"{n}/policy", steps=args.steps, init=self.start, reward=reward, **how)
        self.bar.update()
        report = json.loads((model.parent / "report.json").read_text())
        of = report["curve"][-1].get("comparisons", {})
        quality = {name: of.get(name) for name in ("accuracy", "accuracy_se", "true_score", "log_loss")}
        curve = self._curve(f"{n}/policy")
        return {"round": n, "judgements": sum(report["counts"].values()), **curve[-1], **quality, "curve": curve}

    def _collect(self, count: int, reward_model: Path | None) -> None:
        """Wait until there are ``count`` comparisons."""
        args = self.args
        with Store(self.store) as store:
            if args.annotator == "simulated":
                of_model = None
                if reward_model is not None and args.members > 1:
                    from agents.reward_model import disagreement

                    of_model = disagreement(reward_model)
                annotator = SimulatedAnnotator(args.error, args.temperature, seed=args.seed)
                annotator.annotate(store, "comparison", count, of_model)
                return
            model = "" if reward_model is None else f" --reward-model {reward_model}"
            self.bar.write(f"judge: python -m agents.feedback serve --store {self.store}{model}")
            while (there := len(store.judgements("comparison"))) < count:
                self.bar.set_postfix(comparisons=f"{there} of {count}")
                time.sleep(POLL)
            self.bar.set_postfix()

    def _train_reward(self, path: Path) -> None:
        from agents.reward_model.train import RewardArgs, train

        args = self.args
        size = {"members": args.members, "epochs": args.epochs, "learning_rate": args.reward_learning_rate}
        size |= {"halvings": 0, "init": self.start}
        common = {"env": args.env, "env_kwargs": args.env_kwargs, "seed": args.seed, "threads": args.threads}
        train(RewardArgs(self.store, folder=path.parent, device="cpu", progress=False, **size, **common))

    def _train(self, name: str, **more: Any) -> None:
        """Train a policy, or go on with it; what is done is done."""
        from agents.transformer.settings import TrainArgs
        from agents.transformer.train import train

        args, folder = self.args, self.args.folder / name
        common = {"env": args.env, "env_kwargs": dict(args.env_kwargs or {}), "seed": args.seed, **self.network}
        common |= {"eval_episodes": args.eval_episodes, "threads": args.threads, "device": "cpu", "progress": False}
        train(TrainArgs(folder=folder, resume=(folder / "config.json").exists(), **common, **more))

    def _curve(self, name: str) -> list[dict[str, Any]]:
        """Of every evaluation of a policy."""
        return [
            {
                **{of: row[of] for of in ("steps", "score", "score_se", "sampled", "start_kl", "entropy", "length")},
                "learned": next((value for term, value in row.items() if "term_" in term and "learned" in term), None),
            }
            for row in read_evaluations(self.args.folder / name)
        ]

    def report(self, rows: list[dict[str, Any]]) -> None:
        """rounds.json, rounds.md, rounds.png: of the rounds so far."""
        folder = self.args.folder
        write_json(folder / "rounds.json", rows)
        lines = [f"# {self.config['env']}: rounds of feedback", ""]
        lines += ["| round | judgements | true score | sampled | learned | KL | reward model's accuracy |"]
        lines += ["| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
        for row in rows:
            score = f"{row['score']:.3f} ± {row['score_se']:.3f}"
            rest = " | ".join(_number(row.get(name)) for name in ("sampled", "learned", "start_kl", "accuracy"))
            lines += [f"| {row['round']} | {row['judgements']:,} | {score} | {rest} |"]
        with replacing(folder / "rounds.md") as file:
            file.write(("\n".join(lines) + "\n").encode())
        _draw(rows, folder / "rounds.png")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _draw(rows: list[dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(11, 3), layout="constrained")
    left, middle, right = drawn.subplots(1, 3)
    judged = [row["judgements"] for row in rows]
    left.errorbar(judged, [r["score"] for r in rows], [r["score_se"] for r in rows], marker="o", label="true score")
    left.plot(judged, [r["sampled"] for r in rows], "^:", label="true score, sampled texts")
    later = [row for row in rows if row["learned"] is not None]
    left.plot([r["judgements"] for r in later], [r["learned"] for r in later], "s--", label="learned reward")
    left.set(xlabel="judgements", ylabel="of validation texts (± s.e.)")
    for i, row in enumerate(rows[1:]):  # what going away from the warm start gains, and loses
        far = [each["start_kl"] or 0.0 for each in row["curve"]]
        for name, said, style in (("score", "true", "o-"), ("learned", "learned", "s--")):
            values = [each[name] for each in row["curve"]]
            middle.plot(far, values, style, color=f"C{i}", ms=3, label=f"round {row['round']}, {said}")
    middle.set(xlabel="KL to the warm start (nats a text)", ylabel="of validation texts")
    known = [row for row in rows if row.get("accuracy") is not None]
    right.plot([r["judgements"] for r in known], [r["accuracy"] for r in known], "o-", label="reward model")
    if limit := [(r["judgements"], r["true_score"]) for r in known if r["true_score"] is not None]:
        right.plot(*zip(*limit, strict=True), "k:", label="true score")
    right.set(xlabel="judgements", ylabel="held-out accuracy")
    for ax in (left, middle, right):
        if ax.lines:
            ax.legend(frameon=False, fontsize=7)
    with replacing(path) as file:
        drawn.savefig(file, format="png", dpi=130, metadata={"Software": None})


def _resolve(args: LoopArgs) -> dict[str, Any]:
    """The settings as JSON values."""
    at_least_1 = ("rounds", "comparisons", "prompts", "members", "epochs", "pretrain", "steps", "n_envs", "width")
    for name, low in {**dict.fromkeys((*at_least_1, "eval_episodes", "threads"), 1), "each": 2, "seed": 0}.items():
        whole_number(name, getattr(args, name), low)
    number("kl_weight", args.kl_weight, low=0.0)
    number("learning_rate", args.learning_rate, above=0.0)
    number("reward_learning_rate", args.reward_learning_rate, above=0.0)
    if whole_number("critic_start", args.critic_start, 0) >= args.steps:
        raise ValueError(f"critic_start={args.critic_start} of steps={args.steps} tokens leaves none to learn from")
    number("penalty", args.penalty, low=0.0)
    SimulatedAnnotator(args.error, args.temperature)  # raises
    from agents.transformer.networks import SIZES
    from agents.transformer.settings import TrainArgs

    flags = [field.name for field in fields(TrainArgs) if field.name not in (*OWN, *SIZES)]
    for name in args.policy or {}:
        one_of("flag in policy", name, flags)
    if args.penalty and args.members < 2:
        raise ValueError(f"penalty={args.penalty}: one member cannot disagree; members=3")
    return json.loads(json.dumps({**asdict(args), "env": full_id(args.env)}, default=str))
