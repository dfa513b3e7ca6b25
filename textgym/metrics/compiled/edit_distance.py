"""Edit distance and optimistic edit distance along n rows: the program of ``metrics/edit_distance.py`` word by word."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from textgym.metrics.compiled.kernel import inner, kernel, widened
from textgym.metrics.compiled.rows import CompiledRows, rules_of

FORMS = ("distance", "rate", "accuracy")  # in the order of their numbers in ``push_columns``
ONE, LAST_BIT = np.uint64(1), np.uint64(63)
LONG = 16  # words from which on vector code is faster


class Columns(NamedTuple):
    """The last column of the table of each row and reference, in words of 64 cells.

    Attributes:
        references: int64 (n,), how many.
        lengths: int64 (n, K), tokens of each.
        matches: uint64 (n, K, S + 1, W), where a symbol stands in it.
        plus, minus: uint64 (n, K + 1, W), the vertical differences; the last column is spare.
        bottoms: int64 (n, K + 1, W), the lowest cell of each word.
        tops: int64 (n,), the cell above the first word: the final tokens of the text.
        rights: int64 (n, K), final tokens less the smallest cell, or less than that.
    """

    references: np.ndarray
    lengths: np.ndarray
    matches: np.ndarray
    plus: np.ndarray
    minus: np.ndarray
    bottoms: np.ndarray
    tops: np.ndarray
    rights: np.ndarray


@kernel
def begin_columns(columns, rows, known, counts, symbols, ends):
    """Begin new texts in some rows.

    Args:
        known: int64 (n,), how many symbols each row has.
        counts, symbols, ends: see ``texts.begin_texts``.
    """
    references, lengths, matches, plus, minus, bottoms, tops, rights = columns
    reference = begin = 0
    for i in range(len(rows)):
        row = rows[i]
        references[row], tops[row] = counts[i], 0
        for k in range(counts[i]):
            lengths[row, k], rights[row, k] = ends[reference] - begin, 0
            width = (lengths[row, k] + 63) // 64
            for w in range(width):
                for symbol in range(known[row] + 1):
                    matches[row, k, symbol, w] = 0
                plus[row, k, w], minus[row, k, w], bottoms[row, k, w] = ~np.uint64(0), 0, 64 * (w + 1)
            for t in range(lengths[row, k]):
                matches[row, k, symbols[begin + t], t >> 6] |= ONE << np.uint64(t & 63)
            begin = ends[reference]
            reference += 1


@kernel
def push_columns(optimistic, form, columns, rows, symbols, finals, ends, values):
    """Append ``symbols`` to some rows, see ``texts.append``, and put the metric in ``values``, float64 (k,).

    ``form``: 0 distance, 1 rate, 2 accuracy.
    """
    references, lengths, matches, plus, minus, bottoms, tops, rights = columns
    begin, spare, scratch = 0, plus.shape[1] - 1, np.empty((5, plus.shape[2]), np.uint64)
    for i in range(len(rows)):
        row, final, end = rows[i], finals[i], ends[i]
        tops[row] += final - begin
        top = tops[row] + end - final
        value = float(top) if form == 0 else 1.0 if form == 1 else 0.0  # without a reference
        for k in range(references[row]):
            length = lengths[row, k]
            width = (length + 63) // 64
            advance(matches, plus, minus, bottoms, row, k, k, width, symbols, begin, final, scratch)
            column = k
            if end > final:
                column = spare
                for w in range(width):
                    plus[row, spare, w], minus[row, spare, w] = plus[row, k, w], minus[row, k, w]
                    bottoms[row, spare, w] = bottoms[row, k, w]
                advance(matches, plus, minus, bottoms, row, k, spare, width, symbols, final, end, scratch)
            if optimistic:
                distance = smallest_cell(plus, minus, bottoms, row, column, width, top, rights[row, k])
                rights[row, k] = max(rights[row, k], tops[row] - distance)
            else:
                distance = bottom_cell(plus, minus, bottoms, row, column, width, top, length)
            one = float(distance)
            if form:
                one = distance / max(length, 1)
                if form == 2:
                    one = max(0.0, 1.0 - one)
            if k == 0 or (one > value if form == 2 else one < value):
                value = one
        values[i], begin = value, end


@inner
def advance(matches, plus, minus, bottoms, row, k, column, width, symbols, begin, end, scratch):
    """A column of row and reference k one further for each symbol: ``Pattern.advance``, word by word."""
    if width >= LONG:
        advance_long(matches, plus, minus, bottoms, row, k, column, width, symbols, begin, end, scratch)
        return
    for t in range(begin, end):
        up_above, down_above = ONE, ONE ^ ONE  # the top row grows by one a symbol
        for w in range(width):
            p, m, equal = plus[row, column, w], minus[row, column, w], matches[row, k, symbols[t], w] | down_above
            diagonal = (((equal & p) + p) ^ p) | equal | m
            up, down = m | ~(diagonal | p), p & diagonal
            up_below, down_below = up >> LAST_BIT, down >> LAST_BIT
            up, down = up << ONE | up_above, down << ONE | down_above
            plus[row, column, w], minus[row, column, w] = down | ~(diagonal | up), up & diagonal
            bottoms[row, column, w] += np.int64(up_below) - np.int64(down_below)
            up_above, down_above = up_below, down_below


@inner
def advance_long(matches, plus, minus, bottoms, row, k, column, width, symbols, begin, end, scratch):
    """:func:`advance` in loops whose rounds do not depend on each other, which compilers turn into vector code.

    Only the difference -1 below a word depends on the one above it: both cases are computed first, and then chosen.
    """
    carried, with_carry, diagonals, ups, downs = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    pluses, minuses, levels = plus[row, column], minus[row, column], bottoms[row, column]
    for t in range(begin, end):
        equals = matches[row, k, symbols[t]]
        for w in range(width):
            p, m, equal = pluses[w], minuses[w], equals[w]
            carried[w] = (((((equal & p) + p) ^ p) | equal | m) & p) >> LAST_BIT
            equal |= ONE
            with_carry[w] = (((((equal & p) + p) ^ p) | equal | m) & p) >> LAST_BIT
        down_above = ONE ^ ONE
        for w in range(width):
            down_below = carried[w] | (with_carry[w] & down_above)
            carried[w] = down_above
            down_above = down_below
        for w in range(width):
            p, m, equal = pluses[w], minuses[w], equals[w] | carried[w]
            diagonal = (((equal & p) + p) ^ p) | equal | m
            diagonals[w], ups[w], downs[w] = diagonal, m | ~(diagonal | p), p & diagonal
        up, down = ups[0] << ONE | ONE, downs[0] << ONE
        pluses[0], minuses[0] = down | ~(diagonals[0] | up), up & diagonals[0]
        for w in range(1, width):
            up, down = ups[w] << ONE | ups[w - 1] >> LAST_BIT, downs[w] << ONE | downs[w - 1] >> LAST_BIT
            pluses[w], minuses[w] = down | ~(diagonals[w] | up), up & diagonals[w]
        for w in range(width):
            levels[w] += np.int64(ups[w] >> LAST_BIT) - np.int64(downs[w] >> LAST_BIT)


@inner
def bottom_cell(plus, minus, bottoms, row, column, width, top, length):
    """The distance to the whole reference."""
    if not width:
        return top
    w, bit = width - 1, np.uint64(length - 1 & 63)
    below = ones(plus[row, column, w] >> bit >> ONE) - ones(minus[row, column, w] >> bit >> ONE)
    return bottoms[row, column, w] - below


@inner
def smallest_cell(plus, minus, bottoms, row, column, width, top, first):
    """See ``optimistic.py``: no cell before ``first`` is smaller than it."""
    lowest = top - first
    for w in range(first >> 6, min(width, (first + 2 * lowest >> 6) + 1)):
        level = bottoms[row, column, w - 1] if w else top
        up, down = plus[row, column, w], minus[row, column, w]
        if level - ones(down) < lowest:
            while down:
                bit = down & ~down + ONE
                level -= 1
                lowest = min(lowest, level + ones(up & bit - ONE))
                down ^= bit
    return lowest


@inner
def ones(word):
    """How many bits are set."""
    word -= word >> np.uint64(1) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + (word >> np.uint64(2) & np.uint64(0x3333333333333333))
    word = word + (word >> np.uint64(4)) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64(word * np.uint64(0x0101010101010101) >> np.uint64(56))


class EditDistanceRows(CompiledRows):
    """n texts, each followed against all its references."""

    def __init__(self, metric, n, *, optimistic: bool):
        super().__init__(metric, n, rules_of("none") if metric.unit == "word" else None)
        self.optimistic = optimistic
        self.form = FORMS.index(metric.form)
        self.columns = Columns(
            references=np.zeros(n, np.int64),
            lengths=np.zeros((n, 1), np.int64),
            matches=np.zeros((n, 1, 1, 1), np.uint64),
            plus=np.zeros((n, 2, 1), np.uint64),
            minus=np.zeros((n, 2, 1), np.uint64),
            bottoms=np.zeros((n, 2, 1), np.int64),
            tops=np.zeros(n, np.int64),
            rights=np.zeros((n, 1), np.int64),
        )

    def _begin(self, rows, counts, symbols, ends, most):
        references, _, longest, different = most
        words = (longest + 63) // 64
        self.columns = widened(
            self.columns,
            lengths=(references,),
            matches=(references, different + 1, words),
            plus=(references + 1, words),
            minus=(references + 1, words),
            bottoms=(references + 1, words),
            rights=(references,),
        )
        begin_columns(tuple(self.columns), rows, self.texts.symbols, counts, symbols, ends)

    def _push(self, rows, symbols, finals, ends, values):
        push_columns(self.optimistic, self.form, tuple(self.columns), rows, symbols, finals, ends, values)
