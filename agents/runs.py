"""A training run, whatever trains: its settings, its folder, the table of its evaluations."""

from __future__ import annotations

import csv
import hashlib
import inspect
import io
import json
import os
import platform
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium as gym

import textgym
from agents.files import replacing
from textgym.rewards import SCHEDULES, spelt_out

COLUMNS = (
    "event", "steps", "score", "score_se", "sampled", "success", "return", "length",
    "end_eos", "end_budget", "end_illegal", "entropy", "kl", "start_kl", "episodes", "wall_s", "seed",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What came of a run.

    Attributes:
        folder: config.json, evaluations.csv, logs/ and the checkpoints best and last are in it.
        evaluations: the lines of evaluations.csv.
        best_score: the best mean true score on the validation episodes.
        best: the checkpoint of that evaluation.
    """

    folder: Path
    evaluations: list[dict[str, Any]]
    best_score: float
    best: Path


def report(result: Result) -> None:
    """Print the evaluations of a run."""
    for row in result.evaluations:
        scores = f"score {row['score']:.4f}  success {row['success']:.3f}"
        print(f"{row['event']:10} {row['steps']:>9} steps  {scores}  {row['wall_s']:.0f} s")
    print(f"best {result.best_score:.4f}: {result.best}")


class Evaluations:
    """The evaluations of a run so far, and evaluations.csv.

    Columns: ``event`` is start, warm_start or train; ``score`` is the mean true score of the likeliest tokens (argmax),
    ``sampled`` that of sampled texts; ``term_<name>`` is what each term of the reward paid for the likeliest tokens.
    ``entropy``, ``kl`` and ``start_kl`` are of the last update: nats a token of the policy; its KL to the one that
    wrote; where it is measured, its KL to the one that learning started from, nats a text.
    """

    def __init__(self, folder: Path, seed: int):
        self.folder, self.seed = folder, seed
        self.history: list[dict[str, Any]] = []
        self.started = time.monotonic()

    @property
    def best(self) -> float:
        """The best true score of this run, -1 before the first evaluation."""
        return max((row["score"] for row in self.history), default=-1.0)

    @property
    def latest(self) -> dict[str, Any]:
        """The line of the last evaluation."""
        return self.history[-1]

    def record(
        self,
        event: str,
        steps: int,
        summary: Mapping[str, Any],
        sampled: float | None,
        entropy: float | None = None,
        kl: float | None = None,
        start_kl: float | None = None,
    ) -> bool:
        """A new evaluation, which :meth:`append_line` writes; True where its score is the best yet."""
        wall = round(time.monotonic() - self.started, 2)
        row = {**summary, "sampled": sampled, "event": event, "steps": steps, "wall_s": wall, "seed": self.seed}
        row |= {"entropy": entropy, "kl": kl, "start_kl": start_kl}
        better = row["score"] > self.best
        terms = [name for name in row if name.startswith("term_")]
        self.history.append({name: row[name] for name in (*COLUMNS, *terms)})
        return better

    def append_line(self) -> None:
        """The last evaluation into evaluations.csv."""
        with open(self.folder / "evaluations.csv", "a", newline="") as file:
            writer = csv.DictWriter(file, self.latest)
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(self.latest)
            file.flush()
            os.fsync(file.fileno())

    def restore_history(self, history: list[dict[str, Any]]) -> None:
        """Go on after ``history``: evaluations.csv is written anew, and the clock goes on."""
        self.history = history
        if history:
            self.started -= self.latest["wall_s"]
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, history[0] if history else COLUMNS)
        writer.writeheader()
        writer.writerows(history)
        with replacing(self.folder / "evaluations.csv") as file:
            file.write(table.getvalue().encode())


def due(before: int, now: int, every: int, at: Sequence[int] = ()) -> bool:
    """Whether an evaluation is due after ``now`` tokens, the last one being of ``before``: ``at`` these tokens, or,
    where none are given, at the multiples of ``every``."""
    if at:
        return any(before < tokens <= now for tokens in at)
    return before // every < now // every


def read_evaluations(folder: str | Path) -> list[dict[str, Any]]:
    """The lines of a run's evaluations.csv, numbers as numbers (empty: None)."""
    with open(Path(folder) / "evaluations.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v if k == "event" else float(v) if v else None for k, v in row.items()} for row in rows]


# -- the folder ---------------------------------------------------------------------------------


def default_folder(settings: Mapping[str, Any], agent: str) -> Path:
    """runs/<env>-<agent>-<reward>-s<seed>; a reward of many words is cut and told apart by 6 digits of its hash."""
    reward = settings["reward"]
    text = reward if isinstance(reward, str) else json.dumps(reward, sort_keys=True)
    slug = re.sub(r"[^A-Za-z0-9.]+", "_", text).strip("_")
    if not isinstance(reward, str):
        slug = f"{slug[:24].rstrip('_')}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
    return Path("runs") / f"{settings['env'].rpartition('/')[2]}-{agent}-{slug}-s{settings['seed']}"


def claim(folder: Path, config: Mapping[str, Any], identity: Iterable[str], *, resume: bool, overwrite: bool) -> None:
    """Raise where the folder is another run's.

    Args:
        config: of the run that wants it.
        identity: names in ``config`` that make a run that run.
        resume, overwrite: the flags.
    """
    known = folder / "config.json"
    if not known.exists():
        return
    if not resume and not overwrite:
        raise ValueError(
            f"{folder} has a run already: --resume goes on, --overwrite starts anew, --folder goes elsewhere"
        )
    if resume:
        before = json.loads(known.read_text())
        changed = [name for name in identity if before.get(name) != config[name]]
        different = [f"{name} was {before.get(name)!r}, is {config[name]!r}" for name in changed]
        if different:
            raise ValueError(f"cannot resume {folder}, which is another run: {'; '.join(different)}")


def clear(folder: Path, *checkpoints: str) -> None:
    """Make the folder, without the checkpoints of a run before; they go in this order."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*checkpoints, "evaluations.csv"):
        (folder / name).unlink(missing_ok=True)


def versions(*packages: str) -> dict[str, str]:
    """Of Python, textgym and installed packages."""
    own = {"python": platform.python_version(), "textgym": textgym.__version__}
    return own | {name: version(name) for name in packages}


def logger(folder: Path | None, steps: int):
    """An SB3 ``Logger``: a CSV file for every start of the run, and TensorBoard where it is installed.

    ``folder`` None: it logs nothing.
    """
    from stable_baselines3.common.logger import Logger, make_output_format

    if folder is None:
        return Logger(None, [])
    folder.mkdir(exist_ok=True)
    formats = [make_output_format("csv", str(folder), f"-from-{steps}")]
    try:
        formats.append(make_output_format("tensorboard", str(folder)))
    except (AssertionError, ImportError):
        pass
    return Logger(str(folder), formats)


# -- the settings -------------------------------------------------------------------------------


def as_json(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as config.json will have them.

    Raises:
        TypeError: one is no JSON value.
        ValueError: ``env_kwargs`` has what is the trainer's.
    """
    for name in ("split", "reward"):
        if name in settings["env_kwargs"]:
            raise ValueError(f"{name!r} is none of env_kwargs: training is on split 'train', the reward is --reward")
    try:
        return json.loads(json.dumps(settings))
    except TypeError as error:
        raise TypeError(
            f"a run's settings are JSON values, so that it can be resumed ({error}): give rewards and tasks by name"
        ) from error


def reward_of(id: str, reward: Any, gamma: float) -> Any:
    """The reward's specification, None: that of the full id, with the agent's discount: see :func:`with_gamma`."""
    return with_gamma(gym.spec(id.rpartition(":")[2]).kwargs["reward"] if reward is None else reward, gamma)


def with_gamma(reward: Any, gamma: float) -> Any:
    """The reward's specification with the agent's discount given to every schedule that takes ``gamma``, at any depth.

    Raises:
        ValueError: it names another one.
    """
    if isinstance(reward, (list, tuple)):
        return [with_gamma(each, gamma) for each in reward]
    if not isinstance(reward, (str, Mapping)):
        return reward
    spec = spelt_out(reward)
    if spec.get("gamma", gamma) != gamma:
        raise ValueError(f"the reward {spec} has gamma={spec['gamma']}, the agent gamma={gamma}: give one value")
    given = {name: with_gamma(spec[name], gamma) for name in ("reward", "base") if name in spec}
    if _takes_gamma(str(spec.get("name"))):
        given["gamma"] = gamma
    changed = {**spec, **given}
    return reward if changed == spec else changed


def _takes_gamma(name: str) -> bool:
    return name in SCHEDULES and "gamma" in inspect.signature(SCHEDULES[name]).parameters
