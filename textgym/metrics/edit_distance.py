"""Edit distance at every prefix: character and word error rate.

The distance of the text so far to the WHOLE reference (insertion, deletion, substitution cost 1 each),
by the bit-parallel dynamic program of Myers (1999) in Hyyrö's (2003) form: one column of the table is
two Python integers of len(reference) bits, so that a symbol costs a few integer operations whatever has
been written before. Equal to ``rapidfuzz.distance.Levenshtein`` on every prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from textgym.errors import one_of
from textgym.metrics.base import Metric, Progress
from textgym.metrics.units import UNITS
from textgym.running import Recipe

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

    What a symbol costs grows with the reference, by a machine word for every 64 symbols of it: were it strongly
    sublinear, two texts would be compared in strongly subquadratic time, which the strong exponential time hypothesis
    rules out (Backurs & Indyk 2015). Measured on English of 5 characters a token, a token of a text of 1,024 tokens
    costs 2.3 times one of a text of 64 (in compiled rows 2.8 times); in words 1.1 times (1.3 times).
    """

    needs_references = True

    def __init__(self, unit: str = "character", form: str = "accuracy"):
        self.unit = one_of("unit of edit distance", unit, UNITS)
        self.form = one_of("form of edit distance", form, FORMS)
        initial = {"character": "c", "word": "w"}[unit]
        self.worst = 1.0 if form == "rate" else 0.0
        self.lower_is_better = form != "accuracy"
        self.name = f"{initial}er" if form == "rate" else f"{unit}_{form}"

    def start(self, episode):
        each = [EditProgress(self.unit, self.form, reference) for reference in episode.references]
        return nearest(self, each)

    def compiled_rows(self, n):
        if type(self) is not EditDistance:  # a subclass may compute something else
            return None
        from textgym.metrics.compiled.edit_distance import EditDistanceRows

        return EditDistanceRows(self, n, optimistic=False)


Column = tuple[int, int, int]
"""A column of the table: the vertical differences +1 and -1 as bits (bit i: of cell i + 1), and the top cell."""


class Pattern(Recipe):
    """A reference, made ready for the bit-parallel program.

    Attributes:
        length: symbols of the reference.
        first: the column of the empty text.
    """

    __slots__ = ("positions", "length", "first")

    def __init__(self, reference: Sequence[str]):
        self.positions: dict[str, int] = {}  # symbol -> bit set of where it stands
        for i, symbol in enumerate(reference):
            self.positions[symbol] = self.positions.get(symbol, 0) | 1 << i
        self.length = len(reference)
        self.first: Column = ((1 << self.length) - 1, 0, 0)

    def advance(self, column: Column, symbols: Sequence[str]) -> Column:
        """The column after ``symbols`` more."""
        plus, minus, top = column
        every = self.first[0]
        get = self.positions.get
        for symbol in symbols:
            match = get(symbol, 0)
            diagonal = (((match & plus) + plus) ^ plus) | match | minus  # the diagonal difference is 0
            # horizontal difference not +1, moved by one cell; the top row of the table grows by one a symbol
            not_up = ((diagonal | plus) ^ minus) << 1
            zero = diagonal & not_up
            plus = (plus & diagonal) << 1 | not_up ^ zero
            minus = diagonal ^ zero
        # bits beyond the reference change none below them: it is enough to drop them in the end
        return plus & every, minus & every, top + len(symbols)


@lru_cache(maxsize=4096)
def pattern(unit: str, reference: str) -> Pattern:
    """The pattern of a reference, shared by all texts that are compared with it."""
    return Pattern(UNITS[unit].split(reference))


class EditProgress(Progress):
    """A text followed against one reference."""

    def __init__(self, unit: str, form: str, reference: str):
        self.units = UNITS[unit]()
        self.form = form
        self.pattern = pattern(unit, reference)
        self.column = self.pattern.first

    def push(self, piece, provisional=""):
        settled, unsettled = self.units.push(piece, provisional)
        column = self.column
        if settled:
            column = self.column = self.pattern.advance(column, settled)
        if unsettled:
            column = self.pattern.advance(column, unsettled)
        distance = self.distance(column)
        if self.form == "distance":
            return float(distance)
        rate = distance / (self.pattern.length or 1)
        return rate if self.form == "rate" else max(0.0, 1.0 - rate)

    def distance(self, column: Column) -> int:
        """What the value is made of: the bottom cell."""
        return bottom(column)


def bottom(column: Column) -> int:
    """The bottom cell: the distance of the text to the whole reference."""
    plus, minus, top = column
    return top + plus.bit_count() - minus.bit_count()


def nearest(metric: EditDistance, each: Sequence[Progress]) -> Progress:
    """The progress of ``metric`` to the best of several references; ``each``: to one of them."""
    if not each:
        return _NoReference(metric)
    return each[0] if len(each) == 1 else _Nearest(max if metric.form == "accuracy" else min, each)


class _Nearest(Progress):
    def __init__(self, best: Callable, each: Sequence[Progress]):
        self.best = best
        self.each = each

    def push(self, piece, provisional=""):
        return self.best([each.push(piece, provisional) for each in self.each])


class _NoReference(Progress):
    def __init__(self, metric: EditDistance):
        self.form = metric.form
        self.units = UNITS[metric.unit]()
        self.length = 0

    def push(self, piece, provisional=""):
        settled, unsettled = self.units.push(piece, provisional)
        self.length += len(settled)
        if self.form == "distance":
            return float(self.length + len(unsettled))
        return 1.0 if self.form == "rate" else 0.0
