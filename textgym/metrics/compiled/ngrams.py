"""The n-grams of n texts that their references have, too."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import numpy as np

from textgym.metrics.base import Metric
from textgym.metrics.compiled.kernel import kernel, widened
from textgym.metrics.compiled.rows import CompiledRows
from textgym.metrics.compiled.texts import Rules

MOST_ORDERS = 32  # bits of ``Matches.taken``


class Matches(NamedTuple):
    """Each n-gram of a text takes one place in each reference where it stands and that no earlier one has taken.

    Attributes:
        references: int64 (n,), how many.
        lengths: int64 (n, K), tokens of each.
        places: int32 (n, P), the symbols of the references one after the other, -1 before, between and after them.
        before: int32 (n, P), the place before with the same symbol; 0: none.
        last: int32 (n, S + 1), the last place with a symbol; 0: none.
        taken: uint32 (n, P), bit k: the n-gram of k + 1 tokens that ends there is taken.
        recent: int64 (n, orders), the last final symbols of the text, the newest first; -2: there is none.
        reach: int64 (n, 2), how many of these the references have in a row, and a place where they do.
        matches: int64 (n, M, orders), of 1-grams, 2-grams, ... of the final tokens: in each reference, or (M = 1) in
            the one that has most of them.
        written: int64 (n,), how many final tokens there are.
    """

    references: np.ndarray
    lengths: np.ndarray
    places: np.ndarray
    before: np.ndarray
    last: np.ndarray
    taken: np.ndarray
    recent: np.ndarray
    reach: np.ndarray
    matches: np.ndarray
    written: np.ndarray


@kernel
def begin_matches(state, rows, known, counts, symbols, ends):
    """Begin new texts in some rows, see ``edit_distance.begin_columns``."""
    references, lengths, places, before, last, taken, recent, reach, matches, written = state
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
            for t in range(begin, ends[reference]):
                place += 1
                places[row, place], before[row, place], taken[row, place] = symbols[t], last[row, symbols[t]], 0
                last[row, symbols[t]] = place
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
    references, lengths, places, before, last, taken, final_recent, final_reach, final_matches, written = state
    _, several, orders = final_matches.shape
    recent, found = np.empty(orders, np.int64), np.empty(lengths.shape[1], np.int64)
    most = 0
    for i in range(len(rows)):
        most = max(most, ends[i] - finals[i])
    most *= lengths.shape[1] * orders
    lent, bits = np.empty(most, np.int64), np.empty(most, np.int64)  # what tokens take that are not final
    begin = 0
    for i in range(len(rows)):
        row, final, end = rows[i], finals[i], ends[i]
        for n in range(orders):
            recent[n] = final_recent[row, n]
            for m in range(several):
                counts[i, m, n] = final_matches[row, m, n]
        reach, near, loans = final_reach[row, 0], final_reach[row, 1], 0
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
            # of each order the first place that is free, in each reference, from the last place on; in a single
            # reference first where the text may be going on
            k, floor = references[row] - 1, 0
            for other in range(k + 1):
                found[other] = 0
                floor += lengths[row, other] + 1 if other < k else 0
            possible, longest = (1 << min(orders, reach + 1)) - 1, 0
            next_place = near + 1 if k == 0 and places[row, near + 1] == symbols[t] else 0
            going_on = next_place > 0
            place = next_place if going_on else last[row, symbols[t]]
            while place and not (k == 0 and found[0] == possible):
                while place < floor:
                    k -= 1
                    floor -= lengths[row, k] + 1
                run = 1
                while run < orders and places[row, place - run] == recent[run - 1]:
                    run += 1
                if run > longest:
                    longest, near = run, place
                free = (1 << run) - 1 & ~(taken[row, place] | found[k])
                if free:
                    taken[row, place] |= free
                    found[k] |= free
                    if t >= final:
                        lent[loans], bits[loans] = place, free
                        loans += 1
                place = last[row, symbols[t]] if going_on else before[row, place]
                going_on = False
            reach = longest
            for n in range(orders - 1, 0, -1):
                recent[n] = recent[n - 1]
            recent[0] = symbols[t]
            for k in range(references[row]):
                if merged and k:
                    found[0] |= found[k]
                elif not merged:
                    for n in range(orders):
                        counts[i, k, n] += found[k] >> n & 1
            if merged and references[row]:
                for n in range(orders):
                    counts[i, 0, n] += found[0] >> n & 1
        for loan in range(loans):
            taken[row, lent[loan]] ^= bits[loan]
        totals[i], begin = written[row] + end - final, end


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
            before=np.zeros((n, 1), np.int32),
            last=np.zeros((n, 1), np.int32),
            taken=np.zeros((n, 1), np.uint32),
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
            self.matches, lengths=(references,), places=places, before=places, taken=places, last=(different + 1,)
        )
        begin_matches(tuple(self.matches), rows, self.texts.symbols, counts, symbols, ends)

    def _push(self, rows, symbols, finals, ends, values):
        counts = np.empty((len(rows), *self.matches.matches.shape[1:]), np.int64)
        totals = np.empty(len(rows), np.int64)
        push_matches(tuple(self.matches), rows, symbols, finals, ends, self.merged, counts, totals)
        self._score(rows, counts, totals, values)
