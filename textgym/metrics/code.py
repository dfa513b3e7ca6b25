"""Texts that are Python expressions: can the text still become one, and does it compute what it should."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textgym.errors import one_of
from textgym.expressions import BEGINNING, Expression, ExpressionError, extend, identical, is_complete
from textgym.metrics.base import Metric, Progress

CASES = ("visible_examples", "hidden_cases")


class ValidPrefix(Metric):
    """1 while the text can be completed to a Python expression, else 0; 1 for the empty text and for every expression.

    Exact for the part of Python's syntax that :mod:`textgym.expressions.syntax` states: 0 from the first character on
    after which no text at all would help. Names are not looked up, and the budget is not minded. A character costs the
    same wherever it stands.

    It says nothing for finishing: an unfinished text has 1 at the end, too. As a reward, ``Delta`` pays for the first
    token and takes it back with the token that breaks the text; an agent that it alone pays writes one name.
    """

    name = "valid_prefix"

    def start(self, episode):
        return _ValidProgress()


class _ValidProgress(Progress):
    def __init__(self):
        self.prefix = BEGINNING

    def push(self, piece, provisional=""):
        self.prefix = extend(self.prefix, piece)
        return float(extend(self.prefix, provisional) is not None)


class CasesPassed(Metric):
    """Share of an episode's cases that the text, as a Python expression, gets right, in [0, 1].

    A case is passed where the expression has exactly the value wanted, types included: neither 2.0 nor True passes for
    an integer. A text that is no expression, or has no value (:class:`~textgym.expressions.Expression` says when),
    passes none; where an episode has no cases, the value is 0. A text is evaluated, on every case, only at those
    prefixes that are expressions.

    Args:
        cases: which of the episode's: ``meta["visible_examples"]`` or ``meta["hidden_cases"]``. Each is a list of
            ``[arguments, value]``, with one argument for each name in ``meta["parameters"]``.
    """

    def __init__(self, cases: str = "visible_examples"):
        self.cases = self.name = one_of("cases", cases, CASES)

    def start(self, episode):
        return _CasesProgress(self, episode)

    def score(self, text, episode):
        cases = episode.meta.get(self.name, ())
        try:
            expression = Expression(text)
        except ExpressionError:
            return 0.0
        return sum(passes(expression, episode.meta["parameters"], case) for case in cases) / max(1, len(cases))


def passes(expression: Expression, parameters: Sequence[str], case: Sequence[Any]) -> bool:
    """Whether an expression has the value of a case, ``[arguments, value]``."""
    arguments, wanted = case
    try:
        return identical(expression.evaluate(dict(zip(parameters, arguments, strict=True))), wanted)
    except ExpressionError:
        return False


class _CasesProgress(Progress):
    def __init__(self, metric: CasesPassed, episode):
        self.metric = metric
        self.episode = episode
        self.text = ""
        self.prefix = BEGINNING

    def push(self, piece, provisional=""):
        self.text += piece
        self.prefix = extend(self.prefix, piece)
        if not is_complete(extend(self.prefix, provisional)):
            return 0.0
        return self.metric.score(self.text + provisional, self.episode)
