"""Sentence BLEU along n rows."""

from __future__ import annotations

from math import exp, log
from typing import NamedTuple

import numpy as np

from textgym.metrics.bleu import BLEU
from textgym.metrics.compiled.kernel import kernel, widened
from textgym.metrics.compiled.rows import CompiledRows, rules_of

EXP, FLOOR, ADD_K, NONE = range(4)
SMOOTHINGS = {"exp": EXP, "floor": FLOOR, "add-k": ADD_K, "none": NONE}
MOST_ORDERS = 32  # bits of ``Matches.taken``


def knows(metric: BLEU) -> bool:
    """Whether compiled code does what the metric asks for."""
    return not metric.lowercase and metric.max_order <= MOST_ORDERS and rules_of(metric.tokenize) is not None


class Matches(NamedTuple):
    """The n-grams of n rows that their references have, too.

    Each n-gram of a text takes away one place in each reference where it stands and that no earlier one has taken.

    Attributes:
        references: int64 (n,), how many.
        lengths: int64 (n, K), tokens of each.
        places: int32 (n, P), the symbols of the references one after the other; each begins behind a place of -1.
        before: int32 (n, P), the place before with the same symbol; 0: none.
        last: int32 (n, S + 1), the last place with a symbol; 0: none.
        taken: uint32 (n, P), bit k: the n-gram of k + 1 tokens that ends there is taken.
        recent: int64 (n, max_order), the last final symbols of the text, the newest first; -2: there is none.
        reach: int64 (n,), how many of these the references have in a row.
        matches: int64 (n, max_order), of 1-grams, 2-grams, ... of the final tokens.
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
        references[row], reach[row], written[row] = counts[i], 0, 0
        for k in range(matches.shape[1]):
            matches[row, k], recent[row, k] = 0, -2
        for symbol in range(known[row] + 1):
            last[row, symbol] = 0
        place = 0
        for k in range(counts[i]):
            places[row, place], lengths[row, k] = -1, ends[reference] - begin
            for t in range(begin, ends[reference]):
                place += 1
                places[row, place], before[row, place], taken[row, place] = symbols[t], last[row, symbols[t]], 0
                last[row, symbols[t]] = place
            place += 1
            begin = ends[reference]
            reference += 1


@kernel
def push_matches(scoring, state, rows, symbols, finals, ends, values):
    """Append ``symbols`` to some rows, see ``texts.append``, and put BLEU in ``values``, float64 (k,).

    ``scoring``: see :func:`bleu`.
    """
    references, lengths, places, before, last, taken, final_recent, final_reach, final_matches, written = state
    orders = final_matches.shape[1]
    matches, recent = np.empty(orders, np.int64), np.empty(orders, np.int64)
    most = 0
    for i in range(len(rows)):
        most = max(most, ends[i] - finals[i])
    most *= lengths.shape[1] * orders
    lent, bits = np.empty(most, np.int64), np.empty(most, np.int64)  # what tokens take that are not final
    begin = 0
    for i in range(len(rows)):
        row, final, end = rows[i], finals[i], ends[i]
        for n in range(orders):
            matches[n], recent[n] = final_matches[row, n], final_recent[row, n]
        reach, loans = final_reach[row], 0
        for t in range(begin, end + 1):
            if t == final:
                for n in range(orders):
                    final_matches[row, n], final_recent[row, n] = matches[n], recent[n]
                final_reach[row] = reach
                written[row] += final - begin
            if t == end:
                break
            # the places of the symbol, from the last one on; in each reference the first that is free, of each order
            k, floor = references[row] - 1, 0
            for other in range(k):
                floor += lengths[row, other] + 1
            longest = found = mine = 0
            possible = (1 << min(orders, reach + 1)) - 1
            place = last[row, symbols[t]]
            while place and not (k == 0 and mine == possible):
                while place < floor:
                    k -= 1
                    floor -= lengths[row, k] + 1
                    mine = 0
                run = 1
                while run < orders and places[row, place - run] == recent[run - 1]:
                    run += 1
                longest = max(longest, run)
                free = (1 << run) - 1 & ~(taken[row, place] | mine)
                if free:
                    taken[row, place] |= free
                    mine |= free
                    found |= free
                    if t >= final:
                        lent[loans], bits[loans] = place, free
                        loans += 1
                place = before[row, place]
            for n in range(orders):
                matches[n] += found >> n & 1
            for n in range(orders - 1, 0, -1):
                recent[n] = recent[n - 1]
            recent[0], reach = symbols[t], longest
        for loan in range(loans):
            taken[row, lent[loan]] ^= bits[loan]
        length = written[row] + end - final
        closest = lengths[row, 0] if references[row] else 0
        for k in range(1, references[row]):
            nearer = abs(lengths[row, k] - length) - abs(closest - length)
            if nearer < 0 or (nearer == 0 and lengths[row, k] < closest):
                closest = lengths[row, k]
        values[i], begin = bleu(scoring, matches, length, closest), end


@kernel
def bleu(scoring, matches, length, reference_length):
    """``BLEU.from_counts``, the same operations in the same order.

    ``scoring``: smoothing (EXP ...), its value, effective_order, and whether
    Python's ``sum`` compensates for rounding, as it does since 3.12.
    """
    smooth, smooth_value, effective_order, compensated = scoring
    if not matches[0]:
        return 0.0
    total = lost = 0.0
    doubled, orders = 1.0, 0
    for matched in matches:
        ngrams = length - orders
        if smooth == ADD_K:
            added = smooth_value if orders else 0.0
            if not max(0, ngrams) + added:
                break
            precision = 100.0 * (matched + added) / (max(0, ngrams) + added)
        elif matched:
            precision = 100.0 * matched / ngrams
        elif ngrams <= 0:
            break
        elif smooth == EXP:
            doubled *= 2.0
            precision = 100.0 / (doubled * ngrams)
        else:
            precision = 100.0 * smooth_value / ngrams if smooth == FLOOR else 0.0
        if not precision:  # its logarithm is -9999999999 there
            return 0.0
        number = log(precision)
        after = total + number
        if compensated:  # Neumaier's sum
            lost += (total - after) + number if abs(total) >= abs(number) else (number - after) + total
        total = after
        orders += 1
    if orders < len(matches) and not effective_order:
        return 0.0
    score = exp((total + lost) / orders)
    if length < reference_length:
        score *= exp(1.0 - reference_length / length)
    return score / 100.0 if score < 100.0 else 1.0


class BLEURows(CompiledRows):
    """n texts, each with all its references."""

    def __init__(self, metric, n):
        super().__init__(metric, n, rules_of(metric.tokenize))
        compensated = sum([0.1] * 10) == 1.0  # by Python 3.12 and later
        self.scoring = SMOOTHINGS[metric.smooth], float(metric.smooth_value or 0), metric.effective_order, compensated
        self.matches = Matches(
            references=np.zeros(n, np.int64),
            lengths=np.zeros((n, 1), np.int64),
            places=np.zeros((n, 1), np.int32),
            before=np.zeros((n, 1), np.int32),
            last=np.zeros((n, 1), np.int32),
            taken=np.zeros((n, 1), np.uint32),
            recent=np.zeros((n, metric.max_order), np.int64),
            reach=np.zeros(n, np.int64),
            matches=np.zeros((n, metric.max_order), np.int64),
            written=np.zeros(n, np.int64),
        )

    def _begin(self, rows, counts, symbols, ends, most):
        references, tokens, _, different = most
        places = (tokens + references + 1,)
        self.matches = widened(
            self.matches, lengths=(references,), places=places, before=places, taken=places, last=(different + 1,)
        )
        begin_matches(tuple(self.matches), rows, self.texts.symbols, counts, symbols, ends)

    def _push(self, rows, symbols, finals, ends, values):
        push_matches(self.scoring, tuple(self.matches), rows, symbols, finals, ends, values)
