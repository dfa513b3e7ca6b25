"""Sentence BLEU along n rows."""

from __future__ import annotations

from math import exp, log

from textgym.metrics.bleu import BLEU
from textgym.metrics.compiled.kernel import inner, kernel
from textgym.metrics.compiled.ngrams import MOST_ORDERS, NgramRows
from textgym.metrics.compiled.rows import rules_of

EXP, FLOOR, ADD_K, NONE = range(4)
SMOOTHINGS = {"exp": EXP, "floor": FLOOR, "add-k": ADD_K, "none": NONE}


def knows(metric: BLEU) -> bool:
    """Whether compiled code does what the metric asks for."""
    return not metric.lowercase and metric.max_order <= MOST_ORDERS and rules_of(metric.tokenize) is not None


class BLEURows(NgramRows):
    """n texts, each with all its references."""

    def __init__(self, metric, n):
        super().__init__(metric, n, rules_of(metric.tokenize), metric.max_order, merged=True)
        compensated = sum([0.1] * 10) == 1.0  # by Python 3.12 and later
        self.scoring = SMOOTHINGS[metric.smooth], float(metric.smooth_value or 0), metric.effective_order, compensated

    def _score(self, rows, counts, totals, values):
        score_rows(self.scoring, rows, self.matches.references, self.matches.lengths, counts, totals, values)


@kernel
def score_rows(scoring, rows, references, lengths, counts, totals, values):
    """``values``, float64 (k,), get the scores of some rows; see ``Matches`` and ``push_matches``, and :func:`bleu`."""
    for i in range(len(rows)):
        row, total = rows[i], totals[i]
        closest = lengths[row, 0] if references[row] else 0
        for k in range(1, references[row]):
            nearer = abs(lengths[row, k] - total) - abs(closest - total)
            if nearer < 0 or (nearer == 0 and lengths[row, k] < closest):
                closest = lengths[row, k]
        values[i] = bleu(scoring, counts, i, total, closest)


@inner
def bleu(scoring, counts, i, length, reference_length):
    """``BLEU.from_counts`` of the i-th row, the same operations in the same order.

    ``scoring``: smoothing (EXP ...), its value, effective_order, and whether
    Python's ``sum`` compensates for rounding, as it does since 3.12.
    """
    smooth, smooth_value, effective_order, compensated = scoring
    if not counts[i, 0, 0]:
        return 0.0
    total = lost = 0.0
    doubled, orders = 1.0, 0
    for n in range(counts.shape[2]):
        matched, ngrams = counts[i, 0, n], length - n
        if smooth == ADD_K:
            added = smooth_value if n else 0.0
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
    if orders < counts.shape[2] and not effective_order:
        return 0.0
    score = exp((total + lost) / orders)
    if length < reference_length:
        score *= exp(1.0 - reference_length / length)
    return score / 100.0 if score < 100.0 else 1.0
