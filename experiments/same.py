"""Runs that compute the same in several experiments or panels: made once, with a record in each.

Experiment and arm are what a run is called by; what it computes is its ``content``: settings, seed, and what it starts
from.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments import records, registry
from experiments.records import Record
from experiments.registry import Run


class SameRuns:
    """Finds the records of other runs with the content of a run.

    Args:
        folder: has a folder of records of each experiment.
        runs: that are looked for there, beside those of the experiments as their files are.
    """

    def __init__(self, folder: Path, runs: Sequence[Run] = ()):
        self.folder = folder
        self.by_content: dict[str, dict[str, Run]] = defaultdict(dict)
        with_records = [name for name in registry.names() if (folder / name).exists()]
        for run in (*runs, *(run for name in with_records for run in registry.load(name).runs())):
            self.by_content[run.content][run.id] = run

    def recorded(self, run: Run) -> Iterator[tuple[Run, Record]]:
        """The others of its content that have a record, with it."""
        for other in self.by_content[run.content].values():
            path = records.path_of(self.folder, other)
            if other.id != run.id and path.exists() and (record := records.read(path)).header["id"] == other.id:
                yield other, record

    def left(self, runs: Sequence[Run]) -> list[Run]:
        """Those of ``runs`` that are to be made: without a record, each content once."""
        found: dict[str, Run] = {}
        for run in runs:
            recorded = records.path_of(self.folder, run).exists() or any(self.recorded(run))
            if not recorded:
                found.setdefault(run.content, run)
        return list(found.values())
