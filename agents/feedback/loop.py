"""The loop: sample texts, have them judged, train a reward model, train the policy on it, and again.

A folder holds it all: ``feedback.db``, ``warm_start/``, and of every round ``1/reward/`` and ``1/policy/``. A stage
that is done is known by its file, so that a loop that was stopped anywhere goes on from there with ``--resume``.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tqdm import tqdm

from agents.feedback.collecting import invitation, judged, wait_for_people
from agents.feedback.loop_settings import FREE, LoopArgs, checked, network_of, of_round, policy_args
from agents.feedback.rounds import report_rounds
from agents.feedback.sample import SampleArgs, sample, task_name
from agents.feedback.simulated import SimulatedAnnotator
from agents.feedback.store import Store
from agents.files import write_json
from agents.runs import claim, read_evaluations


def loop(args: LoopArgs) -> list[dict[str, Any]]:
    """Run the rounds that are not done yet.

    Returns:
        The lines of rounds.json, the warm start first: ``round``, ``judgements`` so far, ``score`` (true, argmax) with
        ``score_se``, ``sampled`` (true, of sampled texts), ``learned`` (what the reward model of the round thinks of
        the argmax texts), ``start_kl`` (to the warm start, nats a text), ``entropy`` (nats a token), ``length``
        (tokens); ``accuracy`` and ``true_score`` of the reward model's held-out comparisons; ``curve``: the former of
        every evaluation of the round, with its ``steps``.

    Raises:
        ValueError, FileNotFoundError: as :func:`~agents.feedback.loop_settings.checked`; a folder that has another
            loop, or (overwrite) judgements of people. Then nothing is written.
    """
    config = checked(args)
    identity = [name for name in config if name not in FREE]
    claim(args.folder, config, identity, resume=args.resume, overwrite=args.overwrite)
    if args.overwrite and not args.resume:
        _clear(args.folder, args.init)
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
        self.network = network_of(args)

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
            self._collect(n, before if before.exists() and args.members > 1 else None)
            self.bar.update()
            self.bar.set_description(f"round {n} of {args.rounds}: reward model")
            self._train_reward(model)
        else:
            self.bar.update(2)
        self.bar.update()
        self.bar.set_description(f"round {n} of {args.rounds}: policy")
        self._train(f"{n}/policy", init=self.start, **of_round(args, model))
        self.bar.update()
        report = json.loads((model.parent / "report.json").read_text())
        of = report["curve"][-1].get("comparisons", {})
        quality = {name: of.get(name) for name in ("accuracy", "accuracy_se", "true_score", "log_loss")}
        curve = self._curve(f"{n}/policy")
        return {"round": n, "judgements": sum(report["counts"].values()), **curve[-1], **quality, "curve": curve}

    def _collect(self, n: int, unsure: Path | None) -> None:
        """Have ``comparisons`` for each of the n rounds so far, or as many as there are pairs.

        ``unsure``: the reward model whose members' disagreement says what is asked first.
        """
        args, task = self.args, task_name(self.config["env"], self.config["env_kwargs"] or {})
        wanted = n * args.comparisons
        with Store(self.store) as store:

            def look() -> int:
                there = judged(store, task)
                self.bar.set_postfix(comparisons=f"{there:,} of {wanted:,}")
                return there

            if args.annotator == "simulated":
                of_model = None
                if unsure is not None:
                    from agents.reward_model import disagreement

                    of_model = disagreement(unsure)
                annotator = SimulatedAnnotator(args.error, args.temperature, seed=args.seed, speed=args.speed)
                shown = {} if args.speed is None else {"progress": look}
                there = annotator.annotate(store, "comparison", wanted, of_model, **shown)
            else:
                if (there := look()) < wanted:
                    self.bar.write(f"round {n}, {there:,} of {wanted:,} comparisons: {invitation(self.store, unsure)}")
                there = wait_for_people(store, task, wanted, look)
        self.bar.set_postfix()
        if there < wanted:
            self.bar.write(
                f"round {n} goes on with {there:,} of {wanted:,} comparisons: no pair of texts is left to judge; "
                "more --prompts, or more texts for --each of them, give more"
            )

    def _train_reward(self, path: Path) -> None:
        from agents.reward_model.train import RewardArgs, train

        args = self.args
        size = {"members": args.members, "epochs": args.epochs, "learning_rate": args.reward_learning_rate}
        size |= {"halvings": 0, "init": self.start}
        common = {"env": args.env, "env_kwargs": args.env_kwargs, "seed": args.seed, "threads": args.threads}
        train(RewardArgs(self.store, folder=path.parent, device="cpu", progress=False, **size, **common))

    def _train(self, name: str, **more: Any) -> None:
        """Train a policy, or go on with it; what is done is done."""
        from agents.transformer.train import train

        folder = self.args.folder / name
        resume = (folder / "config.json").exists()
        train(policy_args(self.args, self.network, folder=folder, resume=resume, **more))

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
        report_rounds(rows, self.config["env"], self.args.folder)


def _clear(folder: Path, init: Path | None) -> None:
    """Take away what a loop wrote; config.json stays until it is replaced, so that what is left is no new loop's.

    Raises:
        ValueError: people have judged there, or it has the checkpoint to begin with. Then all of it stays.
    """
    if init is not None and init.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"init={init} is in {folder}, which --overwrite would take away: --folder goes elsewhere")
    store = folder / "feedback.db"
    if store.exists():
        with Store(store) as opened:
            by = [judgement.annotator for judgement in opened.judgements()]
        if count := sum(not SimulatedAnnotator.is_name(name) for name in by):
            raise ValueError(
                f"{store} has {count:,} judgements of people, which --overwrite would take away: move the file "
                "elsewhere first, or --folder goes elsewhere"
            )
    for name in ("feedback.db", "feedback.db-wal", "feedback.db-shm", "rounds.json", "rounds.md", "rounds.png"):
        (folder / name).unlink(missing_ok=True)
    for path in (folder / "warm_start", *folder.glob("[1-9]*/reward"), *folder.glob("[1-9]*/policy")):
        if path.exists():
            shutil.rmtree(path)
