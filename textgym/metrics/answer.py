"""Token F1 of short answers, as question answering is scored."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from textgym.errors import one_of
from textgym.metrics.base import Metric, Progress
from textgym.metrics.units import Mixed, Words

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


class AnswerF1(Metric):
    """F1 of the tokens of a text and of an answer, each a multiset, in [0, 1]; the best of the references counts.

    2 * common / (tokens of the text + tokens of the reference). Where either has no token it is 1 if both have none,
    else 0. Without references 0. The last word, perhaps unfinished, counts as it stands.

    Args:
        language: "english": the evaluation of SQuAD 2.0 (Rajpurkar et al. 2018): small letters, without ASCII
            punctuation, without ``a``, ``an``, ``the``, cut at white space. "chinese": that of MLQA (Lewis et al.
            2020) for Chinese, which cuts texts as CMRC 2018 does, into Chinese characters and the words between
            them: small letters, without punctuation of any script. (CMRC 2018 itself counts the longest common
            substring instead of all common tokens.)

    Raises:
        ValueError: another language.
    """

    name = "answer_f1"
    needs_references = True

    def __init__(self, language: str = "english"):
        self.language = one_of("language of answers", language, _LANGUAGES)

    def start(self, episode):
        units, tokens_of = _LANGUAGES[self.language]
        answers = dict.fromkeys(_answer(self.language, reference) for reference in episode.references)
        return _AnswerProgress(units(), tokens_of, list(answers))


@lru_cache(maxsize=1 << 14)
def _english(word: str) -> tuple[str, ...]:
    """The tokens of a word between white space: none, one, or several where a sign that stays parts an article."""
    return tuple(_ARTICLES.sub(" ", word.lower().translate(_NO_PUNCTUATION)).split())


@lru_cache(maxsize=1 << 14)
def _chinese(word: str) -> tuple[str, ...]:
    token = "".join(c for c in word.lower() if c not in string.punctuation and unicodedata.category(c)[0] != "P")
    return (token,) if token else ()


_LANGUAGES = {"english": (Words, _english), "chinese": (Mixed, _chinese)}


@lru_cache(maxsize=4096)
def _answer(language: str, reference: str) -> tuple[str, ...]:
    units, tokens_of = _LANGUAGES[language]
    return tuple(sorted(token for unit in units.split(reference) for token in tokens_of(unit)))


class _AnswerProgress(Progress):
    def __init__(self, units: Words | Mixed, tokens_of: Callable[[str], Sequence[str]], answers: list[tuple[str, ...]]):
        self.units = units
        self.tokens_of = tokens_of
        self.total = 0
        self.each = [_Overlap(answer) for answer in answers]

    def push(self, piece, provisional=""):
        settled, unsettled = self.units.push(piece, provisional)
        if settled:
            tokens = self._tokens(settled)
            self.total += len(tokens)
            for overlap in self.each:
                overlap.add(tokens)
        tokens = self._tokens(unsettled)
        total = self.total + len(tokens)
        return max([overlap.f1(tokens, total) for overlap in self.each], default=0.0)

    def _tokens(self, units: Iterable[str]) -> list[str]:
        return [token for unit in units for token in self.tokens_of(unit)]


class _Overlap:
    """The tokens that a growing text has in common with one answer."""

    def __init__(self, answer: Sequence[str]):
        self.size = len(answer)
        self.left = Counter(answer)  # token -> how often the text does not have it yet
        self.common = 0

    def add(self, tokens: Iterable[str]) -> None:
        left = self.left
        for token in tokens:
            if left[token] > 0:
                left[token] -= 1
                self.common += 1

    def f1(self, tokens: Sequence[str], total: int) -> float:
        """F1 if ``tokens`` came next; ``total``: tokens of the text with them."""
        if not total or not self.size:
            return float(total == self.size)
        common = self.common + sum(min(count, self.left[token]) for token, count in Counter(tokens).items())
        return 2 * common / (total + self.size)
