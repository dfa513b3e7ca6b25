"""HOW GOOD a text is so far. One file a metric; names in commands and JSON stand in ``METRICS``."""

from __future__ import annotations

from collections.abc import Callable

from textgym.errors import load_object, unknown
from textgym.metrics.base import BatchMetric, BatchProgress, FunctionMetric, Metric, Progress, WholeText
from textgym.metrics.edit_distance import EditDistance
from textgym.metrics.match import CharacterMatch, ExactMatch, TokenMatch

METRICS: dict[str, Callable[[], BatchMetric]] = {
    "token_match": TokenMatch,
    "character_match": CharacterMatch,
    "exact_match": ExactMatch,
    "cer": lambda: EditDistance("character", "rate"),
    "wer": lambda: EditDistance("word", "rate"),
    "character_accuracy": lambda: EditDistance("character", "accuracy"),
    "word_accuracy": lambda: EditDistance("word", "accuracy"),
}


def metric(function: Callable[[str, tuple[str, ...]], float]) -> FunctionMetric:
    """Decorator: a plain function ``f(text, references) -> float`` becomes a metric."""
    return FunctionMetric(function)


def make_metric(spec) -> BatchMetric:
    """A metric from an object, a plain function, a name in ``METRICS``, or ``"package.module:name"``.

    Raises:
        ValueError: an unknown name (the nearest known one is named).
        TypeError: something else.
    """
    if isinstance(spec, str):
        if ":" in spec:
            spec = load_object(spec)
        elif spec in METRICS:
            spec = METRICS[spec]
        else:
            raise unknown("metric", spec, METRICS)
        if isinstance(spec, type) or spec in METRICS.values():
            spec = spec()
    if isinstance(spec, BatchMetric):
        return spec
    if callable(spec) and not isinstance(spec, type):
        return FunctionMetric(spec)
    raise TypeError(f"a metric is a Metric, a function f(text, references), or a name; got {spec!r}")


__all__ = [
    "METRICS",
    "BatchMetric",
    "BatchProgress",
    "CharacterMatch",
    "EditDistance",
    "ExactMatch",
    "FunctionMetric",
    "Metric",
    "Progress",
    "TokenMatch",
    "WholeText",
    "make_metric",
    "metric",
]
