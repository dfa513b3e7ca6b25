"""Language models over token ids: n-grams with Laplace smoothing, and causal models on disk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from textgym.running import Recipe


class LanguageModel(Recipe, ABC):
    """Says how likely each token is to come next."""

    @abstractmethod
    def log_probs(self, ids: np.ndarray) -> np.ndarray:
        """Natural logarithms of the next token's probabilities after ``ids``, float64 (V,)."""


class NGramModel(LanguageModel):
    """Counts of n-grams with additive (Laplace) smoothing and back-off to shorter contexts that were seen.

    p(w | c) = (count(c w) + alpha) / (count(c) + alpha V), with c the longest context of up to
    ``order - 1`` tokens that occurred in training. The start of a text is a context of its own.

    Args:
        size: V, the number of tokens.
        order: n, at least 1.
        alpha: pseudo-count of every token, > 0 (1: Laplace's rule).
    """

    def __init__(self, size: int, order: int = 3, alpha: float = 1.0):
        if order < 1 or alpha <= 0:
            raise ValueError(f"an n-gram model needs order >= 1 and alpha > 0, got order={order}, alpha={alpha}")
        self.size, self.order, self.alpha = size, order, alpha
        self.counts: dict[tuple[int, ...], dict[int, int]] = {}

    @classmethod
    def of_task(cls, task, order: int = 3, alpha: float = 1.0, episodes: int = 2000) -> NGramModel:
        """Trained on references (EOS included) of ``task``, drawn with a fixed seed.

        Raises:
            ValueError: the task is not of the train split, whose answers alone may be learnt.
        """
        if task.split != "train":
            raise ValueError(f"an n-gram model learns from split 'train', got a task of split {task.split!r}")
        rng = np.random.default_rng(0)
        references = [r for _ in range(episodes) for r in task.sample(rng).references[:1]]
        model = cls(task.vocabulary.size, order, alpha)
        return model.fit(np.append(task.vocabulary.encode(r), task.vocabulary.eos) for r in references)

    def fit(self, texts: Iterable[np.ndarray]) -> NGramModel:
        """Count the n-grams of ``texts``, each an array of token ids with EOS. Returns the model."""
        counts: dict[tuple[int, ...], dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for text in texts:
            ids = (-1, *map(int, text))  # -1: the start of the text
            for i in range(1, len(ids)):
                for n in range(min(self.order, i + 1)):
                    counts[ids[i - n : i]][ids[i]] += 1
        self.counts = {context: dict(following) for context, following in counts.items()}
        return self

    def log_probs(self, ids):
        context = (-1, *map(int, ids))
        context = context[max(0, len(context) - self.order + 1) :] if self.order > 1 else ()
        while context and context not in self.counts:
            context = context[1:]
        following = self.counts.get(context, {})
        p = np.full(self.size, self.alpha)
        if following:
            p[list(following)] += list(following.values())
        return np.log(p / p.sum())


class PretrainedModel(LanguageModel):
    """A ``transformers`` causal language model on disk; every call reads the whole text.

    Args:
        path: a directory written by ``save_pretrained``.
        vocabulary: the task's; logits are cut to its size.

    Raises:
        ValueError: no such directory, or the model has fewer tokens than the vocabulary.
        ImportError: ``transformers`` is not installed.
    """

    def __init__(self, path: str, vocabulary):
        if not Path(path).is_dir():
            raise ValueError(f"no language model at {path!r}: give 'ngram', or a directory written by save_pretrained")
        from transformers import AutoModelForCausalLM

        self.model = AutoModelForCausalLM.from_pretrained(path, local_files_only=True).eval()
        self.size, self.start = vocabulary.size, vocabulary.eos
        if self.model.config.vocab_size < self.size:
            raise ValueError(
                f"the model at {path!r} has {self.model.config.vocab_size} tokens, the vocabulary {self.size}"
            )

    def log_probs(self, ids):
        import torch

        ids = [*map(int, ids)] or [self.start]  # an empty text begins after EOS
        with torch.no_grad():
            logits = self.model(torch.tensor([ids])).logits[0, -1, : self.size]
        return logits.double().log_softmax(-1).numpy()
