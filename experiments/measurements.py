"""What the benchmarks measured: a record each time, tables of numbers, and the pages made of the newest of them.

A record is a file as ``records.py`` has it: a header (benchmark, settings, versions, machine, when, ...) and a line a
table. It stands in records/benchmarks/ and is never written over: who measures again leaves another one.
"""

from __future__ import annotations

import argparse
import ast
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from agents.runs import versions
from experiments import records
from experiments.launch import RunsFailed
from experiments.records import SUFFIX, Record, RecordError
from experiments.tables import markdown_table

BENCHMARKS = ("envs", "metrics", "agents", "datasets", "expressions", "feedback")
FOLDER = "benchmarks"  # in records/
BUSY = 0.5  # cores that others kept busy while nothing was measured yet

Cell = str | float | None | list[float]


@dataclass(frozen=True)
class Table:
    """What a benchmark measured.

    Attributes:
        caption: what the numbers are.
        columns: (title, format) of each.
        rows: a cell a column: text, a number, None (nothing), or the numbers that the format takes together.
    """

    caption: str
    columns: Sequence[tuple[str, str]]
    rows: list[list[Cell]]

    def cells(self) -> list[list[str]]:
        """The rows as they are shown."""
        formats = [format for _, format in self.columns]
        return [[_shown(cell, format) for cell, format in zip(row, formats, strict=True)] for row in self.rows]

    def markdown(self) -> list[str]:
        return [f"{self.caption}:", "", *markdown_table([title for title, _ in self.columns], self.cells())]


def _shown(cell: Cell, format: str) -> str:
    if cell is None:
        return ""
    return format.format(*cell) if isinstance(cell, list) else format.format(cell)


@dataclass(frozen=True)
class Measurement:
    """A record of a benchmark."""

    record: Record

    @property
    def name(self) -> str:
        return self.record.header["benchmark"]

    @property
    def tables(self) -> list[Table]:
        return [Table(**line) for line in self.record.evaluations]

    @property
    def about(self) -> str:
        """One sentence: when, on what, with what."""
        header = self.record.header
        machine, load = header["machine"], header["machine"]["load"]
        busy = f" (busy: the load before was {load})" if load > BUSY else f" (load before: {load})"
        tiny = "Tiny, to see that it runs, no measurement. " if header["smoke"] else ""
        packages = ", ".join(f"{name} {version}" for name, version in header["versions"].items())
        settings = "".join(f", {name} {value}" for name, value in header["settings"].items())
        return (
            f"{tiny}Measured {header['when']} on {machine['processor']}, {machine['cores']} cores{busy}{settings}; "
            f"{packages}; {header['seconds']:,.0f} s."
        )

    def page(self) -> str:
        """All of it as Markdown."""
        source = f"Written by `python -m experiments report benchmarks` from `records/{FOLDER}/{self.record.path.name}`"
        lines = [f"# {self.record.header['page']}", "", f"{source}. {self.about}"]
        for table in self.tables:
            lines += ["", *table.markdown()]
        return "\n".join(lines) + "\n"


# -- measuring ---------------------------------------------------------------------------------------


@contextmanager
def measuring(
    name: str, doc: str, args: argparse.Namespace, packages: Sequence[str], **settings: Any
) -> Iterator[list[Table]]:
    """The tables, to be filled; then they are printed, and a record is left in ``args.folder``, if there is one.

    Args:
        name: of the benchmark, with what sets its numbers apart ("agents-cuda").
        doc: its module's docstring.
        packages: whose versions are kept.
        settings: what else makes the numbers what they are.
    """
    machine = {"processor": processor(), "cores": os.cpu_count(), "load": round(load(), 2)}
    now, began, tables = datetime.now(timezone.utc), time.monotonic(), []
    yield tables
    for table in tables:
        print("\n".join(table.markdown()), end="\n\n")
    if args.folder is None:
        return
    header = {"benchmark": name, "page": doc.strip(), "smoke": args.smoke, "settings": settings}
    header |= {"versions": versions(*packages), "machine": machine, "when": now.strftime("%Y-%m-%d %H:%M:%S UTC")}
    header["seconds"] = round(time.monotonic() - began, 1)
    path = args.folder / "records" / FOLDER / _file(header)
    records.write(path, header, [asdict(table) for table in tables])
    print(path)


def _file(header: dict[str, Any]) -> str:
    """The name of a record's file."""
    when = header["when"].removesuffix(" UTC").translate(str.maketrans(" ", "-", ":"))
    return f"{header['benchmark']}-{when}{SUFFIX}"


def processor() -> str:
    """The name of what computes."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def load(seconds: float = 0.25) -> float:
    """Cores that others keep busy just now. The load average, whose minute still has the benchmark before in it, is
    taken only where nothing else is told."""
    before = _ticks()
    time.sleep(seconds)
    spent = _ticks() - before
    return (os.cpu_count() or 1) * float(1 - spent[3:5].sum() / spent.sum()) if spent.any() else os.getloadavg()[0]


def _ticks() -> np.ndarray:
    """Of all cores since the machine started, int64 (8,): user, nice, system, idle, waiting, ...; 0: it is not told."""
    try:
        first = Path("/proc/stat").read_text().partition("\n")[0]
    except OSError:
        return np.zeros(8, np.int64)
    return np.array(first.split()[1:9], np.int64)


def measure_all(folder: Path, *, smoke: bool, again: bool) -> None:
    """Each benchmark that has no such record in ``folder``, or (again) every one: one after the other.

    Raises:
        RecordError: there are records that cannot be used.
        RunsFailed: some benchmarks failed; the others have their records.
    """
    there = {each.name for each in newest(folder / "records") if each.record.header["smoke"] == smoke}
    failed = []
    for name in BENCHMARKS:
        if name in there and not again:
            continue
        command = [sys.executable, "-m", f"experiments.benchmarks.{name}", "--folder", str(folder)]
        threads = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        print(f"{name}: {question(name)}", flush=True)
        done = subprocess.run([*command, *(["--smoke"] if smoke else [])], env={**os.environ, **threads})
        if done.returncode:
            failed.append(name)
    if failed:
        raise RunsFailed(f"{len(failed)} of {len(BENCHMARKS)} benchmarks failed: {', '.join(failed)}")


def question(name: str) -> str:
    """The first line of a benchmark's docstring."""
    file = Path(__file__).parent / "benchmarks" / f"{name}.py"
    return ast.get_docstring(ast.parse(file.read_text())).splitlines()[0]


# -- reading -----------------------------------------------------------------------------------------


def newest(folder: Path) -> list[Measurement]:
    """The last record of each benchmark in ``folder``/benchmarks, by name.

    Raises:
        RecordError: every record that is damaged, of something else, or there twice, older ones too.
    """
    problems, found = [], {}
    for path in sorted((folder / FOLDER).glob(f"*{SUFFIX}")):
        try:
            record = records.read(path, of="benchmark")
        except RecordError as error:
            problems += error.problems
            continue
        if path.name != _file(record.header):
            problems.append(f"{path}: foreign: the record {_file(record.header)} under another name")
        else:
            name, when = record.header["benchmark"], record.header["when"]
            if name not in found or when > found[name].record.header["when"]:
                found[name] = Measurement(record)
    if problems:
        raise RecordError(problems)
    return [found[name] for name in sorted(found)]
