"""Rows of different lengths in one array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def put_ragged(
    matrix: np.ndarray, rows: Sequence[int], items: np.ndarray, sizes: Sequence[int], fill: int, end: int | None = None
) -> None:
    """Make ``rows`` of ``matrix`` all ``fill``, but for ``sizes[i]`` of the ``items``.

    Args:
        matrix: (n, width), changed in place.
        rows: k row indices. A loop of slices: for fewer than about 50 rows it is not slower than index arrays.
        items: (sum of sizes,), those of the first row, then those of the second, ...
        sizes: k numbers, at least 0.
        fill: what the rest of the rows gets.
        end: the column before which the items end; None: they begin in column 0.
    """
    start = 0
    for row, size in zip(rows, sizes, strict=True):
        line, stop = matrix[row], start + size
        line.fill(fill)
        column = 0 if end is None else end - size
        line[column : column + size] = items[start:stop]
        start = stop
