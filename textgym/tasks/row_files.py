"""Rows out of files: JSON lines, CSV and TSV, parallel text.

A row is a mapping column -> value. A source reads its rows from the first to the last, or one by its position, so that
what is larger than memory need not be kept. A row that cannot be read is a :class:`BadRow`, which says where it stands.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import json
import os
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from textgym.running import Recipe

Row = Mapping[str, Any]
Position = Sequence[int]
_BIG = 1 << 26  # bytes: reading a file of that size takes a second or more, and is shown as a progress bar


class BadRow(ValueError):
    """A row that cannot be read.

    Args:
        reason: what is wrong, the same words for all rows of which it is true.
        details: what is wrong with this one.
        place: file, line and column, as ``"pairs.jsonl:17"``.
    """

    def __init__(self, reason: str, details: str, place: str = ""):
        super().__init__(reason, details, place)  # all of them, so that it can be pickled
        self.reason, self.details, self.place = reason, details, place

    def __str__(self) -> str:
        return f"{self.place}: {self.details} (on_bad_row='skip' leaves such rows out and counts them)"


class Source(Recipe, ABC):
    """The rows of one place.

    Attributes:
        name: what messages call it.
        columns: the columns that every row has, a list; None where each row says its own.
        width: numbers in a position.
        seekable: rows can be read by their positions.
    """

    name: str
    columns: list[str] | None = None
    width = 1
    seekable = True

    @abstractmethod
    def rows(self, bad: Callable[[BadRow], None]) -> Iterator[tuple[int, Position, Row]]:
        """Every row: its number for messages, its position, its values. One that cannot be read is given to ``bad``,
        and, where that returns, left out."""

    @abstractmethod
    def read(self, position: Position) -> Row:
        """The row at a position.

        Raises:
            RuntimeError: the file has changed since it was opened.
        """

    def place(self, number: int) -> str:
        """Where the row with that number stands."""
        return f"{self.name}:{number}"

    def only(self, columns: Iterable[str]) -> Source:
        """The same rows, of which no other columns will be asked for."""
        return self


class LineFile(Recipe):
    """The lines of a UTF-8 file, plain or ``.gz``, which end with a line feed and nothing else."""

    def __init__(self, path: str):
        if not os.path.isfile(path):
            raise FileNotFoundError(_no_file(path))
        self.path = path
        self.gzipped = path.endswith(".gz")
        self.state = file_state(path)

    def lines(self) -> Iterator[tuple[int, int, bytes]]:
        """(number from 1, offset of the first byte, bytes) of every line. A byte order mark is passed over."""
        offset = 0
        with gzip.open(self.path) if self.gzipped else open(self.path, "rb") as file, _Bar(self) as bar:
            try:
                for number, line in enumerate(file, 1):
                    end = offset + len(line)
                    if number == 1 and line.startswith(b"\xef\xbb\xbf"):
                        offset, line = 3, line[3:]
                    yield number, offset, line
                    offset = end
                    bar.reach(end)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise ValueError(f"{self.path} is no gzip file, or not a whole one: {error}") from error

    def lines_from(self, offset: int) -> Iterator[str]:
        """The lines from that byte on, as text."""
        with open(self.path, "rb") as file:
            if file_state(file.fileno()) != self.state:
                raise RuntimeError(f"{self.path} has changed since its rows were counted: make the environment anew")
            file.seek(offset)
            for line in file:
                yield line.decode()

    def text(self, line: bytes, number: int) -> str:
        """A line as text; BadRow where it is none."""
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            byte = f"byte {error.start + 1} of the line, {error.object[error.start]:#04x}, is not UTF-8"
            raise BadRow("not UTF-8", byte, f"{self.path}:{number}") from None


class _Bar:
    """A progress bar for a file that is big, on a terminal."""

    def __init__(self, file: LineFile):
        self.bar, self.next = None, 0
        size = os.path.getsize(file.path)
        if size >= _BIG and not file.gzipped:
            from tqdm import tqdm

            name = os.path.basename(file.path)
            self.bar = tqdm(desc=f"reading {name}", total=size, unit="B", unit_scale=True, disable=None)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.bar is not None:
            self.bar.close()

    def reach(self, offset: int) -> None:
        if self.bar is not None and offset >= self.next:
            self.bar.update(offset - self.bar.n)
            self.next = offset + (1 << 20)


class JsonLines(Source):
    """A JSON object a line; blank lines are passed over."""

    def __init__(self, path: str):
        self.name = path
        self.file = LineFile(path)
        self.seekable = not self.file.gzipped

    def rows(self, bad):
        for number, offset, line in self.file.lines():
            if not line.isspace():
                try:
                    yield number, (offset,), self._parse(line, number)
                except BadRow as error:
                    bad(error)

    def _parse(self, line: bytes, number: int) -> Row:
        text = self.file.text(line, number)
        try:
            row = json.loads(text.rstrip())
        except (ValueError, RecursionError) as error:
            column = getattr(error, "colno", 1)
            message = getattr(error, "msg", "nested too deeply")
            details = f"not JSON ({message}); each line is to be a JSON object"
            raise BadRow("not JSON", details, f"{self.name}:{number}:{column}") from None
        if not isinstance(row, dict):
            details = f"{shortened(row)} is no JSON object; each line is to be one"
            raise BadRow("no JSON object", details, f"{self.name}:{number}")
        return row

    def read(self, position):
        return json.loads(next(self.file.lines_from(position[0])))


class Delimited(Source):
    """Comma-separated values (RFC 4180), or, in a ``.tsv``, cells between tabs without any quoting.

    The first line has the names of the columns.
    """

    def __init__(self, path: str):
        self.name = path
        self.file = LineFile(path)
        self.seekable = not self.file.gzipped
        tabs = path.removesuffix(".gz").lower().endswith(".tsv")
        self.dialect = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if tabs else {"strict": True}
        header = next(self._records(_refuse), None)
        if header is None:
            raise ValueError(f"{path} is empty: its first line is to have the names of the columns")
        self.columns = header[2]
        twice = [name for name, count in Counter(self.columns).items() if count > 1]
        if twice:
            raise ValueError(f"{path}:1: two columns are called {twice[0]!r}")

    def rows(self, bad):
        records = self._records(bad)
        next(records)
        for number, offset, cells in records:
            if len(cells) == len(self.columns):
                yield number, (offset,), dict(zip(self.columns, cells, strict=True))
            else:
                details = f"{len(cells)} cells; the header has {len(self.columns)}: {', '.join(self.columns)}"
                bad(BadRow("wrong number of cells", details, self.place(number)))

    def _records(self, bad: Callable[[BadRow], None]) -> Iterator[tuple[int, int, list[str]]]:
        """(line, offset, cells) of each record; one with quotes may go over several lines."""
        lines = _Lines(self.file)
        reader = csv.reader(lines, **self.dialect)
        while True:
            lines.first = None
            try:
                cells = next(reader, None)
                if cells is None:
                    return
                if cells:  # no blank line
                    yield *lines.first, cells
            except csv.Error as error:
                bad(BadRow("not CSV", f"not CSV ({error})", self.place(lines.first[0])))
            except BadRow as error:
                bad(error)

    def read(self, position):
        cells = next(csv.reader(self.file.lines_from(position[0]), **self.dialect))
        return dict(zip(self.columns, cells, strict=True))


class _Lines:
    """Lines for ``csv.reader``, which can go on after an error: a generator could not.

    Attributes:
        first: (number, offset) of the first line since this was last set to None.
    """

    def __init__(self, file: LineFile):
        self.file = file
        self.lines = file.lines()
        self.first: tuple[int, int] | None = None

    def __iter__(self):
        return self

    def __next__(self):
        number, offset, line = next(self.lines)
        self.first = self.first or (number, offset)
        return self.file.text(line, number)


class ParallelText(Source):
    """Text files whose lines belong together, a column each."""

    def __init__(self, paths: Mapping[str, str]):
        self.name = ", ".join(paths.values())
        self.columns = list(paths)
        self.width = len(paths)
        self.files = [LineFile(path) for path in paths.values()]
        self.seekable = not any(file.gzipped for file in self.files)

    def rows(self, bad):
        every = zip_longest(*(file.lines() for file in self.files))
        for number, lines in enumerate(every, 1):
            ended = [line is None for line in lines]
            if any(ended):
                short, long = self.files[ended.index(True)].path, self.files[ended.index(False)].path
                details = f"there is no such line, but {long} has it: the lines of parallel files belong together"
                bad(BadRow("files of different lengths", details, f"{short}:{number}"))
                continue
            try:
                yield number, [offset for _, offset, _ in lines], self._row(lines)
            except BadRow as error:
                bad(error)

    def _row(self, lines: Sequence[tuple[int, int, bytes]]) -> Row:
        texts = [file.text(line, number) for file, (number, _, line) in zip(self.files, lines, strict=True)]
        return dict(zip(self.columns, map(_without_end, texts), strict=True))

    def read(self, position):
        texts = [next(file.lines_from(offset)) for file, offset in zip(self.files, position, strict=True)]
        return dict(zip(self.columns, map(_without_end, texts), strict=True))

    def place(self, number):
        return f"{self.files[0].path}:{number}"


def file_state(file: str | int) -> tuple[int, int]:
    """What changes when a file is written to: its size and the time of it."""
    state = os.stat(file)
    return state.st_size, state.st_mtime_ns


def _refuse(error: BadRow) -> None:
    raise error


def _without_end(line: str) -> str:
    return line.removesuffix("\n").removesuffix("\r")


def shortened(value: Any, most: int = 60) -> str:
    shown = repr(value)
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."


def _no_file(path: str) -> str:
    folder = os.path.dirname(path)
    if os.path.isdir(path):
        return f"{path!r} is a folder; a file is needed"
    if not os.path.isdir(folder or "."):
        return f"no file {path!r}: there is no folder {folder!r}"
    near = difflib.get_close_matches(os.path.basename(path), os.listdir(folder or "."), n=1, cutoff=0.5)
    return f"no file {path!r}." + (f" Did you mean {os.path.join(folder, near[0])!r}?" if near else "")
