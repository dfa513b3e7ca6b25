"""Optimistic edit distance: how near the text can still come to the reference."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from textgym.metrics.edit_distance import EditDistance, EditProgress, nearest


class OptimisticEditDistance(EditDistance):
    """The smallest edit distance that any continuation of the text so far can have (Bahdanau et al. 2017).

    That is the distance to the nearest PREFIX of the reference: what is not written yet costs nothing, and an
    error is counted when it is made. It never falls as the text grows, by a symbol it rises by 0 or 1, and it is
    0 exactly while the text is a prefix of a reference.

    It is a potential, not a measure of finished texts: :meth:`score` gives the same value of a text that has ended,
    so that an empty text has distance 0 and accuracy 1. As a reward it says nothing for finishing:
    ``-1.0 * Delta(OptimisticEditDistance(form="distance"))`` fines each error, and EOS never; an agent that it
    alone pays does best by writing nothing. Add what a finished text is worth (``Terminal``), or use it as the
    potential of shaping. ``Delta`` of the accuracy, which begins at 0, pays 1 for the first symbol.

    Args:
        unit: "character" or "word". The last, perhaps unfinished, word counts as it stands.
        form: "rate": distance / length of the reference, lower is better (an empty reference counts as one
            symbol long); "accuracy": max(0, 1 - rate), in [0, 1]; "distance": the count itself.

    With several references the best one counts; with none, the accuracy is 0, the rate 1 and the distance the length
    of the text, as of :class:`~textgym.metrics.edit_distance.EditDistance`.
    """

    def __init__(self, unit: str = "character", form: str = "accuracy"):
        super().__init__(unit, form)
        self.name = f"optimistic_{self.name}"

    def start(self, episode):
        return nearest(self, [_Optimistic(self.unit, self.form, reference) for reference in episode.references])

    def compiled_rows(self, n):
        if type(self) is not OptimisticEditDistance:
            return None
        from textgym.metrics.compiled.edit_distance import EditDistanceRows

        return EditDistanceRows(self, n, optimistic=True)


class _Optimistic(EditProgress):
    def __init__(self, unit, form, reference):
        super().__init__(unit, form, reference)
        self.right = 0  # committed symbols less the smallest cell: never falls

    def distance(self, column):
        """The smallest cell of the column.

        No cell is smaller than its distance from the diagonal: those near it are looked at, 64 at a time.
        """
        plus, minus, top = column
        first = self.right
        lowest = top - first  # or less
        above = (1 << first) - 1
        level = top + (plus & above).bit_count() - (minus & above).bit_count()  # cell ``first``, not smaller
        near = (1 << 2 * lowest) - 1
        plus, minus = plus >> first & near, minus >> first & near
        for start in range(0, minus.bit_length(), 64):  # below the last -1 nothing is smaller
            up, down = plus >> start & _WORD, minus >> start & _WORD
            falls = down.bit_count()
            if level - falls < lowest:
                lowest = min(lowest, level - _depth(up, down))
            level += up.bit_count() - falls
        self.right = max(first, self.column[2] - lowest)
        return lowest


def _depth(plus: int, minus: int) -> int:
    """How far 64 cells go below the one above them."""
    depths, counts = _tables()
    level = deepest = 0
    size = minus.bit_length() + 7 >> 3
    plus &= (1 << 8 * size) - 1
    for up, down in zip(plus.to_bytes(size, "little"), minus.to_bytes(size, "little"), strict=True):
        if down:
            depth = depths[up << 8 | down] - level
            if depth > deepest:
                deepest = depth
            level -= counts[down]
        level += counts[up]
    return deepest


_WORD = (1 << 64) - 1


@lru_cache(maxsize=1)
def _tables() -> tuple[bytes, bytes]:
    """How far eight cells go below the one above them, at [256 * differences +1 + differences -1]; ones in a byte."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").view(np.int8)  # (256, 8)
    levels = np.cumsum(bits[:, None] - bits, axis=2, dtype=np.int8)  # (256, 256, 8)
    depths = np.maximum(-levels.min(axis=2), 0)
    return depths.astype(np.uint8).tobytes(), bits.sum(axis=1, dtype=np.uint8).tobytes()
