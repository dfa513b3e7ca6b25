"""Fluency: how likely an n-gram model of the language finds the text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from textgym.errors import one_of
from textgym.metrics.base import Metric, Progress
from textgym.metrics.units import UNITS
from textgym.ngram import NGramModel, training_references


class Fluency(Metric):
    """The geometric mean of the probabilities of the text's units: 1 / perplexity, in [0, 1]; 0 of an empty text.

    The model is an n-gram model (:class:`~textgym.ngram.NGramModel`) of characters or words, whatever tokens the text
    is written in. ``<unk>`` stands for every unit that is in no training text; it was never seen, so that it has what
    smoothing leaves to one such unit. The start of a text is a context. Nothing is added at the end: whether a text
    stops where texts do does not matter. Neither do references and prompt, and a text that says one likely thing again
    and again is fluent: pay it beside a reward for the content.

    Args:
        texts: what the model is trained on; or "task": the references of 2,000 episodes of the task's train split,
            drawn by :meth:`resolve` when an environment is made.
        order: n of the n-grams, at least 1.
        unit: "character" or "word" (``str.split``). The last, perhaps unfinished, word counts as it stands.
        smoothing, alpha, discount: as of :class:`~textgym.ngram.NGramModel`.

    Raises:
        ValueError: the texts have no unit, or an argument is out of its range.

    Attributes:
        ids: unit -> id in the model; ``<unk>`` is the last id, ``len(ids)``.
        model: the n-gram model.
    """

    def __init__(
        self,
        texts: Sequence[str] | str = "task",
        order: int = 3,
        unit: str = "character",
        smoothing: str = "kneser_ney",
        alpha: float = 1.0,
        discount: float = 0.75,
    ):
        self.unit = one_of("unit of fluency", unit, UNITS)
        self.name = "fluency" if unit == "character" else f"{unit}_fluency"
        self.order, self.smoothing, self.alpha, self.discount = order, smoothing, alpha, discount
        self.of_task = isinstance(texts, str)
        if self.of_task:
            one_of("texts of fluency (a list of texts, or 'task')", texts, ["task"])
        in_units = [] if self.of_task else [UNITS[unit].split(text) for text in texts]
        self.ids = {known: i for i, known in enumerate(dict.fromkeys(u for units in in_units for u in units))}
        if not self.ids and not self.of_task:
            raise ValueError(f"fluency is learnt from texts; these have no {unit}")
        self.model = NGramModel(len(self.ids) + 1, order, smoothing, alpha, discount)
        self.model.fit([self.ids[u] for u in units] for units in in_units)

    def resolve(self, task):
        if not self.of_task:
            return self
        texts = training_references(task.with_split("train"))
        return Fluency(texts, self.order, self.unit, self.smoothing, self.alpha, self.discount)

    def start(self, episode):
        if self.of_task:
            raise ValueError(
                "Fluency('task') learns from a task: use it in an environment, call resolve(task), or give it texts"
            )
        return _Fluency(self)


class _Fluency(Progress):
    def __init__(self, metric: Fluency):
        self.metric = metric
        self.units = UNITS[metric.unit]()
        self.settled: tuple[tuple[int, ...], float, int] = (), 0.0, 0  # the last ids, sum of log p, number of units

    def push(self, piece, provisional=""):
        settled, unsettled = self.units.push(piece, provisional)
        if settled:
            self.settled = self._after(settled)
        _, log_p, length = self._after(unsettled) if unsettled else self.settled
        return math.exp(log_p / length) if length else 0.0

    def _after(self, units: Sequence[str]) -> tuple[tuple[int, ...], float, int]:
        ids, model = self.metric.ids, self.metric.model
        context, log_p, length = self.settled
        for unit in units:
            token = ids.get(unit, len(ids))
            log_p += model.log_prob(context, token)
            context = (*context, token)[-max(1, model.order - 1) :]  # all that the model looks at
        return context, log_p, length + len(units)
