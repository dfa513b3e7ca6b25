"""Rules on short strings: copy, reverse, sort, add. Their episodes cost a few microseconds each."""

from __future__ import annotations

import re
import string
from abc import abstractmethod

import numpy as np

from textgym.episode import Episode
from textgym.errors import whole_number
from textgym.metrics import CharacterMatch
from textgym.tasks.generated import GeneratedTask

LETTERS = string.ascii_lowercase
_TO_LETTERS = LETTERS.encode().ljust(256)  # a table for bytes.translate: 0 -> a, 1 -> b, ...


def random_letters(rng: np.random.Generator, length: int, symbols: int) -> str:
    """``length`` letters, each uniform among the first ``symbols`` of the alphabet."""
    numbers = rng.random(length) * symbols  # less than half the time of rng.integers(symbols, size=length)
    return numbers.astype(np.uint8).tobytes().translate(_TO_LETTERS).decode()


class _Rule(GeneratedTask):
    """A task with one right text for every prompt."""

    metric = CharacterMatch()

    @abstractmethod
    def answer(self, prompt: str) -> str:
        """The right text for a prompt."""

    def from_prompt(self, prompt, references=()):
        """The episode of a prompt that a user gives, of any length; without references, :meth:`answer` is the one."""
        return Episode(prompt, references or (self.answer(prompt),))


class _Letters(_Rule):
    def __init__(
        self,
        length: int = 5,
        symbols: int = 8,
        *,
        split="train",
        tokenizer="character",
        budget: int | None = None,
        lossy: bool = False,
    ):
        self.length = whole_number("length", length, 1)
        self.symbols = whole_number("symbols", symbols, 2, len(LETTERS))
        super().__init__(
            LETTERS[: self.symbols],
            self.length,
            self.length,
            split=split,
            tokenizer=tokenizer,
            budget=budget,
            lossy=lossy,
        )

    def generate(self, rng):
        prompt = random_letters(rng, self.length, self.symbols)
        return Episode(prompt, (self.answer(prompt),))


class Copy(_Letters):
    """Write the prompt again.

    ## Description
    The simplest task with a different answer for every prompt: does an agent read what it is shown?

    ## Prompt and reference
    `length` letters, each uniform among the first `symbols` of the alphabet; the reference is the prompt.
    `"cabed"` -> `"cabed"`. There are `symbols ** length` prompts, 8 in 10 of them train, 1 validation, 1 test.

    ## Action space
    `Discrete(V)`: the tokens of the vocabulary, here the letters and EOS, `V = symbols + 1`. All are legal.

    ## Observation space
    `Box(0, V, (prompt_length + budget,), int32)`: the prompt, right-aligned in `prompt_length` columns, then
    the tokens written; PAD = V in empty columns.

    ## Rewards
    Default: `delta` of the true score, the share of characters in place
    (:class:`~textgym.metrics.CharacterMatch`): 1 / `length` for a right letter, 0 for a wrong one and
    for EOS; letters beyond the end of the reference lower the score.

    ## Starting state
    A prompt of the split, drawn uniformly; no text.

    ## Episode end
    EOS, or the budget is spent (default `length + 1`, EOS included).

    ## Arguments
    - `length=5`: letters of every prompt, at least 1.
    - `symbols=8`: size of the alphabet, 2 to 26.
    - `split="train"`, `tokenizer="character"`, `budget=None` (tokens, EOS included), `lossy=False`: as for every task.

    Raises `ValueError`: an argument out of its range, or so few prompts that the split has none.

    ## Version history
    - v0: first version.
    """

    def answer(self, prompt):
        return prompt


class Reverse(_Letters):
    """Write the prompt backwards.

    ## Description
    The first letter to write is the one seen last: attention to a position that moves against the text.

    ## Prompt and reference
    `length` letters, each uniform among the first `symbols` of the alphabet; the reference is the prompt
    read from its end. `"cabed"` -> `"debac"`. There are `symbols ** length` prompts, 8 in 10 of them train,
    1 validation, 1 test.

    ## Action space
    `Discrete(V)`: the tokens of the vocabulary, here the letters and EOS, `V = symbols + 1`. All are legal.

    ## Observation space
    `Box(0, V, (prompt_length + budget,), int32)`: the prompt, right-aligned in `prompt_length` columns, then
    the tokens written; PAD = V in empty columns.

    ## Rewards
    Default: `delta` of the true score, the share of characters in place
    (:class:`~textgym.metrics.CharacterMatch`): 1 / `length` for a right letter, 0 for a wrong one and
    for EOS; letters beyond the end of the reference lower the score.

    ## Starting state
    A prompt of the split, drawn uniformly; no text.

    ## Episode end
    EOS, or the budget is spent (default `length + 1`, EOS included).

    ## Arguments
    - `length=5`: letters of every prompt, at least 1.
    - `symbols=8`: size of the alphabet, 2 to 26.
    - `split="train"`, `tokenizer="character"`, `budget=None` (tokens, EOS included), `lossy=False`: as for every task.

    Raises `ValueError`: an argument out of its range, or so few prompts that the split has none.

    ## Version history
    - v0: first version.
    """

    def answer(self, prompt):
        return prompt[::-1]


class Sort(_Letters):
    """Write the letters of the prompt in alphabetical order.

    ## Description
    Every letter of the answer depends on the whole prompt: counting rather than looking up.

    ## Prompt and reference
    `length` letters, each uniform among the first `symbols` of the alphabet; the reference has the same
    letters, each as often, in alphabetical order. `"cabac"` -> `"aabcc"`. There are `symbols ** length`
    prompts, 8 in 10 of them train, 1 validation, 1 test; prompts of different splits may share a reference.

    ## Action space
    `Discrete(V)`: the tokens of the vocabulary, here the letters and EOS, `V = symbols + 1`. All are legal.

    ## Observation space
    `Box(0, V, (prompt_length + budget,), int32)`: the prompt, right-aligned in `prompt_length` columns, then
    the tokens written; PAD = V in empty columns.

    ## Rewards
    Default: `delta` of the true score, the share of characters in place
    (:class:`~textgym.metrics.CharacterMatch`): 1 / `length` for a right letter, 0 for a wrong one and
    for EOS; letters beyond the end of the reference lower the score.

    ## Starting state
    A prompt of the split, drawn uniformly; no text.

    ## Episode end
    EOS, or the budget is spent (default `length + 1`, EOS included).

    ## Arguments
    - `length=5`: letters of every prompt, at least 1.
    - `symbols=8`: size of the alphabet, 2 to 26.
    - `split="train"`, `tokenizer="character"`, `budget=None` (tokens, EOS included), `lossy=False`: as for every task.

    Raises `ValueError`: an argument out of its range, or so few prompts that the split has none.

    ## Version history
    - v0: first version.
    """

    def answer(self, prompt):
        return "".join(sorted(prompt))


class Addition(_Rule):
    """Write the sum of two numbers.

    ## Description
    Addition in decimal digits. Written the usual way, the first digit depends on every carry; with
    `reverse=True` the lowest digit comes first and each digit needs one carry only, which small
    Transformers learn far more easily (Lee et al. 2023, arXiv:2307.03381).

    ## Prompt and reference
    Two numbers and a plus: `"27+5"` -> `"32"`, with `reverse=True` `"23"`. For each number the count of its
    digits is uniform in 1 .. `digits`, then the number is uniform among those with that many digits (0 has
    one). Of the `100 ** digits` prompts 8 in 10 are train, 1 validation, 1 test; `"5+27"` is another prompt
    than `"27+5"` and may be in another split.

    ## Action space
    `Discrete(V)`: the tokens of the vocabulary, here `0` .. `9`, `+` and EOS, `V = 12`. All are legal.

    ## Observation space
    `Box(0, V, (prompt_length + budget,), int32)`: the prompt, right-aligned in `prompt_length` columns (with
    characters `2 * digits + 1`), then the tokens written; PAD = V in empty columns.

    ## Rewards
    Default: `delta` of the true score, the share of characters in place
    (:class:`~textgym.metrics.CharacterMatch`), counted from the first one written: it does not measure how
    near the number is. For the sum 32, `"35"` scores 1/2, `"132"` and `"2"` score 0; only `"32"` scores 1.

    ## Starting state
    A prompt of the split, drawn as above; no text.

    ## Episode end
    EOS, or the budget is spent (default `digits + 2`, EOS included).

    ## Arguments
    - `digits=2`: digits of the longest number, 1 to 18.
    - `reverse=False`: write the sum with its lowest digit first.
    - `split="train"`, `tokenizer="character"`, `budget=None` (tokens, EOS included), `lossy=False`: as for every task.

    Raises `ValueError`: an argument out of its range; `TypeError`: `reverse` is no bool.

    ## Version history
    - v0: first version.
    """

    def __init__(
        self,
        digits: int = 2,
        reverse: bool = False,
        *,
        split="train",
        tokenizer="character",
        budget: int | None = None,
        lossy: bool = False,
    ):
        self.digits = whole_number("digits", digits, 1, 18)  # 18: sizes are drawn as int64
        if not isinstance(reverse, (bool, np.bool_)):
            raise TypeError(f"reverse must be True or False, got {reverse!r}")
        self.reverse = bool(reverse)
        super().__init__(
            string.digits + "+",
            2 * self.digits + 1,
            self.digits + 1,
            split=split,
            tokenizer=tokenizer,
            budget=budget,
            lossy=lossy,
        )

    def generate(self, rng):
        a, b = self._number(rng), self._number(rng)
        return Episode(f"{a}+{b}", (self._write(a + b),))

    def _number(self, rng: np.random.Generator) -> int:
        size = int(rng.random() * self.digits)  # digits but one
        return int(rng.integers(10**size if size else 0, 10 ** (size + 1)))

    def _write(self, number: int) -> str:
        return str(number)[::-1] if self.reverse else str(number)

    def answer(self, prompt):
        if not re.fullmatch("[0-9]+[+][0-9]+", prompt):
            raise ValueError(f"the prompt of Addition is two numbers and a plus, as in '27+5', got {prompt!r}")
        return self._write(sum(map(int, prompt.split("+"))))
