"""The commands that read a store: stats, export, import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from agents.feedback.exchange import export_store, import_file
from agents.feedback.store import Store
from agents.feedback.summary import show, summary
from agents.files import write_json

File = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]


@dataclass
class StatsArgs:
    """How much was judged, by whom, and whose answers are worth a second look."""

    store: Path
    """The file with the judgements."""
    json: File = None
    """Also write it all to this file."""


def stats(args: StatsArgs) -> None:
    with Store(args.store, create=False) as store:
        found = summary(store)
    print(show(found))
    if args.json is not None:
        write_json(args.json, found)


@dataclass
class ExportArgs:
    """Write the judgements that stand as JSON lines: preferences (prompt, chosen, rejected) and three more files."""

    store: Path
    """The file with the judgements."""
    folder: Path
    """Where preferences.jsonl, undecided.jsonl, ratings.jsonl and spans.jsonl are written."""


def export(args: ExportArgs) -> None:
    with Store(args.store, create=False) as store:
        for name, lines in export_store(store, args.folder).items():
            print(f"{args.folder / name}: {lines:,} lines")


@dataclass
class ImportArgs:
    """Read files of judgements, such as those that export writes or any with prompt, chosen and rejected."""

    store: Path
    """The file to add them to; made where there is none."""
    files: tuple[Path, ...]
    """JSON lines. What a file says a second time is not added again."""
    task: str = ""
    """The task of lines that do not name theirs."""
    annotator: str = "imported"
    """The annotator of lines that do not name theirs."""


def import_(args: ImportArgs) -> None:
    with Store(args.store) as store:
        for path in args.files:
            stored, known = import_file(store, path, args.task, args.annotator)
            print(f"{path}: {stored:,} judgements added, {known:,} were there already")
