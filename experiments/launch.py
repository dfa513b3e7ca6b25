"""Makes the runs that have no record yet, side by side, each in a process with one thread.

A run gets its checkpoint to start from as bytes and gives its record's content back: where it was made does not matter.
Whoever is killed and started again goes on: runs with a record are not made again, and a run that was begun goes on in
its folder where its trainer can. What another experiment has computed is taken from there (``same.py``).
"""

from __future__ import annotations

import json
import math
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from agents.files import replacing
from experiments import arms, records, tuning
from experiments.launchers import LAUNCHERS
from experiments.registry import Experiment, Run
from experiments.same import SameRuns

POLL = 1.0  # seconds between looks at how far the runs are


@dataclass(frozen=True)
class Made:
    """What a worker gives back of a run: its record's content, and the checkpoint for those that start from it."""

    header: dict[str, Any]
    evaluations: list[dict[str, Any]]
    checkpoint: bytes | None


class RunsFailed(ValueError):
    """Some runs raised; the others have their records."""


def make(run: Run, folder: Path, start: bytes | None, given: dict[str, Any], wanted: bool) -> Made:
    """In a worker: one run, in ``folder``. ``wanted``: its checkpoint is."""
    folder.mkdir(parents=True, exist_ok=True)
    began, path = time.monotonic(), None
    if start is not None:
        path = folder / "start.pt"
        with replacing(path) as file:
            file.write(start)
    outcome = arms.perform(run, folder, path)
    config = dict(outcome.config or {})
    checkpoint = outcome.checkpoint if run.init is not None or wanted else None
    header = {
        "experiment": run.experiment,
        "arm": run.arm,
        "seed": run.seed,
        "trial": run.trial,
        "id": run.id,
        "settings": dict(run.settings),
        "given": given,
        "fingerprint": outcome.fingerprint,
        "versions": config.pop("versions", None),
        "init": None if path is None else arms.policy_digest(path),
        "policy": None if checkpoint is None else arms.policy_digest(checkpoint),
        "config": config,
        "diverged": outcome.diverged,
        "seconds": round(time.monotonic() - began, 1),
        **({} if outcome.samples is None else {"samples": outcome.samples}),
    }
    return Made(header, outcome.evaluations, checkpoint.read_bytes() if checkpoint and wanted else None)


def run_all(
    experiments: Sequence[Experiment],
    folder: Path,
    *,
    agent: str | None,
    jobs: int,
    launcher: str,
    progress: bool,
    core_hours: float = math.inf,
) -> bool:
    """Make the trials, and with the settings that they have chosen the runs, that have no record in ``folder``/records.

    Args:
        core_hours: begin no more than take so many, as projected, but one run at least.

    Returns:
        Whether all have a record now.

    Raises:
        RunsFailed: some runs raised; says which and what. Those that start from them were left out.
        ValueError: all trials of an arm diverged.
        ImportError: the launcher is Ray, or there are trials, and Ray or Optuna is not installed.
    """
    where = {"jobs": jobs, "launcher": launcher, "progress": progress}
    trials = [run for e in experiments for run in tuning.trial_runs(e, agent)]
    left, seconds = _make_all(trials, experiments, folder, 3600 * core_hours, **where)
    if left:
        return False
    settled = [tuning.settle(folder / "records", e) for e in experiments]
    left, _ = _make_all([run for e in settled for run in e.runs(agent)], experiments, folder, seconds, **where)
    return not left


def _make_all(
    every: Sequence[Run],
    experiments: Sequence[Experiment],
    folder: Path,
    seconds: float,
    *,
    jobs: int,
    launcher: str,
    progress: bool,
) -> tuple[int, float]:
    """Those of ``every`` that have no record, side by side, the first that take ``seconds``: how many runs are left,
    and how many seconds."""
    given = {e.name: dict(e.given) for e in experiments}
    waiting = [run for run in every if not records.path_of(folder / "records", run).exists()]
    waiting, left = _parted(_with_starts(waiting, folder), seconds)
    seconds -= sum(run.seconds for run in waiting)
    if not waiting:
        return left, seconds
    wanted = {run.init.id for run in every if run.init is not None}
    same = SameRuns(folder / "records", every)
    bar = tqdm(
        total=sum(run.seconds for run in waiting), disable=not progress, dynamic_ncols=True,
        desc="trials" if any(run.trial is not None for run in waiting) else "experiments",
        bar_format="{desc} {percentage:3.0f}% |{bar}| {n:.0f} of {total:.0f} core-s as projected [{elapsed}{postfix}]",
    )  # fmt: skip
    going: dict[Future, Run] = {}
    failed: dict[str, str] = {}
    finished = 0.0
    count = len(waiting)
    with LAUNCHERS[launcher](jobs) as submit, bar:
        while waiting or going:
            for run in [
                run for run in waiting if run.init is None or run.init.id in failed or _start(folder, run.init)
            ]:
                if len(going) >= jobs:
                    break
                if run.content in {other.content for other in going.values()}:
                    continue  # its record is soon there
                waiting.remove(run)
                if run.init is not None and run.init.id in failed:
                    failed[run.id] = f"{run.experiment} {run.name}: {run.init.name}, which it starts from, has failed"
                    continue
                if made := _made_already(folder, run, same, given[run.experiment], run.id in wanted):
                    _keep(folder, run, made)
                    finished += run.seconds
                    continue
                start = None if run.init is None else _checkpoint(folder, run.init).read_bytes()
                going[submit(make, run, _work(folder, run), start, given[run.experiment], run.id in wanted)] = run
            done, _ = wait(going, timeout=POLL, return_when=FIRST_COMPLETED)
            for future in done:
                run = going.pop(future)
                finished += run.seconds
                try:
                    _keep(folder, run, future.result())
                except Exception as error:
                    failed[run.id] = f"{run.experiment} {run.name}: {_said(error)}"
            partly = sum(_share(folder, run) * run.seconds for run in going.values())
            bar.update(finished + partly - bar.n)
            bar.set_postfix_str(f"{count - len(waiting) - len(going)} of {count} runs", refresh=False)
    if failed:
        raise RunsFailed("\n  ".join([f"{len(failed)} of {count} runs failed:", *failed.values()]))
    return left, seconds


def _parted(runs: list[Run], seconds: float) -> tuple[list[Run], int]:
    """The first of them, at least one while there are seconds, and how many come after those."""
    total = 0.0
    for i, run in enumerate(runs):
        total += run.seconds
        if total > seconds and (i or seconds <= 0):
            return runs[:i], len(runs) - i
    return runs, 0


def _made_already(folder: Path, run: Run, same: SameRuns, given: dict[str, Any], wanted: bool) -> Made | None:
    """What a run of the same content left, as this run's; None: there is none, or its checkpoint is wanted and gone."""
    for other, record in same.recorded(run):
        if not wanted or _start(folder, other):
            checkpoint = _checkpoint(folder, other).read_bytes() if wanted else None
            own = {"experiment": run.experiment, "arm": run.arm, "trial": run.trial, "id": run.id}
            own |= {"settings": dict(run.settings), "given": given, "made_as": f"{other.experiment}/{other.name}"}
            return Made({**record.header, **own}, record.evaluations, checkpoint)
    return None


def _with_starts(runs: Sequence[Run], folder: Path) -> list[Run]:
    """Also the runs that they start from, whose records are there and whose checkpoints are not (work/ was deleted)."""
    found: dict[str, Run] = {}

    def add(run: Run) -> None:
        if run.init is not None and not _start(folder, run.init):
            add(run.init)
        found.setdefault(run.id, run)

    for run in runs:
        add(run)
    return list(found.values())


def _work(folder: Path, run: Run) -> Path:
    """The folder of a run: with other settings it is another one."""
    return folder / "work" / run.experiment / f"{run.name}-{run.id}"


def _checkpoint(folder: Path, run: Run) -> Path:
    return folder / "work" / run.experiment / "checkpoints" / f"{run.name}-{run.id}.pt"


def _start(folder: Path, run: Run) -> bool:
    """Runs can start from it."""
    return _checkpoint(folder, run).exists()


def _keep(folder: Path, run: Run, made: Made) -> None:
    """The checkpoint first, then the record: where there is a record, all is there.

    Raises:
        ValueError: the run was made again for its checkpoint, and this is another one.
    """
    path = records.path_of(folder / "records", run)
    again = path.exists()
    if again:
        before = records.read(path)
        if before.header["policy"] != made.header["policy"]:
            raise ValueError(
                f"made again for its checkpoint, it is another policy than that of {path} ({before.header['policy']})"
            )
        # a checkpoint can hold more than the policy: a reward model
        if _without_clock(before.evaluations) != _without_clock(made.evaluations):
            raise ValueError(f"made again for its checkpoint, its evaluations are not those of {path}")
    if made.checkpoint is not None:
        _checkpoint(folder, run).parent.mkdir(parents=True, exist_ok=True)
        with replacing(_checkpoint(folder, run)) as file:
            file.write(made.checkpoint)
    if not again:
        records.write(path, made.header, made.evaluations)


def _without_clock(evaluations: Sequence[dict[str, Any]]) -> str:
    return json.dumps([{name: value for name, value in row.items() if name != "wall_s"} for row in evaluations])


def _share(folder: Path, run: Run) -> float:
    """How much of a run is done, by its trainer's last evaluation; 0 where that is not known."""
    try:
        table = (_work(folder, run) / "evaluations.csv").read_text().splitlines()
        return min(1.0, float(table[-1].split(",")[1]) / run.settings["steps"])
    except (OSError, IndexError, ValueError, KeyError, ZeroDivisionError):
        return 0.0


def _said(error: Exception) -> str:
    if isinstance(error, (ValueError, ImportError, FloatingPointError)):
        return str(error)
    return "".join(traceback.format_exception(error)).strip()
