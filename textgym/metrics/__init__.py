"""HOW GOOD a text is so far. One file a metric; names in commands and JSON stand in ``METRICS``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial

from textgym.errors import call_checked, load_object, refuse_json, unknown
from textgym.metrics.answer import AnswerF1
from textgym.metrics.base import BatchMetric, BatchProgress, FunctionMetric, Metric, Progress, WholeText
from textgym.metrics.bleu import BLEU
from textgym.metrics.chrf import ChrF
from textgym.metrics.classifier import ClassifierProbability
from textgym.metrics.code import CasesPassed, ValidPrefix
from textgym.metrics.diversity import Distinct, Length, Repetition
from textgym.metrics.edit_distance import EditDistance
from textgym.metrics.embedding import EmbeddingSimilarity
from textgym.metrics.fluency import Fluency
from textgym.metrics.label_f1 import LabelF1
from textgym.metrics.language_model import LogLikelihood
from textgym.metrics.learned import Learned
from textgym.metrics.match import CharacterMatch, ExactMatch, TokenMatch
from textgym.metrics.naive_bayes import NaiveBayes
from textgym.metrics.optimistic import OptimisticEditDistance
from textgym.metrics.rouge import ROUGE
from textgym.metrics.running import Followed, RunningMetrics
from textgym.metrics.slots import SlotAccuracy
from textgym.metrics.ter import TER
from textgym.metrics.token_ngrams import TokenBLEU

# {"name": "rouge1", "stem": true}: the other keys of a dict are its arguments
METRICS: dict[str, Callable[..., BatchMetric]] = {
    "token_match": TokenMatch,
    "token_bleu": TokenBLEU,
    "character_match": CharacterMatch,
    "exact_match": ExactMatch,
    "answer_f1": AnswerF1,
    "slot_accuracy": SlotAccuracy,
    "cer": partial(EditDistance, "character", "rate"),
    "wer": partial(EditDistance, "word", "rate"),
    "character_accuracy": partial(EditDistance, "character", "accuracy"),
    "word_accuracy": partial(EditDistance, "word", "accuracy"),
    "edit_distance": EditDistance,
    "optimistic_cer": partial(OptimisticEditDistance, "character", "rate"),
    "optimistic_wer": partial(OptimisticEditDistance, "word", "rate"),
    "optimistic_edit_distance": OptimisticEditDistance,
    "label_f1": LabelF1,
    "ter": TER,
    "bleu": BLEU,
    "chrf": ChrF,
    "chrf++": partial(ChrF, word_order=2),
    "rouge1": partial(ROUGE, "1"),
    "rouge2": partial(ROUGE, "2"),
    "rougeL": partial(ROUGE, "L"),
    "rougeLsum": partial(ROUGE, "Lsum"),
    "distinct": Distinct,
    "repetition": Repetition,
    "length": Length,
    "fluency": Fluency,
    "log_likelihood": LogLikelihood,
    "learned": Learned,
    "embedding_similarity": EmbeddingSimilarity,
    "naive_bayes": NaiveBayes,
    "classifier_probability": ClassifierProbability,
    "valid_prefix": ValidPrefix,
    "visible_examples": partial(CasesPassed, "visible_examples"),
    "hidden_cases": partial(CasesPassed, "hidden_cases"),
}


def metric(function: Callable[[str, tuple[str, ...]], float]) -> FunctionMetric:
    """Decorator: a plain function ``f(text, references) -> float`` becomes a metric."""
    return FunctionMetric(function)


def make_metric(spec) -> BatchMetric:
    """A metric from an object, a plain function, a name in ``METRICS``, or ``"package.module:name"``; or a dict of such
    a ``"name"`` and its arguments: ``{"name": "edit_distance", "unit": "word", "form": "rate"}``.

    Raises:
        ValueError: an unknown name (the nearest known one is named).
        TypeError: something else.
    """
    if isinstance(spec, Mapping):
        arguments = dict(spec)
        name = arguments.pop("name", None)
        if not isinstance(name, str) or (name not in METRICS and ":" not in name):
            raise unknown("metric", name, METRICS)
        return call_checked(f"metric {name!r}", METRICS[name] if name in METRICS else load_object(name), arguments)
    if isinstance(spec, str):
        refuse_json("metric", spec)
        if ":" not in spec:
            return _named(spec)
        name = spec.partition(":")[0]
        if name in METRICS:
            raise ValueError(f"metric {name!r} takes arguments in a dict, {{'name': {name!r}, ...}}, got {spec!r}")
        spec = load_object(spec)
    if isinstance(spec, type) and issubclass(spec, BatchMetric):
        spec = spec()
    if isinstance(spec, BatchMetric):
        return spec
    if callable(spec) and not isinstance(spec, type):
        return FunctionMetric(spec)
    raise TypeError(f"a metric is a Metric, a function f(text, references), or a name; got {spec!r}")


@lru_cache(maxsize=256)
def _named(name: str) -> BatchMetric:
    """The metric of that name: always the same object, so that several rewards can share what it computes."""
    if name not in METRICS:
        raise unknown("metric", name, METRICS)
    return call_checked(f"metric {name!r}", METRICS[name], {})


__all__ = [
    "AnswerF1",
    "BLEU",
    "METRICS",
    "ROUGE",
    "TER",
    "BatchMetric",
    "BatchProgress",
    "CasesPassed",
    "CharacterMatch",
    "ChrF",
    "ClassifierProbability",
    "Distinct",
    "EditDistance",
    "EmbeddingSimilarity",
    "ExactMatch",
    "Fluency",
    "Followed",
    "FunctionMetric",
    "LabelF1",
    "Learned",
    "Length",
    "LogLikelihood",
    "Metric",
    "NaiveBayes",
    "OptimisticEditDistance",
    "Progress",
    "Repetition",
    "RunningMetrics",
    "SlotAccuracy",
    "TokenBLEU",
    "TokenMatch",
    "ValidPrefix",
    "WholeText",
    "make_metric",
    "metric",
]
