"""A naive Bayes classifier's opinion of the text: what a bag of words says."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from textgym.errors import one_of
from textgym.metrics.base import Metric, Progress
from textgym.metrics.units import UNITS

_TEXTS = 2000  # drawn from a task


class NaiveBayes(Metric):
    """The probability, in [0, 1], that a naive Bayes classifier gives to a class, for prompt and text so far.

    Multinomial naive Bayes (McCallum & Nigam 1998), as ``MultinomialNB`` of scikit-learn over counts of units:

        p(class | text) ~ share of class * product over units u of (count(u, class) + alpha) / (units(class) + alpha V)

    with V the number of different units in the training texts; units that are in none of them are passed over. The
    order of the words does not matter, so that the classifier can be fooled: pay it where this is to be seen, beside a
    true score that cannot. Before anything is written it says what it thinks of the prompt. References do not matter.

    Args:
        texts: class -> the texts it is learnt from; or "task": 2,000 texts of the task's train split with their
            classes (``labelled_text(rng) -> (text, label)`` of the task), drawn by :meth:`resolve` when an environment
            is made.
        label: the class whose probability it is; None: that of the episode, ``episode.meta["label"]``.
        alpha: pseudo-count of every unit, > 0 (1: Laplace's rule).
        unit: "word" (``str.split``) or "character". The last, perhaps unfinished, word counts as it stands.
        with_prompt: the prompt is read, too, directly before the text.

    Raises:
        ValueError: no texts, fewer than two classes, no such label, or an argument out of its range.

    Attributes:
        labels: the classes, sorted.
        log_prior: the natural logarithms of the classes' shares.
        log_likelihood: unit -> those of its probability in each class.
    """

    name = "naive_bayes"

    def __init__(
        self,
        texts: Mapping[str, Sequence[str]] | str = "task",
        label: str | None = None,
        alpha: float = 1.0,
        unit: str = "word",
        with_prompt: bool = True,
    ):
        self.unit = one_of("unit of naive Bayes", unit, UNITS)
        if not 0 < alpha < math.inf:
            raise ValueError(f"naive Bayes needs alpha > 0, got {alpha!r}")
        self.label, self.alpha, self.with_prompt = label, alpha, with_prompt
        self.of_task = isinstance(texts, str)
        if self.of_task:
            one_of("texts of naive Bayes (a dict of class -> texts, or 'task')", texts, ["task"])
            return
        self.labels = sorted(texts)
        if len(self.labels) < 2 or not all(map(len, texts.values())):
            given = ", ".join(f"{name}: {len(texts[name])} texts" for name in self.labels)
            raise ValueError(f"naive Bayes needs texts of two classes or more, got {given or 'none'}")
        if label is not None:
            one_of("label", label, self.labels)
        self._fit([texts[name] for name in self.labels], alpha)

    def _fit(self, texts: Sequence[Sequence[str]], alpha: float) -> None:
        counts = [Counter(unit for text in of_class for unit in UNITS[self.unit].split(text)) for of_class in texts]
        units = list(dict.fromkeys(unit for each in counts for unit in each))
        smoothed = np.array([[each[unit] + alpha for each in counts] for unit in units]).reshape(-1, len(texts))
        log_likelihood = np.log(smoothed) - np.log(smoothed.sum(axis=0))  # (V, classes)
        self.log_likelihood = dict(zip(units, log_likelihood.tolist(), strict=True))
        self.log_prior = np.log([len(of_class) / sum(map(len, texts)) for of_class in texts]).tolist()

    def resolve(self, task):
        if not self.of_task:
            return self
        train = task.with_split("train")
        if not hasattr(train, "labelled_text"):
            raise ValueError(
                f"naive Bayes learns from texts with classes, and {type(task).__name__} has none (no method "
                "labelled_text(rng) -> (text, label)): give it texts={'positive': [...], 'negative': [...]}"
            )
        texts: dict[str, list[str]] = {}
        rng = np.random.default_rng(0)
        for _ in range(_TEXTS):
            text, label = train.labelled_text(rng)
            texts.setdefault(label, []).append(text)
        return NaiveBayes(texts, self.label, self.alpha, self.unit, self.with_prompt)

    def start(self, episode):
        if self.of_task:
            raise ValueError(
                "NaiveBayes('task') learns from a task: use it in an environment, call resolve(task), or give it texts"
            )
        label = episode.meta.get("label") if self.label is None else self.label
        if label is None:
            raise ValueError("naive Bayes needs a label: the episode has none (episode.meta['label'])")
        progress = _Evidence(self, self.labels.index(one_of("label", label, self.labels)))
        if self.with_prompt:
            progress.push(episode.prompt)
        return progress


class _Evidence(Progress):
    def __init__(self, metric: NaiveBayes, label: int):
        self.metric = metric
        self.label = label
        self.units = UNITS[metric.unit]()
        self.settled = metric.log_prior

    def push(self, piece, provisional=""):
        settled, unsettled = self.units.push(piece, provisional)
        if settled:
            self.settled = self._after(settled)
        log_p = self._after(unsettled) if unsettled else self.settled
        largest = max(log_p)
        return math.exp(log_p[self.label] - largest) / sum([math.exp(each - largest) for each in log_p])

    def _after(self, units: Sequence[str]) -> Sequence[float]:
        known, log_p = self.metric.log_likelihood, self.settled
        for unit in units:
            if unit in known:
                log_p = [a + b for a, b in zip(log_p, known[unit], strict=True)]
        return log_p
