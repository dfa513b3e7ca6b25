"""Edit distance at every prefix: character and word error rate.

The distance of the text so far to the WHOLE reference (insertion, deletion, substitution cost 1 each),
by the bit-parallel dynamic program of Myers (1999) in Hyyrö's (2003) form: one column of the table is
two Python integers of len(reference) bits, so that a symbol costs a few integer operations whatever has
been written before. Equal to ``rapidfuzz.distance.Levenshtein`` on every prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from textgym.errors import one_of
from textgym.metrics.base import Metric, Progress

UNITS = ("character", "word")
FORMS = ("rate", "accuracy", "distance")


class EditDistance(Metric):
    """Edit distance to the nearest reference, in characters or in white-space-separated words.

    Args:
        unit: "character" (CER) or "word" (WER).
        form: "rate": distance / length of the reference, >= 0, lower is better (an empty reference counts
            as one symbol long); "accuracy": max(0, 1 - rate), in [0, 1]; "distance": the count itself.

    With several references the best one counts; with none, the accuracy is 0, the rate 1 and the distance
    the length of the text. At a prefix everything not written yet counts as deleted: of a right text of
    which half is written the accuracy is 0.5. For words, the last, perhaps unfinished, word counts as
    it stands.
    """

    def __init__(self, unit: str = "character", form: str = "accuracy"):
        self.unit = one_of("unit of edit distance", unit, UNITS)
        self.form = one_of("form of edit distance", form, FORMS)
        initial = {"character": "c", "word": "w"}[unit]
        self.worst = 1.0 if form == "rate" else 0.0
        self.name = f"{initial}er" if form == "rate" else f"{unit}_{form}"

    def start(self, episode):
        progress = _Characters if self.unit == "character" else _Words
        if not episode.references:
            return _NoReference(self)
        if len(episode.references) == 1:
            return progress(self.form, episode.references[0])
        best = max if self.form == "accuracy" else min
        return _Best(best, [progress(self.form, reference) for reference in episode.references])


@lru_cache(maxsize=4096)
def _positions(reference: Sequence[str]) -> dict[str, int]:
    """symbol -> bit set of its positions in the reference."""
    bits: dict[str, int] = {}
    for i, symbol in enumerate(reference):
        bits[symbol] = bits.get(symbol, 0) | 1 << i
    return bits


class _Column:
    """The column of the table after the committed text: vertical differences +1, -1 as bits, and the bottom cell."""

    __slots__ = ("bits", "plus", "minus", "distance", "all", "last")

    def __init__(self, reference: Sequence[str]):
        self.bits = _positions(reference)
        self.all = (1 << len(reference)) - 1
        self.last = 1 << len(reference) >> 1  # 0 for an empty reference
        self.plus = self.all
        self.minus = 0
        self.distance = len(reference)

    def push(self, symbols, keep: bool) -> int:
        """The distance after ``symbols``; ``keep``: they are committed."""
        plus, minus, distance, every, last = self.plus, self.minus, self.distance, self.all, self.last
        if not every:
            distance += len(symbols)
        else:
            get = self.bits.get
            for symbol in symbols:
                match = get(symbol, 0)
                diagonal = (((match & plus) + plus) ^ plus) | match | minus
                up = minus | ~(diagonal | plus) & every  # horizontal difference +1
                down = plus & diagonal  # horizontal difference -1
                if up & last:
                    distance += 1
                elif down & last:
                    distance -= 1
                up = up << 1 | 1  # the top row of the table grows by one a symbol
                plus = (down << 1 | ~(diagonal | up)) & every
                minus = up & diagonal & every
        if keep:
            self.plus, self.minus, self.distance = plus, minus, distance
        return distance


def _value(form: str, distance: int, length: int) -> float:
    if form == "distance":
        return float(distance)
    rate = distance / (length or 1)
    return rate if form == "rate" else max(0.0, 1.0 - rate)


class _Characters(Progress):
    def __init__(self, form: str, reference: str):
        self.form = form
        self.length = len(reference)
        self.column = _Column(reference)

    def push(self, piece, provisional=""):
        distance = self.column.push(piece, keep=True)
        if provisional:
            distance = self.column.push(provisional, keep=False)
        return _value(self.form, distance, self.length)


class _Words(Progress):
    def __init__(self, form: str, reference: str):
        words = tuple(reference.split())
        self.form = form
        self.length = len(words)
        self.column = _Column(words)
        self.tail = ""  # the committed characters after the last white space

    def push(self, piece, provisional=""):
        if piece:
            self.tail += piece
            words = self.tail.split()
            if self.tail[-1:].isspace():
                self.tail = ""
            else:
                self.tail = words.pop() if words else ""
            if words:
                self.column.push(words, keep=True)
        open_words = (self.tail + provisional).split()
        distance = self.column.push(open_words, keep=False) if open_words else self.column.distance
        return _value(self.form, distance, self.length)


class _NoReference(Progress):
    def __init__(self, metric: EditDistance):
        self.metric = metric
        self.committed = ""

    def push(self, piece, provisional=""):
        self.committed += piece
        text = self.committed + provisional
        if self.metric.form == "distance":
            return float(len(text) if self.metric.unit == "character" else len(text.split()))
        return 1.0 if self.metric.form == "rate" else 0.0


class _Best(Progress):
    def __init__(self, best, each):
        self.best = best
        self.each = each

    def push(self, piece, provisional=""):
        return self.best([each.push(piece, provisional) for each in self.each])
