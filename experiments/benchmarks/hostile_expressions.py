"""Expressions that somebody would write to do harm, and a generator of more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textgym.expressions.functions import FUNCTIONS, METHODS

NAMES = {"x": [3, -1, 4, 1, 5], "k": 2, "s": "ab cab", "w": ["cab", "a", "bb"], "d": {"a": 1, "b": [2]}, "t": (1, "a")}


def doubled(levels: int, ends: tuple[str, str] = ("str(", ")")) -> str:
    """A list in which each level holds the one below it twice."""
    text = "[1]"
    for _ in range(levels):
        text = f"[[a,a] for a in {text}]"
    return ends[0] + text + ends[1]


HOSTILE = [
    *("(" * n + "1" + ")" * n for n in (20, 21, 400)),
    "[" * 900,
    *("-" * n + "1" for n in (40, 999)),
    *("not " * n + "1" for n in (40, 240)),
    *("x" + "+x" * n for n in (40, 490)),
    *("x if x else " * n + "x" for n in (20, 80)),
    "2" + "**2" * 300,
    "x" + "[0]" * 300,
    "x" + ".a()" * 200,
    "9**9**9",
    "9**9**9**9",
    "9**600",
    "1<<10**9",
    "-1<<10**9",
    "2**2047*2**2047",
    "(2**2000)**(2**2000)",
    "0.5**-(10**9)",
    "9" * 1000,
    "1" * 1001,
    "'a'*10**9",
    "10**9*'a'",
    "[0]*10**9",
    "[[0]*10**6]*10**6",
    "[[0]*60]*80*2",
    "'a'*4000+'a'*4000",
    "sorted(range(10**9))",
    "sum(range(10**9))",
    "range(10**600)[::10**599]",
    "10**9 in range(10**10)",
    "'a' in range(4000)",
    "list(range(4000))",
    "[0 for a in range(4000) for b in range(4000) for c in range(4000)]",
    "any(a > b + 4000 for a in range(4000) for b in range(4000))",
    "sum([[0]*100 for a in range(40)],[])",
    "sum([[0]*1000]*4,[])",
    "str(9**600)*9",
    "int('9'*4300)",
    "int('9'*600)**4",
    "'a'.replace('','b'*1000)",
    "('a'*1000).replace('a','b'*1000)",
    "('a'*4000).replace('','b')",
    "('a'*1000).join('b'*1000)",
    "'a'.zfill(10**9)",
    "'a'.center(10**9, 'b')",
    "'%1000000d'%1",
    "'{:1000000}'.format(1)",
    "f'{1:1000000}'",
    "x[::10**1000]",
    "('a '*2000).split()",
    "('a'*2000+'b') in 'a'*2900",
    "('a'*1000).count('a'*500)",
    "hash(((1,)*1000,)*1000)",
    "{((1,)*1000,)*1000: 1}",
    "max(range(4000),key=str)",
    "sorted([[0]*50]*90)",
    "[a == b for a in [[0]*1000] for b in [[0]*1000]*9]",
    "chr(10**9)",
    "round(5,-10**9)",
    "list(map(list,map(list,map(list,[x]*900))))",
    "[n**9%7 for n in range(99) for m in range(99)]",
    "[2**2000%(3**600+n) for n in range(99) for m in range(99)]",
    "[len(str(2**2000+n)) for n in range(99)]",
    "[s.replace('a', w[0]).split('b')[0].upper() for n in range(999)]",
    "[[[0 for a in x] for b in range(9)] for c in range(99)]",
    "sorted([str(n) for n in range(900)], key=len, reverse=True)",
    "[max(x) if n in x else sum(x) for n in range(999)]",
    "().__class__.__bases__[0].__subclasses__()",
    "__import__('os').system('true')",
    "x\0",
    "\ud800",
    "'\ud800'",
    "\ufeff1",
    "x\\\n",
    "1 if 1else 2",
    "1 is 1",
    "'\\d'",
    "(yield)",
    "(x:=1)",
    "await x",
    *(
        doubled(n, ends)
        for n in (5, 12, 19)
        for ends in (("str(", ")"), ("", "==x"), ("sorted(", ")"), ("{(1,", ",):1}"))
    ),
]

# forms with places, A, and what may stand there: functions and methods of anything, with large numbers
VALUES = (
    "x s w d t k 0 1 -1 99 4000 10**9 2**2000 1.5 None True '' 'a' [] () len str sorted range(99) range(4000)".split()
)
FORMS = (
    "A+A A*A A*A A**A A<<A A>>A A%A A//A A|A A==A A<A [A,A] (A,A) {A:A} A[A] A[::A] A[A:A] -A ~A".split()
    + ["A in A", "A and A", "A if A else A", "[A for n in A]", "[n for n in A for n in A if A]", "sum(A for n in A)"]
    + [f"{name}(A)" for name in FUNCTIONS]
    + [f"{name}(A,A)" for name in FUNCTIONS]
    + ["sorted(A,key=A)", "max(A,key=A)", "sum(A,A)", "any(n>A for n in A)", "(A)*A", "(A)+(A)", "[A]*A", "str(A)*A"]
    + [f"(A).{name}(A)" for name in sorted({name for methods in METHODS.values() for name in methods})]
    + ["(A).replace(A,A)", "(A).split(A)", "(A).center(A,A)", "(A).index(A,A)", "(A).get(A,A)"]
)


def filled(forms: Iterable[str], values: Sequence[str]) -> str:
    """Forms put into each other, each into the first place there is, and values in the places left."""
    text = "A"
    for form in forms:
        text = text.replace("A", form, 1)
    head, *rest = text.split("A")
    return head + "".join(values[i % len(values)] + piece for i, piece in enumerate(rest))
