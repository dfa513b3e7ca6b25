"""``python -m experiments list | run | report | plot | readme``."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from agents.cli import Spec, command_line
from experiments import launch, measurements, records, registry, tuning
from experiments.same import SameRuns
from textgym.errors import whole_number
from textgym.rewards import make_reward
from textgym.rewards.base import number

FOLDER = Path("runs/experiments")
SMOKE = Path("runs/smoke")


@dataclass
class List:
    """The experiments: question, tags, runs, projected core-hours."""


@dataclass
class Run:
    """Make the runs that have no record yet, then write the report."""

    what: tyro.conf.Positional[str]
    """An experiment, a tag, "all", "smoke": all of them, tiny; or "benchmarks", which want a quiet machine."""
    agent: str | None = None
    """Only the arms of this agent: sb3, transformer, ..."""
    seeds: int | None = None
    """Seeds 1 .. N instead of the experiment's own number."""
    tune: int | None = None
    """First N trials of each arm in the experiment's SEARCH, then the runs with the settings of its best trial."""
    jobs: int = field(default_factory=lambda: min(2, os.cpu_count() or 1))
    """Runs at the same time, each of one thread. Benchmarks are measured one after the other, whatever it says."""
    core_hours: float | None = None
    """Begin no more than fit into so many core-hours, as projected; the same command goes on with the next ones."""
    launcher: Literal["local", "ray"] = "local"
    """Where runs are made: processes of this machine, or Ray."""
    folder: Path | None = None
    """Where everything goes; by default runs/experiments (smoke: runs/smoke)."""
    reward: Spec = None
    """mine: the reward to be compared with all controls, as pkg.module:MyReward, a name or JSON."""
    env: str | None = None
    """mine: the environment's id."""
    smoke: bool = False
    """Tiny: does it run here?"""
    again: bool = False
    """benchmarks: measure also what has a record; it is kept, and the newest is shown."""
    dry: bool = False
    """Only say what would be run."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class Report:
    """Write the report (report.md, report.html, figures/) from records alone."""

    what: tyro.conf.Positional[tuple[str, ...]] = ()
    """Experiments or tags, "benchmarks"; by default those that have records."""
    folder: Path = FOLDER
    """Has records/; the report goes there."""
    seeds: int | None = None
    """How many seeds there are, where it is not the experiment's own number."""
    partial: bool = False
    """Leave out runs that are missing, and say so, instead of refusing; what is damaged or foreign is still refused."""


@dataclass
class Plot:
    """Draw the figures from records alone, into figures/."""

    what: tyro.conf.Positional[tuple[str, ...]] = ()
    """Experiments or tags; by default those that have records."""
    folder: Path = FOLDER
    """Has records/."""
    seeds: int | None = None
    """How many seeds there are, where it is not the experiment's own number."""
    partial: bool = False
    """Leave out runs that are missing."""


@dataclass
class Readme:
    """Write the table of published experiments into README.md, from their records."""


Command = (
    Annotated[List, tyro.conf.subcommand("list")]
    | Annotated[Run, tyro.conf.subcommand("run")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Plot, tyro.conf.subcommand("plot")]
    | Annotated[Readme, tyro.conf.subcommand("readme")]
)


def list_experiments(args: List) -> None:
    for name in registry.names():
        experiment = registry.load(name)
        runs = experiment.runs()
        hours = sum(run.seconds for run in runs) / 3600
        trial = sum(experiment.seconds_of(arm) for arm in experiment.search) / 3600
        tune = f", {trial:.2f} more for each trial (--tune)" if trial else ""
        counts = f"{len(runs)} runs, {experiment.seeds} seeds, {hours:.2f} core-h{tune}"
        print(f"{name}  [{', '.join(experiment.tags)}]  {counts}")
        print(f"    {experiment.question}")
    print("benchmarks  one after the other, on a quiet machine")
    for name in measurements.BENCHMARKS:
        print(f"    {name}: {measurements.question(name)}")


def run(args: Run) -> None:
    for name in ("jobs", "seeds", "tune"):
        if getattr(args, name) is not None:
            whole_number(name, getattr(args, name), 1)
    if args.core_hours is not None:
        number("core_hours", args.core_hours, above=0.0)
    given = {name: getattr(args, name) for name in ("reward", "env") if getattr(args, name) is not None}
    if args.what == measurements.FOLDER:
        measure(args)
        return
    if args.again:
        raise ValueError(f"only benchmarks take --again: runs of {args.what} that have records are not made again")
    chosen = registry.select(args.what, args.seeds, args.tune, **given)
    if args.reward is not None:
        try:
            make_reward(args.reward)  # what cannot be made is refused before the controls are run
        except TypeError as error:
            raise ValueError(f"--reward: {error}") from error
    if args.smoke:
        chosen = [experiment.tiny() for experiment in chosen]
    folder = args.folder or (SMOKE if args.smoke or args.what == "smoke" else FOLDER)
    runs = [run for experiment in chosen for run in replace(experiment, trials=0).runs(args.agent)]
    if not runs:
        agents = sorted({str(arm["agent"]) for experiment in chosen for arm in experiment.settings.values()})
        raise ValueError(f"no arm of {args.what} has agent {args.agent!r}; there are {', '.join(agents)}")
    for experiment in chosen:  # what is refused is refused before hours are spent
        if (before := tuning.trials_in(folder / "records", experiment)) > experiment.trials:
            where = folder / "records" / experiment.name
            raise ValueError(f"{where} has {before} trials an arm: --tune {before} goes on, --folder goes elsewhere")
        settled = tuning.settle(folder / "records", experiment)
        records.read_experiment(folder / "records", settled, partial=True)
    trials = [run for experiment in chosen for run in tuning.trial_runs(experiment, args.agent)]
    every = [*trials, *runs]
    recorded = sum(records.path_of(folder / "records", run).exists() for run in every)
    hours = sum(run.seconds for run in SameRuns(folder / "records", every).left(every)) / 3600
    what = f"{len(trials)} trials (with what they start from) and {len(runs)} runs" if trials else f"{len(runs)} runs"
    print(
        f"{what}, {recorded} of which have records in {folder / 'records'}; projected for "
        f"the others: {hours:.2f} core-hours, {hours / args.jobs:.2f} hours with {args.jobs} jobs"
    )
    if args.dry:
        return
    where = {"jobs": args.jobs, "launcher": args.launcher, "progress": args.progress}
    core_hours = math.inf if args.core_hours is None else args.core_hours
    complete = launch.run_all(chosen, folder, agent=args.agent, core_hours=core_hours, **where)
    if not complete:
        print("more is left: the same command goes on")
    _report(chosen, folder, partial=args.agent is not None or not complete)


def measure(args: Run) -> None:
    """``run benchmarks``."""
    folder = args.folder or (SMOKE if args.smoke else FOLDER)
    for name in ("agent", "seeds", "tune", "core_hours", "reward", "env"):
        if getattr(args, name) is not None:
            raise ValueError(f"benchmarks take no --{name.replace('_', '-')}")
    if args.dry:
        print("\n".join(f"{name}: {measurements.question(name)}" for name in measurements.BENCHMARKS))
        return
    measurements.measure_all(folder, smoke=args.smoke, again=args.again)
    _report([], folder, partial=False, benchmarks=True)


def report(args: Report) -> None:
    benchmarks = measurements.FOLDER in (args.what or records.experiments_in(args.folder / "records"))
    _report(_chosen(args), args.folder, args.partial, benchmarks)


def _report(chosen: list[registry.Experiment], folder: Path, partial: bool, benchmarks: bool = False) -> None:
    from experiments import report

    for path in report.write(chosen, folder, partial=partial, benchmarks=benchmarks):
        print(path)


def plot(args: Plot) -> None:
    from experiments import plots

    for experiment in _chosen(args):
        experiment = tuning.settle(args.folder / "records", experiment)
        found = records.read_experiment(args.folder / "records", experiment, args.partial)
        for path in plots.draw(experiment, found, args.folder / "figures"):
            print(path)


def readme(args: Readme) -> None:
    from experiments import published

    published.write()
    print(published.README)


def _chosen(args: Report | Plot) -> list[registry.Experiment]:
    """The experiments that were asked for, with the flags that their records were made with."""
    there = records.experiments_in(args.folder / "records")
    if not there:
        raise ValueError(f"there are no records in {args.folder / 'records'}: python -m experiments run ...")
    if not args.what:
        names = [name for name in there if name != measurements.FOLDER]
        if foreign := [str(args.folder / "records" / name) for name in names if name not in registry.names()]:
            raise ValueError(f"foreign records, of no experiment that is here: {', '.join(foreign)}")
        return [registry.load(name, args.seeds, **_given(args.folder / "records" / name)) for name in names]
    words = [word for word in args.what if word != measurements.FOLDER]
    wanted = [e for word in words for e in registry.select(word, args.seeds)]
    given = {e.name: _given(args.folder / "records" / e.name) for e in wanted}
    return [registry.load(e.name, args.seeds, **given[e.name]) if given[e.name] else e for e in wanted]


def _given(folder: Path) -> dict[str, Any]:
    """The flags in the first record that can be read."""
    for path in sorted(folder.glob(f"*{records.SUFFIX}")):
        try:
            return records.read(path).header["given"]
        except records.RecordError:
            continue
    return {}


def main(command: Command) -> None:
    {List: list_experiments, Run: run, Report: report, Plot: plot, Readme: readme}[type(command)](command)


if __name__ == "__main__":
    command_line(Command, main, "python -m experiments")
