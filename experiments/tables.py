"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table. Cells are written as they are: ``|`` in them is the caller's to escape.

    Raises:
        ValueError: a row with more or fewer cells than titles.
    """
    rows = list(rows)
    for row in rows:
        if len(row) != len(titles):
            raise ValueError(f"{len(titles)} titles {tuple(titles)}, but a row of {len(row)} cells: {tuple(row)}")
    return [_line(titles), "|" + "---|" * len(titles), *map(_line, rows)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
