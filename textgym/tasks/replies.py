"""How good a reply is: has it said what it had to, and nothing else, as such replies are said?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from textgym.episode import Episode
from textgym.metrics import Metric, Progress
from textgym.metrics.edit_distance import Pattern, bottom
from textgym.metrics.slots import Ontology, SlotErrors, SlotForms, SlotScanner, SlotValue, values_in

ACT = "act"


class ReplyScore(Metric):
    """content * form ** 2 against a reference, in [0, 1]; the best of several counts, and without any the score is 0.

    Values and units are those of :mod:`textgym.metrics.slots`; the slot ``act`` says what kind of reply it is.

    *content* = max(0, 1 - (slot error rate + act error rate) / 2). Both rates are (missing + redundant) / wanted, of
    all slots but the act, and of the act alone: the wrong act has content 0, no act 1/2 at most.

    *form* = max(0, 1 - edit distance / length of the reference), in units, with each value as one unit that stands
    for its slot: a wrong value is no error of form. Squared, because half of a good reply's words, or its values
    alone, are worth less than half.

    Args:
        ontology: slot -> value -> its forms.
    """

    name = "reply_score"
    needs_references = True

    def __init__(self, ontology: Ontology):
        self.forms = SlotForms(ontology)

    def start(self, episode):
        return _ReplyProgress(self.forms, episode.references)


class _Content:
    def __init__(self, values: Sequence[SlotValue]):
        self.slots = SlotErrors(value for value in values if value.slot != ACT)
        self.act = SlotErrors(value for value in values if value.slot == ACT)

    def add(self, values: Sequence[SlotValue]) -> None:
        self.slots.add(value for value in values if value.slot != ACT)
        self.act.add(value for value in values if value.slot == ACT)

    def after(self, values: Sequence[SlotValue]) -> float:
        """The content if ``values`` came next."""
        slots = self.slots.after([value for value in values if value.slot != ACT])
        act = self.act.after([value for value in values if value.slot == ACT])
        return max(0.0, 1.0 - (slots / max(1, self.slots.wanted) + act / max(1, self.act.wanted)) / 2)


class _ReplyProgress(Progress):
    def __init__(self, forms: SlotForms, references: Sequence[str]):
        self.scanner = SlotScanner(forms)
        self.contents: list[_Content] = []
        self.references: list[tuple[int, Pattern]] = []  # which content, and the units
        known: dict[tuple[SlotValue, ...], int] = {}
        for reference in references:
            parsed = forms.parse_text(reference)
            values = tuple(sorted(values_in(parsed)))
            if values not in known:
                known[values] = len(known)
                self.contents.append(_Content(values))
            self.references.append((known[values], _pattern(tuple(_symbols(parsed)))))
        self.columns = [pattern.first for _, pattern in self.references]

    def push(self, piece, provisional=""):
        settled, unsettled = self.scanner.push(piece, provisional)
        if settled:
            values, symbols = values_in(settled), _symbols(settled)
            for content in self.contents:
                content.add(values)
            self.columns = self._advanced(symbols)
        values, symbols = values_in(unsettled), _symbols(unsettled)
        contents = [content.after(values) for content in self.contents]
        if not any(contents):
            return 0.0
        best = 0.0
        for (which, pattern), column in zip(self.references, self._advanced(symbols), strict=True):
            form = max(0.0, 1.0 - bottom(column) / (pattern.length or 1))
            best = max(best, contents[which] * form**2)
        return best

    def _advanced(self, symbols):
        if not symbols:
            return self.columns
        pairs = zip(self.references, self.columns, strict=True)
        return [pattern.advance(column, symbols) for (_, pattern), column in pairs]


def _symbols(parsed: Iterable[str | SlotValue]) -> list[str]:
    """Units as they are, values as their slots."""
    return [each if isinstance(each, str) else f"<{each.slot}>" for each in parsed]


_pattern = lru_cache(maxsize=4096)(Pattern)


class EachTurn(Metric):
    """The mean of a metric over the turns of a text, each ended by a mark; what follows the last mark does not count.

    (sum over the turns that are written) / max(turns of the reference, turns that are written), in the range of the
    metric. Turn i is compared with turn i of every reference; a turn beyond those scores 0. So a turn is paid when
    its mark is written, and the mark of the last one is needed, too.

    Args:
        metric: of one turn.
        mark: the character that ends a turn.
    """

    needs_references = True  # they say how many turns there are

    def __init__(self, metric: Metric, mark: str = "|"):
        self.metric = metric
        self.mark = mark
        self.name = f"{metric.name}_each_turn"

    def start(self, episode):
        return _TurnsProgress(self, episode)


class _TurnsProgress(Progress):
    def __init__(self, each: EachTurn, episode: Episode):
        self.metric, self.mark = each.metric, each.mark
        references = [reference.rstrip().removesuffix(self.mark).split(self.mark) for reference in episode.references]
        turns = range(max(map(len, references), default=0))
        self.turns = [Episode("", [turn[i] for turn in references if i < len(turn)]) for i in turns]
        self.open = ""  # the turn that is being written
        self.written = 0
        self.sum = 0.0

    def push(self, piece, provisional=""):
        *ended, self.open = (self.open + piece).split(self.mark)
        for turn in ended:
            self.sum += self._value(turn, self.written)
            self.written += 1
        *ended, _ = (self.open + provisional).split(self.mark)
        total = self.sum + sum(self._value(turn, self.written + i) for i, turn in enumerate(ended))
        return total / max(1, len(self.turns), self.written + len(ended))

    def _value(self, turn: str, i: int) -> float:
        return self.metric.score(turn, self.turns[i]) if i < len(self.turns) else 0.0
