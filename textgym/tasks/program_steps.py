"""The steps that programs are made of: each in words, in Python, and as a function."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cache, partial
from typing import Any, NamedTuple

LETTERS = "abcde"


class Code(NamedTuple):
    """A piece of an expression.

    Attributes:
        text: the piece.
        binds: how tightly it holds together: 0 a comparison, 1 a sum, 2 a product or power, 3 a name, call or index.
    """

    text: str
    binds: int


@dataclass(frozen=True)
class Step:
    """One thing to do.

    Attributes:
        words: what to do, with ``{a}`` and ``{b}`` for the constants.
        code: how it is written around ``@``, what it is done to; equivalent ways are separated by ``|``.
        function: what it does to its input, or to each element of it, given the constants.
        constants: for each constant what it is drawn from.
        takes, gives: "numbers", "number", "text" or "words".
        each: "" where it is done to the whole input; "map" or "keep" where it is done to each element.
    """

    words: str
    code: str
    function: Callable[..., Any]
    constants: Sequence[Sequence[Any]] = ()
    _: KW_ONLY
    takes: str
    gives: str
    each: str = ""

    def apply(self, value: Any, constants: Sequence[Any]) -> Any:
        """The value after the step."""
        if self.each == "map":
            return [self.function(item, *constants) for item in value]
        if self.each == "keep":
            return [item for item in value if self.function(item, *constants)]
        return self.function(value, *constants)

    def around(self, inner: Code, constants: Sequence[str], way: int = 0) -> Code:
        """The step, written around ``inner``: in the ``way``-th way, or the last there is."""
        ways = self.code.split("|")
        return _around(ways[min(way, len(ways) - 1)], inner, dict(zip("ab", constants, strict=False)))


def _around(code: str, inner: Code, constants: dict[str, str]) -> Code:
    needs, binds = _precedence(code)
    text = inner.text if inner.binds >= needs else f"({inner.text})"
    return Code(code.format(**constants).replace("@", text), binds)


@cache
def _precedence(code: str) -> tuple[int, int]:
    """How tightly what stands for ``@`` has to hold together to need no parentheses, and how tightly the whole does."""

    def tree(text: str) -> str:
        return ast.dump(ast.parse(text, mode="eval"))

    code = code.format(a="a", b="b")
    pieces = ("x<x", "x+x", "x*x", "x")  # by how tightly they hold together
    needs = next(i for i, x in enumerate(pieces) if tree(code.replace("@", x)) == tree(code.replace("@", f"({x})")))
    whole = ast.parse(code.replace("@", "x"), mode="eval").body
    if isinstance(whole, ast.BinOp) and isinstance(whole.op, (ast.Add, ast.Sub)):
        return needs, 1
    return needs, 0 if isinstance(whole, ast.Compare) else 2 if isinstance(whole, (ast.BinOp, ast.UnaryOp)) else 3


_NUMBERS = {"takes": "numbers", "gives": "numbers"}
_WORDS = {"takes": "words", "gives": "words"}
_map_numbers, _keep_numbers = (partial(Step, **_NUMBERS, each=each) for each in ("map", "keep"))
_map_words, _keep_words = (partial(Step, **_WORDS, each=each) for each in ("map", "keep"))
_reduce = partial(Step, takes="numbers", gives="number")
_number = partial(Step, takes="number", gives="number")
_text = partial(Step, takes="text", gives="text")
_SMALL, _LETTER = (range(2, 10),), (LETTERS,)

_ALL = [
    _map_numbers("double each number", "@*2|2*@", lambda n: n * 2),
    _map_numbers("square each number", "@**2", lambda n: n * n),
    _map_numbers("negate each number", "-@", lambda n: -n),
    _map_numbers("drop the sign of each number", "abs(@)", abs),
    _map_numbers("add {a} to each number", "@+{a}", lambda n, a: n + a, _SMALL),
    _map_numbers("subtract {a} from each number", "@-{a}", lambda n, a: n - a, _SMALL),
    _map_numbers("multiply each number by {a}", "@*{a}|{a}*@", lambda n, a: n * a, (range(3, 10),)),
    _map_numbers("take each number modulo {a}", "@%{a}", lambda n, a: n % a, (range(3, 10),)),
    _keep_numbers("keep the even numbers", "@%2==0", lambda n: n % 2 == 0),
    _keep_numbers("keep the odd numbers", "@%2==1|@%2", lambda n: n % 2 == 1),
    _keep_numbers("keep the numbers above {a}", "@>{a}", lambda n, a: n > a, _SMALL),
    _keep_numbers("keep the numbers below {a}", "@<{a}", lambda n, a: n < a, _SMALL),
    _reduce("add the numbers up", "sum(@)", sum),
    _reduce("take the largest number", "max(@)|sorted(@)[-1]", max),
    _reduce("take the smallest number", "min(@)|sorted(@)[0]", min),
    _number("double the number", "@*2|2*@", lambda n: n * 2),
    _number("add {a} to the number", "@+{a}", lambda n, a: n + a, _SMALL),
    _number("subtract the number from {a}", "{a}-@", lambda n, a: a - n, _SMALL),
    _text("write the text in capitals", "@.upper()", str.upper),
    _text("capitalize the text", "@.capitalize()", str.capitalize),
    _text("repeat the text {a} times", "@*{a}", lambda s, a: s * a, ((2, 3),)),
    _text("remove every {a}", "@.replace({a},'')", lambda s, a: s.replace(a, ""), _LETTER),
    _text("replace every {a} by {b}", "@.replace({a},{b})", str.replace, (LETTERS, LETTERS)),
    _text("add {a} at the end", "@+{a}", lambda s, a: s + a, _LETTER),
    Step("count the letter {a}", "@.count({a})", str.count, _LETTER, takes="text", gives="number"),
    Step("split the text into words", "@.split()", str.split, takes="text", gives="words"),
    Step("join the words with spaces", "' '.join(@)", " ".join, takes="words", gives="text"),
    Step("join the words with dashes", "'-'.join(@)", "-".join, takes="words", gives="text"),
    Step("take the length of each word", "len(@)", len, takes="words", gives="numbers", each="map"),
    _map_words("reverse each word", "@[::-1]", lambda w: w[::-1]),
    _map_words("write each word in capitals", "@.upper()", str.upper),
    _map_words("add {a} to each word", "@+{a}", lambda w, a: w + a, _LETTER),
    _keep_words("keep the words with {a}", "{a} in @", lambda w, a: a in w, _LETTER),
    _keep_words("keep the words without {a}", "{a} not in @", lambda w, a: a not in w, _LETTER),
    _keep_words("keep the words longer than {a}", "len(@)>{a}", lambda w, a: len(w) > a, (range(1, 4),)),
]


def _on_sequences(kind: str, things: str, one: str) -> list[Step]:
    """What is done alike to numbers, words and texts; ``one`` of the ``things`` is a number or a text."""
    same, few = partial(Step, takes=kind, gives=kind), (range(2, 5),)
    backwards = "''.join(reversed(@))" if kind == "text" else "list(reversed(@))"
    steps = [
        same(f"take the {things} from last to first", f"@[::-1]|{backwards}", lambda x: x[::-1]),
        same(f"take the first {{a}} {things}", "@[:{a}]", lambda x, a: x[:a], few),
        same(f"drop the first {{a}} {things}", "@[{a}:]", lambda x, a: x[a:], few),
        same(f"take the last {{a}} {things}", "@[-{a}:]", lambda x, a: x[-a:], few),
        same(f"take every second of the {things}", "@[::2]", lambda x: x[::2]),
        Step(f"count the {things}", "len(@)", len, takes=kind, gives="number"),
    ]
    if kind != "text":
        steps += [
            same(f"sort the {things}", "sorted(@)", sorted),
            same(f"sort the {things} downwards", "sorted(@,reverse=True)|sorted(@)[::-1]", lambda x: sorted(x)[::-1]),
            Step(f"take the first of the {things}", "@[0]", lambda x: x[0], takes=kind, gives=one),
            Step(f"take the last of the {things}", "@[-1]", lambda x: x[-1], takes=kind, gives=one),
        ]
    return steps


_ALL += _on_sequences("numbers", "numbers", "number") + _on_sequences("words", "words", "text")
_ALL += _on_sequences("text", "letters", "text")
STEPS: dict[str, tuple[Step, ...]] = {}  # what is taken -> the steps
for _step in _ALL:
    STEPS[_step.takes] = (*STEPS.get(_step.takes, ()), _step)
