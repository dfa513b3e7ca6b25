"""The n-grams of n texts that their references have, too."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import numpy as np

from textgym.metrics.base import Metric
from textgym.metrics.compiled.kernel import inner, kernel, widened
from textgym.metrics.compiled.rows import CompiledRows
from textgym.metrics.compiled.texts import Rules

MOST_ORDERS = 32  # bits of ``Matches.taken``


class Matches(NamedTuple):
    """Each n-gram of a text takes one place in each reference where it stands and that no earlier one has taken.

    Attributes:
        references: int64 (n,), how many.
        lengths: int64 (n, K), tokens of each.
        places: int32 (n, P), the symbols of the references one after the other, -1 before, between and after them.
        single: int32 (n, K, S + 1), the places of a symbol in a reference that are free for 1-grams.
        taken: uint32 (n, P), bit k: the n-gram of k + 1 tokens that ends there is taken. Bit 0 is not used.
        last: int32 (n, S + 1), the last place of a symbol; 0: none. The next two lead from there to all the others:
        other: int32 (n, P), from the last place of a symbol behind another one to the last place behind a third.
        before: int32 (n, P), to the place before of the symbol behind the same one.
        recent: int64 (n, orders), the last final symbols of the text, the newest first; -2: there is none.
        reach: int64 (n, 2), how many of these the references have in a row, and a place where they do.
        matches: int64 (n, M, orders), of 1-grams, 2-grams, ... of the final tokens: in each reference, or (M = 1) in
            the one that has most of them.
        written: int64 (n,), how many final tokens there are.
    """

    references: np.ndarray
    lengths: np.ndarray
    places: np.ndarray
    single: np.ndarray
    taken: np.ndarray
    last: np.ndarray
    other: np.ndarray
    before: np.ndarray
    recent: np.ndarray
    reach: np.ndarray
    matches: np.ndarray
    written: np.ndarray


@kernel
def begin_matches(state, rows, known, counts, symbols, ends):
    """Begin new texts in some rows, see ``edit_distance.begin_columns``."""
    references, lengths, places, single, taken, last, other, before, recent, reach, matches, written = state
    reference = begin = 0
    for i in range(len(rows)):
        row = rows[i]
        references[row], written[row] = counts[i], 0
        reach[row, 0] = reach[row, 1] = 0
        for n in range(matches.shape[2]):
            recent[row, n] = -2
            for k in range(matches.shape[1]):
                matches[row, k, n] = 0
        for symbol in range(known[row] + 1):
            last[row, symbol] = 0
        place = 0
        places[row, 0] = -1
        for k in range(counts[i]):
            lengths[row, k] = ends[reference] - begin
            for symbol in range(known[row] + 1):
                single[row, k, symbol] = 0
            for t in range(begin, ends[reference]):
                place += 1
                symbol, neighbour = symbols[t], places[row, place - 1]
                places[row, place], taken[row, place] = symbol, 0
                single[row, k, symbol] += 1
                same, came_from = last[row, symbol], 0
                while same and places[row, same - 1] != neighbour:
                    same, came_from = other[row, same], same
                before[row, place], other[row, place] = same, other[row, same] if same else 0
                if came_from:
                    other[row, came_from] = place
                else:
                    last[row, symbol] = place
            place += 1
            places[row, place] = -1
            begin = ends[reference]
            reference += 1


@kernel
def push_matches(state, rows, symbols, finals, ends, merged, counts, totals):
    """Append ``symbols`` to some rows, see ``texts.append``.

    Args:
        merged: an n-gram that several references have is counted once.
        counts: int64 (k, M, orders), gets the matches of the whole texts.
        totals: int64 (k,), gets how many tokens they have.
    """
    references, lengths, places, single, taken = state[:5]
    last, other, before = state[5:8]
    final_recent, final_reach, final_matches, written = state[8:]
    _, several, orders = final_matches.shape
    recent, found = np.empty(orders, np.int64), np.empty(lengths.shape[1], np.int64)
    most = 0
    for i in range(len(rows)):
        most = max(most, ends[i] - finals[i])
    most *= lengths.shape[1] * orders
    # what tokens that are not final take: places and their bits; or -1 - a reference, and the symbol of a 1-gram
    lent, bits = loans = np.empty(most, np.int64), np.empty(most, np.int64)
    index = lengths, places, taken, last, other, before
    begin = 0
    for i in range(len(rows)):
        row, final, end = rows[i], finals[i], ends[i]
        for n in range(orders):
            recent[n] = final_recent[row, n]
            for m in range(several):
                counts[i, m, n] = final_matches[row, m, n]
        reach, near, count = final_reach[row, 0], final_reach[row, 1], 0
        for t in range(begin, end + 1):
            if t == final:
                for n in range(orders):
                    final_recent[row, n] = recent[n]
                    for m in range(several):
                        final_matches[row, m, n] = counts[i, m, n]
                final_reach[row, 0], final_reach[row, 1] = reach, near
                written[row] += final - begin
            if t == end:
                break
            symbol, lending = symbols[t], t >= final
            for k in range(references[row]):
                found[k] = 0
            reach, near, count = take_places(
                index, loans, row, references[row], recent, symbol, reach, near, found, lending, count
            )
            for k in range(references[row]):
                if single[row, k, symbol] > 0:
                    single[row, k, symbol] -= 1
                    found[k] |= 1
                    if lending:
                        lent[count], bits[count] = -1 - k, symbol
                        count += 1
            for n in range(orders - 1, 0, -1):
                recent[n] = recent[n - 1]
            recent[0] = symbol
            if merged:
                for k in range(1, references[row]):
                    found[0] |= found[k]
            for k in range(min(references[row], several)):
                for n in range(orders):
                    counts[i, k, n] += found[k] >> n & 1
        for loan in range(count):
            if lent[loan] < 0:
                single[row, -1 - lent[loan], bits[loan]] += 1
            else:
                taken[row, lent[loan]] ^= bits[loan]
        totals[i], begin = written[row] + end - final, end


@inner
def take_places(index, loans, row, references, recent, symbol, reach, near, found, lending, count):
    """Take places for the 2-grams and longer ones that end in ``symbol``, which is written after ``recent``.

    They end where the pair of the last two tokens does: from its last place on, each place is taken for the orders for
    which it is free. First, in a single reference, the one after the last match. So a token costs what its pair has
    places: of words a few, of English characters some 30 in 4,000.

    Args:
        reach, near: see ``Matches.reach``.
        found: int64 (K,), gets the orders that match in each reference, as bits.
        lending: note what is taken in ``loans``, see :func:`push_matches`; ``count`` are noted already.

    Returns:
        ``reach``, ``near`` and ``count`` as they are now.
    """
    lengths, places, taken, last, other, before = index
    lent, bits = loans
    orders, k, floor = len(recent), references - 1, 0  # floor: where reference k begins
    for m in range(k):
        floor += lengths[row, m] + 1
    start = last[row, symbol]
    while start and places[row, start - 1] != recent[0]:
        start = other[row, start]
    going_on = k == 0 and start > 0 and places[row, near + 1] == symbol
    place, near = near + 1 if going_on else start, 0
    possible, longest = (1 << min(orders, reach + 1)) - 2, int(symbol > 0)
    while place and possible and not (k == 0 and found[0] == possible):
        while place < floor:
            k -= 1
            floor -= lengths[row, k] + 1
        run = 1
        while run < orders and places[row, place - run] == recent[run - 1]:
            run += 1
        if run > longest:
            longest, near = run, place
        free = (1 << run) - 2 & ~(taken[row, place] | found[k])
        if free:
            taken[row, place] |= free
            found[k] |= free
            if lending:
                lent[count], bits[count] = place, free
                count += 1
        place = start if going_on else before[row, place]
        going_on = False
    return longest, near, count


class NgramRows(CompiledRows):
    """n texts, each with all its references.

    Args:
        rules: see :class:`CompiledRows`.
        orders: the longest n-grams, at most MOST_ORDERS.
        merged: an n-gram that several references have is counted once.
    """

    def __init__(self, metric: Metric, n: int, rules: Rules | None, orders: int, merged: bool):
        super().__init__(metric, n, rules)
        self.merged = merged
        self.matches = Matches(
            references=np.zeros(n, np.int64),
            lengths=np.zeros((n, 1), np.int64),
            places=np.zeros((n, 2), np.int32),
            single=np.zeros((n, 1, 1), np.int32),
            taken=np.zeros((n, 1), np.uint32),
            last=np.zeros((n, 1), np.int32),
            other=np.zeros((n, 1), np.int32),
            before=np.zeros((n, 1), np.int32),
            recent=np.zeros((n, orders), np.int64),
            reach=np.zeros((n, 2), np.int64),
            matches=np.zeros((n, 1, orders), np.int64),
            written=np.zeros(n, np.int64),
        )

    @abstractmethod
    def _score(self, rows: np.ndarray, counts: np.ndarray, totals: np.ndarray, values: np.ndarray) -> None:
        """Fill in ``values``, float64 (k,); the rest: see :func:`push_matches`."""

    def _begin(self, rows, counts, symbols, ends, most):
        references, tokens, _, different = most
        places = (tokens + references + 1,)
        if not self.merged:
            self.matches = widened(self.matches, matches=(references, self.matches.matches.shape[2]))
        self.matches = widened(
            self.matches,
            lengths=(references,),
            places=places,
            single=(references, different + 1),
            taken=places,
            last=(different + 1,),
            other=places,
            before=places,
        )
        begin_matches(tuple(self.matches), rows, self.texts.symbols, counts, symbols, ends)

    def _push(self, rows, symbols, finals, ends, values):
        counts = np.empty((len(rows), *self.matches.matches.shape[1:]), np.int64)
        totals = np.empty(len(rows), np.int64)
        push_matches(tuple(self.matches), rows, symbols, finals, ends, self.merged, counts, totals)
        self._score(rows, counts, totals, values)
