"""Sentence BLEU at every prefix (Papineni et al., 2002), as ``sacrebleu`` defines it.

Only the tokens that a new piece changes are cut and counted anew (``tokenization.py``, ``ngram_trie.py``), so a token
costs the same whatever has been written before. Equal to ``sacrebleu.metrics.BLEU.sentence_score`` on every prefix.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, inf, log
from numbers import Real

from textgym.errors import one_of, whole_number
from textgym.metrics.base import Metric, Progress
from textgym.metrics.ngram_trie import NgramMatches, NgramTrie
from textgym.metrics.tokenization import TOKENIZATIONS, TokenStream, tokenization

SMOOTHINGS = {"exp": None, "floor": 0.1, "add-k": 1, "none": None}  # sacrebleu's names and default values
LOG_OF_ZERO = -9999999999  # sacrebleu's


class BLEU(Metric):
    """Sentence BLEU: geometric mean of the clipped n-gram precisions, times the brevity penalty; in [0, 1].

    Args:
        tokenize: sacrebleu's tokenizer: "13a" (European languages), "intl" (by Unicode categories, needs the package
            regex), "zh" (Chinese), "char" (each character), "none" (white space only).
        smooth: what a precision of zero counts as, by sacrebleu's names (Chen and Cherry, 2014): "exp": halved at each
            such order, "floor": ``smooth_value`` matches, "add-k": ``smooth_value`` more matches and n-grams at
            every order above 1, "none": zero.
        smooth_value: for "floor" in [0, 1] (default 0.1) and "add-k" at least 0 (default 1).
        lowercase: lower-case text and references first.
        max_order: the longest n-grams counted, at least 1.
        effective_order: of a text shorter than ``max_order`` tokens, only the n-grams that it can have count.

    Several references: an n-gram counts up to as often as the reference that has most of it; the brevity penalty takes
    the length that is closest to the text's, the shorter one of two. No reference, or no word in common: 0.
    sacrebleu's score of a perfect text is 1 only up to rounding (100.00000000000004 / 100): here it is 1.

    Raises:
        ValueError: an argument that is not allowed.
    """

    needs_references = True

    def __init__(
        self,
        tokenize: str = "13a",
        smooth: str = "exp",
        smooth_value: float | None = None,
        lowercase: bool = False,
        max_order: int = 4,
        effective_order: bool = True,
    ):
        self.tokenize = one_of("tokenizer of BLEU", tokenize, TOKENIZATIONS)
        self.smooth = one_of("smoothing of BLEU", smooth, SMOOTHINGS)
        self.smooth_value = _checked_value(smooth, smooth_value)
        self.lowercase = bool(lowercase)
        self.max_order = whole_number("max_order", max_order, 1)
        self.effective_order = bool(effective_order)
        self.name = "_".join(self._name())
        tokenization(tokenize, self.lowercase)  # fails here if a package is missing

    def _name(self):
        yield "bleu" if self.max_order == 4 else f"bleu{self.max_order}"
        if self.tokenize != "13a":
            yield self.tokenize
        if self.lowercase:
            yield "lowercase"
        if self.smooth != "exp":
            yield "unsmoothed" if self.smooth == "none" else self.smooth
        if self.smooth_value != SMOOTHINGS[self.smooth]:
            yield f"{self.smooth_value:g}"
        if not self.effective_order:
            yield "all_orders"

    def start(self, episode):
        return _BLEUProgress(self, episode.references)

    def compiled_rows(self, n):
        if type(self) is not BLEU:  # a subclass may compute something else
            return None
        from textgym.metrics.compiled.bleu import BLEURows, knows

        return BLEURows(self, n) if knows(self) else None

    def from_counts(self, matches: list[int], length: int, reference_length: int) -> float:
        """BLEU of the matches of 1-grams, 2-grams, ... of a text of ``length`` tokens."""
        if not matches[0]:
            return 0.0
        logs = (self._logs_add_k if self.smooth == "add-k" else self._logs)(matches, length)
        if not self.effective_order:
            logs += [LOG_OF_ZERO] * (self.max_order - len(logs))
        score = exp(sum(logs) / len(logs))  # sum(), like sacrebleu: it rounds otherwise than +=
        if length < reference_length:
            score *= exp(1 - reference_length / length)
        return score / 100 if score < 100.0 else 1.0

    def _logs(self, matches: list[int], length: int) -> list[float]:
        """The logarithms of the precisions in per cent, of the orders that the text is long enough for."""
        logs, total, doubled = [], length, 1.0
        for matched in matches:
            if matched:
                logs.append(log(100.0 * matched / total))
            elif total > 0:
                precision = 0.0
                if self.smooth == "exp":
                    doubled *= 2
                    precision = 100.0 / (doubled * total)
                elif self.smooth == "floor":
                    precision = 100.0 * self.smooth_value / total
                logs.append(log(precision) if precision else LOG_OF_ZERO)
            total -= 1
        return logs

    def _logs_add_k(self, matches, length):
        k = 0
        logs = []
        for n, matched in enumerate(matches):
            matched, total = matched + k, max(0, length - n) + k
            if not total:
                break
            logs.append(log(100.0 * matched / total) if matched else LOG_OF_ZERO)
            k = self.smooth_value  # from the second order on
        return logs


def _checked_value(smooth: str, value: float | None) -> float | None:
    default = SMOOTHINGS[smooth]
    if value is None:
        return default
    if default is None:
        raise ValueError(f"smooth={smooth!r} takes no smooth_value (floor and add-k do), got {value!r}")
    highest = 1 if smooth == "floor" else inf
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not 0 <= value <= highest or value == inf:
        allowed = "a number from 0 to 1" if smooth == "floor" else "a finite number, at least 0"
        raise ValueError(f"smooth_value of {smooth!r} must be {allowed}, got {value!r}")
    return value


class _ReferenceNgrams(NgramTrie):
    """The n-grams of an episode's references; pickled as what they were made of."""

    def __init__(self, *made_of):
        references, tokenize, lowercase, max_order = self.made_of = made_of
        cut = tokenization(tokenize, lowercase)
        super().__init__([cut.whole(reference) for reference in references], max_order)

    def __reduce__(self):
        return _ngrams_of, self.made_of


@lru_cache(maxsize=1024)
def _ngrams_of(references: tuple[str, ...], tokenize: str, lowercase: bool, max_order: int) -> _ReferenceNgrams:
    return _ReferenceNgrams(references, tokenize, lowercase, max_order)


@lru_cache(maxsize=4096)
def closest_length(lengths: tuple[int, ...], length: int) -> int:
    """The length of a reference that is closest to the text's, the shorter of two."""
    return min(lengths, key=lambda reference: (abs(reference - length), reference), default=0)


class _BLEUProgress(Progress):
    def __init__(self, metric: BLEU, references: tuple[str, ...]):
        self.metric = metric
        self.tokens = TokenStream(tokenization(metric.tokenize, metric.lowercase))
        self.ngrams = NgramMatches(_ngrams_of(references, metric.tokenize, metric.lowercase, metric.max_order))

    def push(self, piece, provisional=""):
        final, open = self.tokens.push(piece, provisional)
        ngrams = self.ngrams
        ngrams.replace_open(final, open)
        lengths = ngrams.trie.lengths
        closest = lengths[0] if len(lengths) == 1 else closest_length(lengths, ngrams.length)
        return self.metric.from_counts(ngrams.matches, ngrams.length, closest)
