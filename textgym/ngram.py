"""Language models over token ids: n-grams, smoothed by Laplace or Kneser and Ney, and causal models on disk."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from textgym.errors import one_of, whole_number
from textgym.running import Recipe

SMOOTHINGS = ("laplace", "kneser_ney")
START = -1  # stands before the first token of a text
Context = tuple[int, ...]
Level = tuple[dict[int, int], float, float, int, int]  # counts, rest, total, begin, end: see ``_settle``


class LanguageModel(Recipe, ABC):
    """Says how likely each token is to come next."""

    @abstractmethod
    def log_probs(self, texts: Sequence[np.ndarray]) -> np.ndarray:
        """Natural logarithms of the next token's probabilities after each of k texts.

        Args:
            texts: k arrays of token ids, of any lengths, each the whole text so far.

        Returns:
            float64 (k, V).
        """

    def log_prob(self, text: Sequence[int], token: int) -> float:
        """The natural logarithm of the probability that ``token`` comes next after ``text``."""
        return float(self.log_probs([np.asarray(text, np.int64)])[0, token])


class NGramModel(LanguageModel):
    """An n-gram model. Every token has a positive probability after every text; the start of a text is a context.

    Kneser-Ney, interpolated (Kneser & Ney 1995; Chen & Goodman 1999, with one discount d):

        p(w | c) = max(a(c w) - d, 0) / a(c) + d N(c) / a(c) * p(w | c without its first token),

    from the last ``order - 1`` tokens down to the empty context, below which it is 1 / V. Contexts that were not seen
    are passed over. N(c): how many tokens were seen after c. a(c): the sum of a(c w) over w. a(c w): the count of
    c w where c has ``order - 1`` tokens or begins a text, else how many tokens (the start is one) were seen before c w.

    Laplace: p(w | c) = (count(c w) + alpha) / (count(c) + alpha V), with c the longest context of up to ``order - 1``
    tokens that was seen.

    Args:
        size: V, the number of tokens.
        order: n, at least 1.
        smoothing: "laplace" or "kneser_ney".
        alpha: of Laplace: pseudo-count of every token, > 0 (1: Laplace's rule).
        discount: d of Kneser-Ney, 0 < d <= 1.

    Attributes:
        counts: context -> token -> count; for Kneser-Ney a(c w).
    """

    def __init__(
        self, size: int, order: int = 3, smoothing: str = "laplace", alpha: float = 1.0, discount: float = 0.75
    ):
        self.size = whole_number("size of an n-gram model", size, 1)
        self.order = whole_number("order of an n-gram model", order, 1)
        self.smoothing = one_of("smoothing", smoothing, SMOOTHINGS)
        if not (0 < alpha < math.inf and 0 < discount <= 1):
            raise ValueError(f"an n-gram model needs alpha > 0 and 0 < discount <= 1, got {alpha=}, {discount=}")
        self.alpha = alpha
        self.discount = discount if smoothing == "kneser_ney" else 0.0
        self.counts: dict[Context, dict[int, int]] = {}
        self._levels: dict[Context, Level] = {}

    @classmethod
    def of_task(cls, task, order: int = 3, episodes: int = 2000, **smoothing) -> NGramModel:
        """Trained on references of ``task``, EOS included.

        Args:
            task, episodes: as :func:`training_references`.
            order: n.
            smoothing: the other arguments of the model.

        Raises:
            ValueError: the task is not of the train split.
        """
        vocabulary = task.vocabulary
        model = cls(vocabulary.size, order, **smoothing)
        return model.fit(np.append(vocabulary.encode(r), vocabulary.eos) for r in training_references(task, episodes))

    def fit(self, texts: Iterable[Sequence[int]]) -> NGramModel:
        """Count the n-grams of ``texts``, each the ids of its tokens, with EOS if ends are to be learnt.

        Returns:
            The model. What it learnt before is forgotten.
        """
        counts: dict[Context, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for text in texts:
            ids = (START, *map(int, text))
            for i in range(1, len(ids)):
                for n in range(min(self.order, i + 1)):
                    counts[ids[i - n : i]][ids[i]] += 1
        if self.smoothing == "kneser_ney":
            counts = self._adjusted(counts)
        self.counts = {context: dict(following) for context, following in counts.items()}
        self._settle()
        return self

    def _adjusted(self, counts: dict[Context, dict[int, int]]) -> dict[Context, dict[int, int]]:
        """a(c w) out of counts of c w."""
        adjusted: dict[Context, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for context, following in counts.items():
            if len(context) == self.order - 1 or context[:1] == (START,):
                adjusted[context] = following
            if context:
                for token in following:
                    adjusted[context[1:]][token] += 1  # context[0] is one more token seen before
        return adjusted

    def _settle(self) -> None:
        """What the counts come to: p(w | c) = (kept(c w) + rest * p(w | the shorter context)) / total."""
        self._levels, end = {}, 0
        for context, following in self.counts.items():
            begin, end, total = end, end + len(following), sum(following.values())
            if self.smoothing == "kneser_ney":
                rest = self.discount * len(following)
            else:
                rest = self.alpha * self.size
                total += rest
            self._levels[context] = following, rest, total, begin, end
        tokens = [token for following in self.counts.values() for token in following]
        counts = [count for following in self.counts.values() for count in following.values()]
        self._tokens = np.array(tokens, np.int64)  # of a context: begin .. end - 1
        self._kept = np.array(counts, np.float64) - self.discount

    def _seen(self, text: Sequence[int]) -> list[Level]:
        """The levels that make the probabilities after ``text``, that of the shortest context first."""
        begin = len(text) - self.order + 1
        context = tuple(text[begin:]) if begin >= 0 else (START, *text)
        seen = []
        for i in range(len(context), -1, -1):
            level = self._levels.get(context[i:])
            if level is None:
                break
            seen.append(level)
        return seen if self.smoothing == "kneser_ney" else seen[-1:]

    def log_prob(self, text, token):
        """The natural logarithm of the probability that ``token`` comes next after ``text``.

        Of ``text`` only the last ``order - 1`` ids matter, so that these will do.
        """
        p = 1.0 / self.size
        for following, rest, total, _, _ in self._seen(text):
            count = following.get(token)
            p = ((count - self.discount if count else 0.0) + rest * p) / total
        return math.log(p)

    def log_probs(self, texts):
        known: dict[int, np.ndarray] = {}  # what texts have in common is computed once
        p = [self._probabilities(self._seen(text), known) for text in texts]
        return np.log(np.array(p).reshape(-1, self.size))

    def _probabilities(self, levels: Sequence[Level], known: dict[int, np.ndarray]) -> np.ndarray:
        p = np.full(self.size, 1.0 / self.size)
        for _, rest, total, begin, end in levels:
            if begin not in known:
                known[begin] = p * (rest / total)
                known[begin][self._tokens[begin:end]] += self._kept[begin:end] / total
            p = known[begin]
        return p


def training_references(task, episodes: int = 2000) -> list[str]:
    """The first references of episodes of ``task``, drawn with a fixed seed.

    Raises:
        ValueError: the task is not of the train split, whose answers alone may be learnt.
    """
    if task.split != "train":
        raise ValueError(f"an n-gram model learns from split 'train', got a task of split {task.split!r}")
    rng = np.random.default_rng(0)
    return [r for _ in range(episodes) for r in task.sample(rng).references[:1]]


class PretrainedModel(LanguageModel):
    """A ``transformers`` causal language model on disk; every call reads the whole texts, in one forward.

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
        self.keeps_some = "logits_to_keep" in inspect.signature(self.model.forward).parameters

    def log_probs(self, texts):
        import torch

        if not len(texts):
            return np.empty((0, self.size))
        texts = [text if len(text) else [self.start] for text in texts]  # an empty text begins after EOS
        last = np.array([len(text) for text in texts]) - 1
        read = np.arange(last.max() + 1) <= last[:, None]  # (k, L)
        ids = np.full(read.shape, self.start)
        ids[read] = np.concatenate(texts)
        # padded to the right: no text looks at its padding, whatever positions and states the model has
        columns, at = np.unique(last, return_inverse=True)
        some = {"logits_to_keep": torch.from_numpy(columns)} if self.keeps_some else {}
        with torch.no_grad():
            logits = self.model(torch.from_numpy(ids), attention_mask=torch.from_numpy(read).long(), **some).logits
        logits = logits[torch.arange(len(texts)), torch.from_numpy(at if some else last), : self.size]
        return logits.double().log_softmax(-1).numpy()
