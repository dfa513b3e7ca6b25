"""A small world of facts, and what can be asked about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

PEOPLE = ("anna", "ben", "clara", "david", "emma", "frank", "grace", "henry", "irene", "jack", "kate", "leo")
CITIES = ("oslo", "rome", "paris", "lisbon", "dublin", "prague", "athens", "berlin", "madrid", "cairo", "lima", "delhi")
OBJECTS = ("key", "map", "ring", "lamp", "knife", "flute", "letter", "rope", "mask", "clock", "brush", "spoon")
HOLDERS = ("box", "bag", "drawer", "basket", "chest", "jar", "trunk", "crate", "bowl", "pouch", "bucket", "case")
ROOMS = ("kitchen", "attic", "garage", "office", "cellar", "library", "hall", "studio", "pantry", "barn", "shed", "den")
NAMES = (PEOPLE, CITIES, OBJECTS, HOLDERS, ROOMS)
THINGS = ("coins", "books", "apples", "tickets", "stamps", "shells")
NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine")
SIZE = len(NUMBERS)  # of a world

Fact = tuple[Any, ...]
"""The name of one of the methods of a world, and what it is called with: ``("lives", 3)``."""


class World:
    """Eight people, cities, objects, holders and rooms; those of the same index belong together.

    Args:
        names: of each kind, eight or more.
        shift: 0 .. 7: which numbers people have.
    """

    def __init__(self, names: Sequence[Sequence[str]], shift: int):
        self.people, self.cities, self.objects, self.holders, self.rooms = names
        self.shift = shift

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> World:
        """A world of names in random order."""
        orders = rng.random((len(NAMES), len(PEOPLE))).argsort(axis=1).tolist()
        names = [[kind[i] for i in order] for kind, order in zip(NAMES, orders, strict=True)]
        return cls(names, int(rng.random() * SIZE))

    def say(self, fact: Fact) -> str:
        return getattr(self, fact[0])(*fact[1:])

    def lives(self, i: int) -> str:
        return f"{self.people[i]} lives in {self.cities[i]}"

    def works(self, i: int) -> str:
        return f"{self.people[i]} works for {self.people[boss(i)]}"

    def has(self, i: int, t: int) -> str:
        return f"{self.people[i]} has {self.number(i, t)} {THINGS[t]}"

    def lies(self, i: int) -> str:
        return f"the {self.objects[i]} is in the {self.holders[i]}"

    def stands(self, i: int) -> str:
        return f"the {self.holders[i]} is in the {self.rooms[i]}"

    def number(self, i: int, t: int) -> int:
        """How many of the things t person i has, 2 .. 9: nobody else has as many."""
        return 2 + (5 * i + 3 * t + self.shift) % SIZE


RELATIONS = ("lives", "works", "has", "lies", "stands")


def boss(i: int) -> int:
    return (i + 1) % SIZE


def employee(i: int) -> int:
    return (i - 1) % SIZE


class Open(NamedTuple):
    """A question for a word, of a world, about what has index k, and t, the things that are counted.

    Attributes:
        text: without the question mark.
        answers: the right ones, the shortest first.
        facts: of index i and things t: those of k answer the question; those of another would, were it about that.
    """

    text: Callable[[World, int, int], str]
    answers: Callable[[World, int, int], tuple[str, ...]]
    facts: Callable[[int, int], tuple[Fact, ...]]


class Closed(NamedTuple):
    """A question for yes or no: does to k belong what belongs to n? ``text`` takes a world, k, n, t."""

    text: Callable[[World, int, int, int], str]
    facts: Callable[[int, int], tuple[Fact, ...]]


# what is known about index i and things t


def _lives(i, t):
    return (("lives", i),)


def _works(i, t):
    return (("works", i),)


def _has(i, t):
    return (("has", i, t),)


def _lies(i, t):
    return (("lies", i),)


def _stands(i, t):
    return (("stands", i),)


def _boss_lives(i, t):
    return ("works", employee(i)), ("lives", i)


def _boss_has(i, t):
    return ("works", employee(i)), ("has", i, t)


def _works_for_resident(i, t):
    return ("works", i), ("lives", boss(i))


def _lies_in_room(i, t):
    return ("lies", i), ("stands", i)


def _a(name: str) -> tuple[str, ...]:
    return name, f"the {name}"


def _count(w: World, k: int, t: int) -> tuple[str, ...]:
    number = w.number(k, t)
    return str(number), NUMBERS[number - 2]


# how many facts it takes -> the questions
OPEN = {
    1: (
        Open(lambda w, k, t: f"where does {w.people[k]} live", lambda w, k, t: (w.cities[k],), _lives),
        Open(lambda w, k, t: f"who lives in {w.cities[k]}", lambda w, k, t: (w.people[k],), _lives),
        Open(lambda w, k, t: f"who does {w.people[k]} work for", lambda w, k, t: (w.people[boss(k)],), _works),
        Open(lambda w, k, t: f"how many {THINGS[t]} does {w.people[k]} have", _count, _has),
        Open(lambda w, k, t: f"what is in the {w.holders[k]}", lambda w, k, t: _a(w.objects[k]), _lies),
        Open(lambda w, k, t: f"what is the {w.objects[k]} in", lambda w, k, t: _a(w.holders[k]), _lies),
        Open(lambda w, k, t: f"which room is the {w.holders[k]} in", lambda w, k, t: _a(w.rooms[k]), _stands),
    ),
    2: (
        Open(
            lambda w, k, t: f"where does the boss of {w.people[employee(k)]} live",
            lambda w, k, t: (w.cities[k],),
            _boss_lives,
        ),
        Open(
            lambda w, k, t: f"how many {THINGS[t]} does the boss of {w.people[employee(k)]} have",
            _count,
            _boss_has,
        ),
        Open(
            lambda w, k, t: f"who works for the person in {w.cities[boss(k)]}",
            lambda w, k, t: (w.people[k],),
            _works_for_resident,
        ),
        Open(lambda w, k, t: f"which room is the {w.objects[k]} in", lambda w, k, t: _a(w.rooms[k]), _lies_in_room),
    ),
}
CLOSED = {
    1: (
        Closed(lambda w, k, n, t: f"does {w.people[k]} live in {w.cities[n]}", _lives),
        Closed(lambda w, k, n, t: f"does {w.people[k]} have {w.number(n, t)} {THINGS[t]}", _has),
        Closed(lambda w, k, n, t: f"is the {w.objects[k]} in the {w.holders[n]}", _lies),
    ),
    2: (
        Closed(
            lambda w, k, n, t: f"does the boss of {w.people[employee(k)]} live in {w.cities[n]}",
            _boss_lives,
        ),
        Closed(lambda w, k, n, t: f"is the {w.objects[k]} in the {w.rooms[n]}", _lies_in_room),
    ),
}


def sentences(world: World) -> tuple[list[str], list[str], list[str]]:
    """The facts, the questions and the answers of a world, with every number and thing."""
    each = [(i, t) for i in range(SIZE) for t in range(len(THINGS))]
    facts = [world.say((relation, i)) for relation in RELATIONS if relation != "has" for i in range(SIZE)]
    facts += [world.has(i, t) for i, t in each]
    questions, answers = [], ["yes", "no"]
    for hops in OPEN:
        for kind in OPEN[hops]:
            questions += [kind.text(world, k, t) for k, t in each]
            answers += [answer for k, t in each for answer in kind.answers(world, k, t)]
        for kind in CLOSED[hops]:
            questions += [kind.text(world, k, boss(k), t) for k, t in each]
    return facts, questions, answers


def longest(measure: Callable[[str], int]) -> tuple[str, str, str]:
    """The fact, the question and the answer that measure most."""
    world = World([[max(kind, key=measure)] * SIZE for kind in NAMES], 0)
    fact, question, answer = (max(texts, key=measure) for texts in sentences(world))
    return fact, question, answer


def fragments() -> Iterator[str]:
    """What all texts are made of."""
    for texts in (*NAMES, NUMBERS, *sentences(World(NAMES, 0))):
        yield from texts
