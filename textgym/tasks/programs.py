"""Programs: steps that are done one after the other, in words, as expressions and as a function."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from textgym.tasks.program_steps import LETTERS, STEPS, Code, Step
from textgym.tasks.symbolic import random_letters

_ELEMENT = {"numbers": "n", "words": "w"}  # what is gone through -> the name of one of them
_FEWEST_NUMBERS, _FEWEST_WORDS, _MORE, _LONGEST_WORD = 3, 2, 4, 5


class Planned(NamedTuple):
    """A step and its constants. ``argument``: the first of them is the second argument, ``k``, instead."""

    step: Step
    constants: tuple[Any, ...]
    argument: bool = False


@dataclass(frozen=True)
class Program:
    """What is done to ``x``; where it has a second argument, that is the number ``k``."""

    plan: tuple[Planned, ...]

    @property
    def parameters(self) -> list[str]:
        return ["x", "k"] if any(planned.argument for planned in self.plan) else ["x"]

    @property
    def takes(self) -> str:
        """What the argument ``x`` is: "numbers", "text" or "words"."""
        return self.plan[0].step.takes

    @property
    def sentence(self) -> str:
        parts = []
        for step, constants, argument in self.plan:
            names = ["k", *constants[1:]] if argument else constants
            parts.append(step.words.format(**dict(zip("ab", names, strict=False))))
        return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))

    def value(self, x: Any, k: Any = None, without: int | None = None) -> Any:
        """What the program gives, or, without one of its steps, would give.

        Raises:
            ValueError, IndexError: nothing, as where the largest of no numbers is asked for.
        """
        for i, (step, constants, argument) in enumerate(self.plan):
            if i != without:
                x = step.apply(x, (k, *constants[1:]) if argument else constants)
        return x

    def references(self) -> list[str]:
        """Equivalent expressions, the usual one first: other ways to write the steps; each comprehension by itself."""
        return list(dict.fromkeys([self._written(), self._written(way=1), self._written(merged=False)]))

    def _written(self, way: int = 0, merged: bool = True) -> str:
        whole = Code("x", 3)
        each: Code | None = None  # what stands for an element, in a comprehension that is not closed yet
        name, conditions = "", []

        def closed() -> Code:
            tail = f" if {' and '.join(conditions)}" if conditions else ""
            return whole if each is None else Code(f"[{each.text} for {name} in {whole.text}{tail}]", 3)

        for step, constants, argument in self.plan:
            written = list(map(repr, constants))
            if argument:
                written[0] = "k"
            if not (step.each and merged):
                whole, each, conditions = closed(), None, []
            if not step.each:
                whole = step.around(whole, written, way)
                continue
            if each is None:
                name = _ELEMENT[step.takes]
                each = Code(name, 3)
            if step.each == "map":
                each = step.around(each, written, way)
            else:
                conditions.append(step.around(each, written, way).text)
        return closed().text


def draw_program(rng: np.random.Generator, steps: int, arguments: int) -> Program:
    """A program of at most ``steps`` steps; where ``arguments`` is 2, it has two about half of the time."""
    chances = iter(rng.random(4 * steps + 3).tolist())

    def pick(options):
        return options[int(next(chances) * len(options))]

    kind = pick(("numbers", "text", "words"))
    plan: list[Planned] = []
    for _ in range(1 + pick(range(steps))):
        step = pick(STEPS[kind])
        plan.append(Planned(step, tuple([pick(choices) for choices in step.constants])))
        kind = step.gives
    numeric = [i for i, (_, constants, _) in enumerate(plan) if constants and isinstance(constants[0], int)]
    if arguments == 2 and numeric and next(chances) < 0.75:  # some have no numeric constant
        i = pick(numeric)
        plan[i] = plan[i]._replace(argument=True)
    return Program(tuple(plan))


def draw_inputs(program: Program, rng: np.random.Generator, count: int) -> Iterator[list[Any]]:
    """``count`` lists of arguments: 3 to 6 numbers from -10 to 19, or 2 to 5 words of 1 to 5 letters; k from 1 to 9."""
    more = (rng.random(count) * _MORE).astype(int).tolist()
    ks = (1 + rng.random(count) * 9).astype(int).tolist()
    if program.takes == "numbers":
        numbers = np.floor(rng.random((count, _FEWEST_NUMBERS + _MORE)) * 30 - 10).astype(int).tolist()
    else:
        lengths = (1 + rng.random((count, _FEWEST_WORDS + _MORE)) * _LONGEST_WORD).astype(int).tolist()
        letters = random_letters(rng, sum(map(sum, lengths)), len(LETTERS))
    end, two = 0, len(program.parameters) == 2
    for i in range(count):
        if program.takes == "numbers":
            x = numbers[i][: _FEWEST_NUMBERS + more[i]]
        else:
            x = [letters[end : (end := end + length)] for length in lengths[i][: _FEWEST_WORDS + more[i]]]
            x = " ".join(x) if program.takes == "text" else x
        yield [x, ks[i]] if two else [x]
