"""Small things about arrays that the environments do at every step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# From so many rows on an index array is faster than a loop over numbers. ``for at in each if len(each) < MANY else
# (rows,): array[at] = 0`` takes the faster way to all ``rows``, an array, ``each`` of them in a list.
MANY = 8


def some(flags: np.ndarray) -> bool:
    """Whether any of ``flags``, bool of any shape, is set; a tenth of the time of ``flags.any()`` for a few hundred."""
    return 1 in flags.tobytes()


def all_finite(values: np.ndarray) -> bool:
    """Whether no number of ``values``, float64 of any shape, is NaN or infinite."""
    return 0 not in np.isfinite(values).tobytes()


def put_ragged(
    matrix: np.ndarray, rows: Sequence[int], items: np.ndarray, sizes: Sequence[int], fill: int, end: int | None = None
) -> None:
    """Make ``rows`` of ``matrix`` all ``fill``, but for ``sizes[i]`` of the ``items``.

    Args:
        matrix: (n, width), changed in place.
        rows: k row indices, each once.
        items: (sum of sizes,), those of the first row, then those of the second, ...
        sizes: k numbers, at least 0.
        fill: what the rest of the rows gets.
        end: the column before which the items end; None: they begin in column 0.
    """
    if len(rows) >= MANY and sizes.count(sizes[0]) == len(rows):
        block = np.full((len(rows), matrix.shape[1]), fill, matrix.dtype)
        column = 0 if end is None else end - sizes[0]
        block[:, column : column + sizes[0]] = items.reshape(len(rows), -1)
        matrix[rows] = block
        return
    # a loop of slices: for fewer than about 50 rows it is not slower than index arrays
    start = 0
    for i, size in enumerate(sizes):
        line, stop = matrix[rows[i]], start + size
        line.fill(fill)
        column = 0 if end is None else end - size
        line[column : column + size] = items[start:stop]
        start = stop
