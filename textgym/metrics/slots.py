"""Slot values in a growing text, and the slot error rate: what a reply should have said, and what it invented.

An ontology names slots, their values and how each may be written: ``{"time": {"7 pm": ["7 pm", "19:00"]}}``. A text
*realises* a value where one of its forms stands, compared in units: runs of letters, digits and ``_``, case-folded; a
Chinese character is a unit by itself; all else separates. From left to right, the longest form counts, so that
``"fully booked"`` is no ``"booked"``, and what belongs to one form belongs to no other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from textgym.metrics.base import Metric, Progress
from textgym.metrics.units import Mixed
from textgym.running import Recipe

Ontology = Mapping[str, Mapping[str, Sequence[str]]]
"""slot -> value -> its forms."""


class SlotValue(NamedTuple):
    """A value that a text realises."""

    slot: str
    value: str


class SlotForms(Recipe):
    """The forms of an ontology, made ready to be found.

    Raises:
        ValueError: a form without letters and digits, or one that stands for two values.
    """

    def __init__(self, ontology: Ontology):
        self.root = _Node()
        for slot, values in ontology.items():
            for value, forms in values.items():
                if isinstance(forms, str):
                    raise ValueError(f"the forms of {slot}={value!r} are a list of texts, got the text {forms!r}")
                for form in forms:
                    self._add(form, SlotValue(slot, value))

    def _add(self, form: str, found: SlotValue) -> None:
        node = self.root
        for unit in units_of(form):
            node = node.setdefault(unit, _Node())
        if node is self.root:
            raise ValueError(f"the form {form!r} of {found.slot}={found.value!r} has no letter and no digit")
        if node.found not in (None, found):
            raise ValueError(
                f"the form {form!r} stands for {node.found.slot}={node.found.value!r} and for "
                f"{found.slot}={found.value!r}: make them differ, as in 'from Oslo' and 'to Oslo'"
            )
        node.found = found

    def parse(self, units: Sequence[str], final: bool) -> tuple[list[str | SlotValue], Sequence[str]]:
        """The units with each form that stands in them as its value, and those at the end that a longer text could
        still make part of a form (``final``: none)."""
        parsed, i = [], 0
        while i < len(units):
            node, end, found = self.root, i + 1, units[i]
            for j in range(i, len(units)):
                node = node.get(units[j])
                if node is None:
                    break
                if node.found:
                    end, found = j + 1, node.found
            else:
                if node and not final:  # some form goes on where the units end
                    break
            parsed.append(found)
            i = end
        return parsed, units[i:]

    def parse_text(self, text: str) -> list[str | SlotValue]:
        """The units and values of a finished text."""
        return self.parse(units_in(Mixed.split(text)), final=True)[0]


class _Node(dict):
    """unit -> node; a trie over the units of the forms. ``found``: the value whose form ends here."""

    found: SlotValue | None = None


class SlotScanner:
    """A growing text as units and values."""

    def __init__(self, forms: SlotForms):
        self.forms = forms
        self.words = Mixed()
        self.open: Sequence[str] = ()  # settled units that may still be part of a form

    def push(self, piece: str, provisional: str) -> tuple[Sequence[str | SlotValue], Sequence[str | SlotValue]]:
        """(what is settled by ``piece``, what comes after it and may still change)."""
        settled, unsettled = self.words.push(piece, provisional)
        parsed: Sequence[str | SlotValue] = ()
        if settled:
            parsed, self.open = self.forms.parse([*self.open, *units_in(settled)], final=False)
        if not unsettled and not self.open:
            return parsed, ()
        return parsed, self.forms.parse([*self.open, *units_in(unsettled)], final=True)[0]


def units_in(words: Iterable[str]) -> list[str]:
    return [unit for word in words for unit in units_of(word)]


@lru_cache(maxsize=1 << 14)
def units_of(text: str) -> tuple[str, ...]:
    """The units that forms and texts are compared in."""
    return tuple(unit for word in Mixed.split(text.casefold()) for unit in re.findall(r"\w+", word))


class SlotAccuracy(Metric):
    """max(0, 1 - slot error rate), in [0, 1]: of the values that a reference realises, those the text does, too.

    The slot error rate (Wen et al. 2015, arXiv:1508.01745) is (missing + redundant) / wanted values. Redundant is
    each value of the ontology that the reference does not have, or does not have as often: invented or repeated. A
    reference without values counts as one that has one: a text without any has the accuracy 1, any other 0. Of
    several references the best counts; without any the accuracy is 0. What stands between the values does not
    matter: a bare list of the right ones has the accuracy 1.

    Args:
        ontology: slot -> value -> its forms, or "task": that of the task (its ``ontology``), which :meth:`resolve`
            takes when an environment is made.

    Raises:
        ValueError: a form without letters and digits, or one that stands for two values.
    """

    name = "slot_accuracy"
    needs_references = True

    def __init__(self, ontology: Ontology | str):
        if isinstance(ontology, str) and ontology != "task":
            raise ValueError(f"ontology is slot -> value -> forms, or 'task', got {ontology!r}")
        self.forms = None if isinstance(ontology, str) else SlotForms(ontology)

    def resolve(self, task):
        if self.forms is not None:
            return self
        if not hasattr(task, "ontology"):
            raise ValueError(f"slot_accuracy: {type(task).__name__} has no ontology: give one, slot -> value -> forms")
        return SlotAccuracy(task.ontology)

    def start(self, episode):
        if self.forms is None:
            raise ValueError(
                "SlotAccuracy('task') takes the ontology of a task: use it in an environment, call resolve(task), or "
                "give it an ontology"
            )
        return _SlotProgress(self.forms, episode.references)


class SlotErrors:
    """Counts what a text misses, and what it has beyond, of some wanted values.

    Attributes:
        wanted: how many values are wanted.
        missing, redundant: of the text so far.
    """

    def __init__(self, wanted: Iterable[SlotValue]):
        self.left = Counter(wanted)  # value -> how often it is still wanted; below 0: how often it is redundant
        self.wanted = self.missing = self.left.total()
        self.redundant = 0

    def add(self, values: Iterable[SlotValue]) -> None:
        for value in values:
            if self.left[value] > 0:
                self.missing -= 1
            else:
                self.redundant += 1
            self.left[value] -= 1

    def after(self, values: Sequence[SlotValue]) -> int:
        """Missing + redundant if ``values`` came next."""
        if not values:
            return self.missing + self.redundant
        found = sum(min(count, max(0, self.left[value])) for value, count in Counter(values).items())
        return self.missing + self.redundant + len(values) - 2 * found


def values_in(parsed: Iterable[str | SlotValue]) -> list[SlotValue]:
    return [each for each in parsed if isinstance(each, SlotValue)]


class _SlotProgress(Progress):
    def __init__(self, forms: SlotForms, references: Sequence[str]):
        self.scanner = SlotScanner(forms)
        parsed = (values_in(forms.parse_text(reference)) for reference in references)
        self.each = [SlotErrors(wanted) for wanted in dict.fromkeys(tuple(sorted(values)) for values in parsed)]

    def push(self, piece, provisional=""):
        settled, unsettled = map(values_in, self.scanner.push(piece, provisional))
        if settled:
            for errors in self.each:
                errors.add(settled)
        rates = [errors.after(unsettled) / max(1, errors.wanted) for errors in self.each]
        return max(0.0, 1.0 - min(rates, default=1.0))
