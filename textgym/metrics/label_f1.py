"""F1 of labelled spans: how well a text that is a sequence of labels finds what the reference finds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from textgym.errors import one_of
from textgym.metrics.base import Metric, Progress
from textgym.metrics.units import UNITS

OUTSIDE = "O"
Span = tuple[int, int, str]  # first position, the one after the last, label


class LabelF1(Metric):
    """F1 of the labelled spans (entities, chunks) of a text that is a sequence of labels: ``"O O PER PER O LOC"``.

    2 * spans in both / (spans of the text + spans of the reference), in [0, 1], of the best reference; a span is right
    where beginning, end and label are. Where neither has a span it is 1. A span is a run of the same label other than
    ``O``. Labels may have the prefixes of the BIO schemes: ``B-PER`` begins a span of ``PER``, ``I-PER`` goes on with
    one, and ``PER`` alone means ``I-PER``; the spans are then those that ``seqeval`` finds, F1 its micro average
    (Ramshaw & Marcus 1995; the evaluation of CoNLL-2003). A span at the end of the text counts as it stands. Labels
    beyond those of the reference count if they are spans; labels ``O`` that are missing at the end do not.

    Args:
        unit: "word": labels stand between white space (``str.split``); "character": each character is a label.
    """

    needs_references = True

    def __init__(self, unit: str = "word"):
        self.unit = one_of("unit of labels", unit, UNITS)
        self.name = "label_f1" if unit == "word" else f"{unit}_label_f1"

    def start(self, episode):
        return _Spans(self.unit, [spans(self.unit, reference) for reference in episode.references])


@lru_cache(maxsize=4096)
def spans(unit: str, text: str) -> frozenset[Span]:
    """The labelled spans of a text."""
    labels = UNITS[unit].split(text)
    closed, begun = _walk(labels, 0, None)
    return frozenset(closed if begun is None else [*closed, (begun[0], len(labels), begun[1])])


def _walk(
    labels: Iterable[str], first: int, begun: tuple[int, str] | None
) -> tuple[list[Span], tuple[int, str] | None]:
    """(the spans that end before one of ``labels``, where the last one begins and its label, if it goes on).

    Args:
        labels: from position ``first`` on.
        begun: the span that the label before them is in.
    """
    closed = []
    for position, label in enumerate(labels, first):
        begins, kind = label[:2] == "B-", label[2:] if label[:2] in ("B-", "I-") else label
        if begun is not None and (begins or kind != begun[1]):
            closed.append((begun[0], position, begun[1]))
            begun = None
        if begun is None and kind != OUTSIDE:
            begun = position, kind
    return closed, begun


class _Spans(Progress):
    def __init__(self, unit: str, references: Sequence[frozenset[Span]]):
        self.units = UNITS[unit]()
        self.references = references
        self.position = 0  # labels that are settled, and what they come to: the spans closed, how many of them are
        self.closed = 0  # right by each reference, the span that goes on
        self.right = [0] * len(references)
        self.begun: tuple[int, str] | None = None

    def push(self, piece, provisional=""):
        settled, unsettled = self.units.push(piece, provisional)
        if settled:
            closed, self.begun = _walk(settled, self.position, self.begun)
            self.position += len(settled)
            self.closed += len(closed)
            self.right = self._right(closed)
        closed, begun = _walk(unsettled, self.position, self.begun)
        if begun is not None:
            closed.append((begun[0], self.position + len(unsettled), begun[1]))
        found, right = self.closed + len(closed), self._right(closed) if closed else self.right
        every = zip(right, self.references, strict=True)
        return max([_f1(both, found, len(reference)) for both, reference in every], default=0.0)

    def _right(self, closed: Sequence[Span]) -> list[int]:
        counts = zip(self.right, self.references, strict=True)
        return [right + sum(span in reference for span in closed) for right, reference in counts]


def _f1(both: int, found: int, wanted: int) -> float:
    return 2 * both / (found + wanted) if found + wanted else 1.0
