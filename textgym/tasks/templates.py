"""Texts made of the columns of a row: ``"Q: {question}"``."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping, Sequence
from typing import Any

from textgym.errors import unknown
from textgym.running import Recipe
from textgym.tasks.row_files import BadRow, Row, shortened


class Template(Recipe):
    """A text with columns in braces; ``{a.b}`` is b of the mapping, or of each mapping of the list, in column a.

    Texts are put in as they are, numbers as Python writes them. ``{{`` and ``}}`` stand for braces.

    Args:
        name: what messages call it.
        text: the template.

    Attributes:
        columns: the names in braces, each once.
    """

    def __init__(self, name: str, text: str):
        if not isinstance(text, str):
            raise TypeError(f"{name} is a text with columns in braces, such as '{{question}}', got {text!r}")
        try:
            parts = list(string.Formatter().parse(text))
        except ValueError as error:
            raise ValueError(f"{name}={text!r}: {error}; a brace is written twice: '{{{{', '}}}}'") from None
        self.name, self.text = name, text
        self.parts = [(before, column) for before, column, _, _ in parts]
        self.columns = list(dict.fromkeys(column for _, column in self.parts if column is not None))
        if "" in self.columns or any(form or conversion for _, _, form, conversion in parts):
            raise ValueError(f"{name}={text!r}: braces hold the name of a column and nothing else")

    def among(self, columns: Sequence[str], source: str) -> list[str]:
        """Those of ``columns`` that the template needs; ValueError where one is not there."""
        needed = []
        for column in self.columns:
            found = [name for name in (column, column.partition(".")[0]) if name in columns]
            if not found:
                raise ValueError(f"{source}, {self.name}={self.text!r}: {unknown('column', column, columns)}")
            needed += found
        return needed

    def write(self, row: Row) -> str:
        """The text for a row.

        Raises:
            BadRow: it lacks a column, or holds something else than a text or a number there.
        """
        texts = [before + ("" if column is None else self._text(row, column)) for before, column in self.parts]
        return texts[0] if len(texts) == 1 else "".join(texts)

    def write_all(self, row: Row) -> list[str]:
        """The texts for a row: as many as a column that holds a list has items, else one."""
        lists = [column for column in self.columns if isinstance(_value(row, column), list)]
        if not lists:
            return [self.write(row)]
        if len(lists) > 1:
            raise BadRow("several lists", f"{self.name}={self.text!r}: columns {' and '.join(lists)} hold lists")
        return [self.write({**row, lists[0]: item}) for item in _value(row, lists[0])]

    def _text(self, row: Row, column: str) -> str:
        value = _value(row, column)
        if isinstance(value, str):
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return str(value)
        raise BadRow("no text", f"column {column!r} holds {shortened(value)}, which is neither a text nor a number")


def _value(row: Row, column: str) -> Any:
    if column in row:  # a dot in its own name, too
        return row[column]
    value: Any = row
    for name in column.split("."):
        value = [_of(each, name, column) for each in value] if isinstance(value, list) else _of(value, name, column)
    return value


def _of(mapping: Any, name: str, column: str) -> Any:
    if not isinstance(mapping, Mapping):
        raise BadRow("no such column", f"no column {column!r}: {shortened(mapping)} has no {name!r}")
    if name not in mapping:
        raise BadRow("no such column", str(unknown("column", name, mapping)))
    return mapping[name]
