"""How a language says what is talked about in Dialogue: the domains, their values, requests and replies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from textgym.metrics.slots import Ontology
from textgym.running import Recipe
from textgym.tasks.replies import ACT

MARK = "|"  # between turns

Values = Mapping[str, tuple[str, ...]]
"""value -> its forms, the usual one first."""


class Domain(NamedTuple):
    """What can be booked.

    Attributes:
        noun: what it is.
        slots: what has to be known: four, the last two are day and time.
        openings: how a request begins.
    """

    noun: str
    slots: tuple[str, ...]
    openings: tuple[str, ...]


class Frame(NamedTuple):
    """A reply: ``text`` has the places {chunks} and may have {noun} and {ask}; ``order``: of the domain's slots."""

    text: str
    order: tuple[int, ...]


@dataclass(frozen=True)
class Language(Recipe):
    """How it is said.

    Attributes:
        domains: what can be booked.
        values: slot -> value -> its forms.
        chunks: slot -> what a value is said in.
        acts: act -> its forms. The act that asks for a slot has the slot's name; the others are "confirm", "refuse".
        marks: "confirm", "refuse" -> what the look-up found, before a user's turn.
        orders: of the slots in requests.
        fills, changes: a user's later turns, around the chunk of the slot that was asked for, or that changes.
        replies: "confirm", "refuse", "ask" -> frames.
        space: between chunks.
        pause: between the parts of a request.
    """

    domains: tuple[Domain, ...]
    values: Mapping[str, Values]
    chunks: Mapping[str, str]
    acts: Values
    marks: Mapping[str, str]
    orders: tuple[tuple[int, ...], ...]
    fills: tuple[str, ...]
    changes: tuple[str, ...]
    replies: Mapping[str, tuple[Frame, ...]]
    space: str
    pause: str

    @property
    def ontology(self) -> Ontology:
        """slot -> value -> its forms, acts included."""
        return {**self.values, ACT: self.acts}

    def fragments(self) -> Iterator[str]:
        """What all texts are made of."""
        for domain in self.domains:
            yield from (domain.noun, *domain.openings)
        for values in (*self.values.values(), self.acts):
            for forms in values.values():
                yield from forms
        for text in (*self.chunks.values(), *self.fills, *self.changes):
            yield text.replace("{}", " ")
        for frame in (frame for frames in self.replies.values() for frame in frames):
            yield frame.text.format(noun=" ", chunks=" ", ask=" ")
        yield from (*self.marks.values(), self.pause)

    def usual(self, slot: str, value: str) -> str:
        """A value in its chunk, in its usual form."""
        return self.chunks[slot].format(self.values[slot][value][0])

    def written(self, domain: Domain, act: str, chunks: Mapping[str, str]) -> list[str]:
        """All replies that do an act: ``chunks``: slot -> what it is said in, of the slots that are known."""
        replies = []
        for i, frame in enumerate(self.replies.get(act, self.replies["ask"])):
            order = [domain.slots[k] for k in frame.order]
            said = self.space.join([chunks[slot] for slot in order if slot in chunks])
            ask = self.acts[act][i % len(self.acts[act])]
            replies.append(frame.text.format(noun=domain.noun, chunks=said, ask=ask))
        return replies

    def turns(self, texts: Iterable[str], closed: bool) -> str:
        """Turns as one text: a mark between them and, where ``closed``, after the last."""
        return f"{self.space}{MARK}{self.space}".join(texts) + (self.space + MARK if closed else "")


def same(*values: str, form: str = "{}") -> Values:
    """Values with one form each."""
    return {value: (form.format(value),) for value in values}
