"""Records: what came of a run, one file each, written whole; and the reader that lets nothing else into a figure.

A record is gzipped JSON lines: a header (format, experiment, arm, seed, id, settings, versions, fingerprint of the
data, ...), one line an evaluation, and a closing line with their number and the SHA-256 of all lines before it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from agents.files import replacing
from experiments.registry import FIRST_SEED, Experiment, Run
from experiments.search import outside, point_in

FORMAT = "textgym-record-1"
SUFFIX = ".jsonl.gz"
HEADER = {  # of the record of a run, at least
    "experiment": str, "arm": str, "seed": int, "id": str, "settings": dict, "given": dict,
    "fingerprint": (str, type(None)), "init": (str, type(None)), "policy": (str, type(None)),
}  # fmt: skip


class RecordError(ValueError):
    """Records that must not enter a figure; each problem is a line and names its file."""

    def __init__(self, problems: Sequence[str]):
        super().__init__("\n  ".join(["records that cannot be used:", *problems]))
        self.problems = list(problems)


@dataclass(frozen=True)
class Record:
    """What came of a run.

    Attributes:
        path: its file.
        header: see the module.
        evaluations: dicts of ``tokens`` (of the run so far), ``greedy`` and ``sampled`` (mean true scores), ``return``,
            ``terms`` (what each term of the reward paid), ``length`` (tokens), ``entropy`` and ``kl`` (nats, of the
            last update), ``wall_s``, ... ; None: the agent has none.
    """

    path: Path
    header: dict[str, Any]
    evaluations: list[dict[str, Any]]

    @property
    def arm(self) -> str:
        return self.header["arm"]

    @property
    def seed(self) -> int:
        return self.header["seed"]

    @property
    def trial(self) -> int | None:
        """Its number, None: it is no trial."""
        return self.header.get("trial")

    @property
    def tokens(self) -> np.ndarray:
        """Of each evaluation, int64 (E,)."""
        return np.array([row["tokens"] for row in self.evaluations])

    def curve(self, column: str) -> np.ndarray:
        """A column of the evaluations, float64 (E,); NaN where it has no value."""
        values = [row.get(column) for row in self.evaluations]
        return np.array([np.nan if value is None else value for value in values], float)

    def last(self, column: str) -> float:
        """The value of the last evaluation, NaN: it has none."""
        return float(self.curve(column)[-1])


def experiments_in(folder: Path) -> list[str]:
    """The names of the experiments that have records there; "benchmarks" is that of the benchmarks."""
    return sorted({path.parent.name for path in folder.glob(f"*/*{SUFFIX}")})


def path_of(folder: Path, run: Run) -> Path:
    """Where the record of a run stands."""
    return folder / run.experiment / f"{run.name}{SUFFIX}"


def write(path: Path, header: dict[str, Any], evaluations: Sequence[dict[str, Any]]) -> None:
    """A record, whole or not at all. The same lines give the same bytes."""
    lines = [json.dumps(line) for line in ({"format": FORMAT, **header}, *evaluations)]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    lines.append(json.dumps({"evaluations": len(evaluations), "sha256": digest}))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0))


def read(path: Path, of: str = "experiment") -> Record:
    """A record.

    Args:
        of: what it is of, a key of its header: "experiment", "benchmark".

    Raises:
        RecordError: it is cut, changed, of something else, or no record at all.
    """
    try:
        lines = gzip.decompress(path.read_bytes()).decode().splitlines()
        values = [json.loads(line) for line in lines]
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise RecordError([f"{path}: damaged ({error})"]) from error
    if len(values) < 2 or not all(isinstance(v, dict) for v in values) or values[0].get("format") != FORMAT:
        raise RecordError([f"{path}: no record of format {FORMAT}"])
    header, *evaluations, end = values
    if end.get("evaluations") != len(evaluations):
        raise RecordError([f"{path}: cut: it ends without its closing line of {len(evaluations)} evaluations"])
    if end.get("sha256") != hashlib.sha256("\n".join(lines[:-1]).encode()).hexdigest():
        raise RecordError([f"{path}: changed: its lines are not those of its checksum"])
    if of not in header:
        raise RecordError([f"{path}: foreign: no record of any {of}"])
    kinds = HEADER if of == "experiment" else {}
    if wrong := [name for name, kind in kinds.items() if name not in header or not isinstance(header[name], kind)]:
        raise RecordError([f"{path}: foreign: its header lacks {', '.join(wrong)}, or has something else there"])
    if of == "experiment" and not evaluations and header.get("trial") is None:
        raise RecordError([f"{path}: it has no evaluations"])
    return Record(path, header, evaluations)


def read_experiment(folder: Path, experiment: Experiment, partial: bool = False) -> list[Record]:
    """The records of all runs of an experiment, and of nothing else, in the order of its runs.

    Those of later seeds than the experiment has, or of panels that are not shown, are left out; trials are looked at,
    and are in :func:`read_trials`.

    Args:
        folder: has a folder of each experiment.
        experiment: :func:`~experiments.tuning.settle`d.
        partial: runs without a record are left out, instead of refused. All else is refused all the same.

    Raises:
        RecordError: every record that is damaged, of another experiment, arm, seed or of other settings, there twice,
            missing, of other data than the rest, or not of the warm start of its seed; trials at other points.
    """
    every, problems = _read_all(folder / experiment.name)
    seeds = max([experiment.seeds, *(record.seed - FIRST_SEED + 1 for record in every)])
    known = _Known(replace(experiment, seeds=seeds, only=None))
    foreign = {record.path: problem for record in every if (problem := known.foreign(record))}
    found = {_name(record.path): record for record in every if record.path not in foreign}
    runs, before = experiment.runs(), experiment.starts()
    # for their names alone: their points stand in their records
    before += [experiment.trial(arm, k, {}) for arm in experiment.searched() for k in range(experiment.trials)]
    problems += foreign.values()
    if not partial:
        refused = {_name(Path(problem.partition(": ")[0])) for problem in problems}
        problems += [
            f"{folder / experiment.name / run.name}{SUFFIX}: missing: {_said(run)} has not been run"
            for run in (*before, *runs)
            if run.name not in found and run.name not in refused
        ]
    records, trials = ([found[run.name] for run in each if run.name in found] for each in (runs, before))
    problems += _other_data([*trials, *records]) + _other_start([*trials, *records])
    problems += _other_points([record for record in trials if record.trial is not None], experiment)
    if problems:
        raise RecordError(problems)
    return records


def read_trials(folder: Path, experiment: Experiment) -> dict[str, dict[int, Record]]:
    """Arm -> number -> the record of that trial, of all that can be read; :func:`read_experiment` says which cannot."""
    trials: dict[str, dict[int, Record]] = defaultdict(dict)
    for record in _read_all(folder / experiment.name, "*-s0-t*")[0]:
        if record.trial is not None:
            trials[record.arm][record.trial] = record
    return trials


def _read_all(folder: Path, name: str = "*") -> tuple[list[Record], list[str]]:
    """The records that can be read, and what is wrong with the others."""
    found, problems = [], []
    for path in sorted(folder.glob(f"{name}{SUFFIX}")):
        try:
            found.append(read(path))
        except RecordError as error:
            problems += error.problems
    return found, problems


def _name(path: Path) -> str:
    return path.name.removesuffix(SUFFIX)


def _said(run: Run | Record) -> str:
    return f"arm {run.arm}, seed {run.seed}" + ("" if run.trial is None else f", trial {run.trial}")


class _Known:
    """The runs that records of an experiment can be of."""

    def __init__(self, experiment: Experiment):
        self.experiment = experiment
        self.by_name = {run.name: run for run in (*experiment.starts(), *experiment.runs())}
        self.by_id = {run.id: run for run in self.by_name.values()}

    def foreign(self, record: Record) -> str | None:
        """What is wrong with a whole record among those of the experiment."""
        header, path, experiment = record.header, record.path, self.experiment
        arm, number = record.arm, record.trial
        run, same = self.by_name.get(_name(path)), self.by_id.get(header["id"])
        if number is not None and arm in experiment.searched() and number < experiment.trials:
            point = point_in(header["settings"], experiment.search[arm])
            if wrong := outside(point, experiment.search[arm]):
                return f"{path}: of another run than this experiment's: {'; '.join(wrong)}"
            trial = experiment.trial(arm, number, point)
            run = trial if trial.name == _name(path) else None
            same = trial if trial.id == header["id"] else None
        if same is not None and (run is None or same.id != run.id):
            return f"{path}: a second record of {same.name}, under another name"
        if run is None:
            what = f"{header['experiment']}, {_said(record)}"
            if number is None and experiment.awaits_trials(arm):
                return f"{path}: foreign: {what}: the arm has not all of its {experiment.trials} trials, which say how"
            there = f", each arm has {experiment.trials} trials" if number is not None else ""
            return f"{path}: foreign: {what} is no run of these{there}"
        if header["id"] != run.id:
            given = header["settings"]
            keys = sorted({*given, *run.settings})
            changed = [
                f"{k} was {given.get(k)!r}, is {run.settings.get(k)!r}"
                for k in keys
                if given.get(k) != run.settings.get(k)
            ]
            what = "; ".join(changed) or f"of {header['experiment']}, {_said(record)}"
            return f"{path}: of another run than this experiment's: {what}"
        return None


def _other_points(trials: Sequence[Record], experiment: Experiment) -> list[str]:
    """Trials at another point than those of the same number in the same space."""
    first: dict[tuple[str, int], tuple[dict[str, Any], Path]] = {}
    problems = []
    for record in trials:
        space = experiment.search[record.arm]
        point = point_in(record.header["settings"], space)
        usual, path = first.setdefault((str(space), record.header["trial"]), (point, record.path))
        if point != usual:
            problems.append(f"{record.path}: tried at another point than {path.name}: {point}, not {usual}")
    return problems


def _other_data(records: Sequence[Record]) -> list[str]:
    """Records of an environment whose data (text, vocabulary) is not that of most of its records."""
    by_env: dict[str, dict[Any, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        settings = record.header["settings"]
        env = json.dumps([settings.get("env"), settings.get("env_kwargs")])
        by_env[env][record.header["fingerprint"]].append(record)
    problems = []
    for fingerprints in by_env.values():
        usual = max(fingerprints, key=lambda each: len(fingerprints[each]))
        problems += [
            f"{r.path}: of other data: fingerprint {found}, of {len(fingerprints[usual])} others {usual}"
            for found, each in fingerprints.items()
            if found != usual
            for r in each
        ]
    return problems


def _other_start(records: Sequence[Record]) -> list[str]:
    """Records of runs that did not start from the checkpoint of their seed."""
    left = {(record.arm, record.seed): record.header["policy"] for record in records}
    problems = []
    for record in records:
        init = record.header["settings"].get("init")
        if init and left.get((init, record.seed), record.header["init"]) != record.header["init"]:
            problems.append(f"{record.path}: it did not start from the policy of {init}-s{record.seed}, but another")
    return problems
