"""chrF along n rows."""

from __future__ import annotations

from textgym.metrics.chrf import ChrF
from textgym.metrics.compiled.kernel import kernel
from textgym.metrics.compiled.ngrams import MOST_ORDERS, NgramRows


def knows(metric: ChrF) -> bool:
    """Whether compiled code does what the metric asks for."""
    asks_for_more = metric.word_order or metric.lowercase or metric.eps_smoothing
    return not asks_for_more and metric.char_order <= MOST_ORDERS


class ChrFRows(NgramRows):
    """n texts, each with all its references."""

    def __init__(self, metric, n):
        super().__init__(metric, n, None, metric.char_order, merged=False)

    def _code_points(self, texts):
        if not self.metric.whitespace:
            texts = ["".join(text.split()) for text in texts]
        return super()._code_points(texts)

    def _score(self, rows, counts, totals, values):
        references, lengths = self.matches.references, self.matches.lengths
        score_rows(float(self.metric.factor), rows, references, lengths, counts, totals, values)


@kernel
def score_rows(factor, rows, references, lengths, counts, totals, values):
    """``values``, float64 (k,), get the scores of some rows; see ``Matches``, ``push_matches`` and ``ChrF.percent``."""
    for i in range(len(rows)):
        row, best = rows[i], 0.0
        for k in range(references[row]):
            written, total = totals[i], lengths[row, k]
            precision = recall = 0.0
            orders = min(written, total, counts.shape[2])
            for n in range(orders):
                precision += counts[i, k, n] / (written - n)
                recall += counts[i, k, n] / (total - n)
            if precision > 0.0:
                precision /= orders
                recall /= orders
                percent = 100 * ((1 + factor) * precision * recall / (factor * precision + recall))
                best = max(best, percent)
        values[i] = best / 100
