"""ROUGE at every prefix: overlap of n-grams, longest common subsequence.

A token costs the same whatever has been written before: words are found in the new piece only, and a word updates
counts (n-grams) or a column of the table of subsequences (:mod:`textgym.metrics.rouge_lcs`). Equal to
``rouge_score.rouge_scorer.RougeScorer`` on every prefix.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from textgym.errors import one_of
from textgym.metrics.base import Metric, Progress
from textgym.metrics.rouge_lcs import SENTENCE_END, SubsequenceOverlap, SummaryOverlap, positions_of, summary_of
from textgym.running import Recipe
from textgym.words import jieba_cut

KINDS = (*"123456789", "L", "Lsum")
TOKENS = ("ascii", "unicode", "jieba")
MEASURES = ("f", "precision", "recall")
JIEBA = "ROUGE with tokens='jieba'"  # in its error


class ROUGE(Metric):
    """ROUGE (Lin, 2004) as the rouge-score library computes it, in [0, 1].

    Of several references the one with the highest F-measure counts (the first of equals), whatever the ``measure``;
    with none, the value is 0. The last, perhaps unfinished, word counts as it stands.

    Args:
        kind: "1" .. "9": n-grams; "L": longest common subsequence; "Lsum": union of the longest common subsequences
            of sentences, one a line (of two texts without line breaks it is "L").
        stem: compare Porter stems of words longer than three characters (NLTK's stemmer, as rouge-score does).
        tokens: what the words are.
            "ascii": as in rouge-score, maximal runs of a-z and 0-9 in the lower-cased text. Everything else separates
            words and counts for nothing: a Chinese text has no words.
            "unicode": every CJK ideograph and kana is a word, and so are other maximal runs of letters and digits
            (``str.isalnum``), in the case-folded text (``str.casefold``). On ASCII texts the same as "ascii".
            "jieba": maximal runs of letters and digits, case-folded, each cut into words by ``jieba.lcut``. The last
            run of a text is cut again at every token.
        measure: "f" (the harmonic mean of the others), "precision" or "recall".

    Raises:
        ValueError: an unknown kind, kind of tokens, or measure.
        ImportError: NLTK (for ``stem``) or jieba is not installed.
    """

    needs_references = True

    def __init__(self, kind: str, stem: bool = False, tokens: str = "ascii", measure: str = "f"):
        self.kind = one_of("kind of ROUGE", kind, KINDS)
        self.tokens = one_of("tokens of ROUGE", tokens, TOKENS)
        self.measure = one_of("measure of ROUGE", measure, MEASURES)
        self.stem = bool(stem)
        if tokens == "jieba":
            jieba_cut(JIEBA)
        if stem:
            _stemmer()
        self.words = _words(tokens, self.stem, kind == "Lsum")
        suffixes = ["stem"] * self.stem + [tokens] * (tokens != "ascii") + [measure] * (measure != "f")
        self.name = "_".join([f"rouge{kind}", *suffixes])

    def start(self, episode):
        return _RougeProgress(self, episode.references)


class _RougeProgress(Progress):
    def __init__(self, metric: ROUGE, references: Sequence[str]):
        self.measure = metric.measure
        self.text = _WordStream(metric.words)
        self.each = [_overlap(metric.kind, _reference_words(metric.words, reference)) for reference in references]

    def push(self, piece, provisional=""):
        keep, final, unsure = self.text.push(piece, provisional)
        best = value = 0.0
        for overlap in self.each:
            overlap.push(keep, final, unsure)
            hits = overlap.hits
            if hits:
                precision, recall = hits / overlap.written, hits / overlap.total
                f = 2 * precision * recall / (precision + recall)
                if f > best:
                    best = f
                    value = f if self.measure == "f" else precision if self.measure == "precision" else recall
        return value


def _overlap(kind: str, words: tuple[str, ...]) -> _NGramOverlap | SubsequenceOverlap | SummaryOverlap:
    """What counts the hits of a growing text in a reference of these words.

    It has ``hits``, and what the text (``written``) and the reference (``total``) have: words, or n-grams. Its method
    ``push(keep, final, unsure)`` makes the ``unsure`` words of the push before final (``keep``) or forgets them, and
    appends the others.
    """
    if kind == "L":
        return SubsequenceOverlap(positions_of(words))
    if kind == "Lsum":
        return SummaryOverlap(summary_of(words))
    return _NGramOverlap(_n_grams(words, int(kind)))


# -- n-grams ------------------------------------------------------------------------------------------


class _NGrams(Recipe):
    def __init__(self, words: tuple[str, ...], order: int):
        self.words, self.order = words, order
        self.counts = dict(Counter(zip(*(words[i:] for i in range(order)), strict=False)))

    def __reduce__(self):
        return _n_grams, (self.words, self.order)


@lru_cache(maxsize=2048)
def _n_grams(words: tuple[str, ...], order: int) -> _NGrams:
    return _NGrams(words, order)


class _NGramOverlap:
    __slots__ = ("reference", "order", "total", "hits", "written", "context", "taken", "before", "new")

    def __init__(self, reference: _NGrams):
        self.reference, self.order = reference, reference.order
        self.total = max(0, len(reference.words) + 1 - reference.order)
        self.hits = 0
        self.written = 0
        self.context: tuple[str, ...] = ()  # the last order - 1 words
        self.taken: dict[tuple[str, ...], int] = {}  # n-gram -> its hits
        self.before, self.new = (0, 0, ()), []  # the state before the unsure words, and their hits

    def push(self, keep, final, unsure):
        if not keep:
            self.hits, self.written, self.context = self.before
            for gram in self.new:
                self.taken[gram] -= 1
        if final:
            self._append(final)
        self.before = self.hits, self.written, self.context
        self.new = self._append(unsure) if unsure else ()

    def _append(self, words: Sequence[str]) -> list[tuple[str, ...]]:
        """The n-grams that hit."""
        gram, counts, taken = self.context, self.reference.counts, self.taken
        new = []
        for word in words:
            gram = (*gram, word)
            if len(gram) == self.order:
                self.written += 1
                if gram in counts:
                    count = taken.get(gram, 0)
                    if count < counts[gram]:
                        taken[gram] = count + 1
                        new.append(gram)
                gram = gram[1:]
        self.context = gram
        self.hits += len(new)
        return new


# -- words --------------------------------------------------------------------------------------------

_CJK = (
    "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"  # 々〆〇, kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
)
# the characters whose runs are words
_IN_RUNS = {"ascii": "[a-z0-9]", "unicode": rf"(?![{_CJK}])[^\W_]", "jieba": r"[^\W_]"}


class _Words(Recipe):
    """How texts are cut into words; with ``sentences`` a line break is a word, too."""

    def __init__(self, tokens: str, stem: bool, sentences: bool):
        self.tokens, self.stem, self.sentences = tokens, stem, sentences
        self.plain = tokens != "jieba" and not stem  # runs are words
        self.fold = str.lower if tokens == "ascii" else str.casefold
        self.in_run = re.compile(_IN_RUNS[tokens])
        alone = [f"[{_CJK}]"] * (tokens == "unicode") + [SENTENCE_END] * sentences
        self.runs = re.compile("|".join([f"(?:{_IN_RUNS[tokens]})+", *alone]))
        self.parts = _Parts(self)

    def __reduce__(self):
        return _words, (self.tokens, self.stem, self.sentences)

    def cut(self, runs: Sequence[str]) -> Sequence[str]:
        if self.tokens == "jieba":
            cut = jieba_cut(JIEBA)
            runs = [word for run in runs for word in ([run] if run == SENTENCE_END else cut(run))]
        return [_stemmed(word) for word in runs] if self.stem else runs


@lru_cache
def _words(tokens: str, stem: bool, sentences: bool) -> _Words:
    return _Words(tokens, stem, sentences)


@lru_cache(maxsize=2048)
def _reference_words(words: _Words, reference: str) -> tuple[str, ...]:
    _, final, unsure = _WordStream(words).push(reference, "")
    return (*final, *unsure)


class _Parts(dict):
    """piece -> the run that text before it may begin, the runs within, the run that text after it may go on with.

    None within: the whole piece is the first run. Tokens, which come again and again, are remembered; texts are not.
    """

    def __init__(self, words: _Words):
        self.words = words

    def __missing__(self, piece):
        words = self.words
        text = words.fold(piece)
        runs = words.runs.findall(text)
        joined, unfinished = words.in_run.match(text), words.in_run.match(text, len(text) - 1)
        if joined and unfinished and len(runs) == 1:
            parts = text, None, ""
        else:
            first = runs.pop(0) if joined else ""
            last = runs.pop() if unfinished else ""
            parts = first, tuple(runs), last
        if len(piece) < 50:
            if len(self) >= 20_000:
                self.clear()
            self[piece] = parts
        return parts


class _WordStream:
    """The words of a text that grows."""

    __slots__ = ("words", "tail", "provisional")

    def __init__(self, words: _Words):
        self.words = words
        self.tail = ""  # the run at the end of the committed text; it is not read again, however long it becomes
        self.provisional = ""  # of the last push

    def push(self, piece: str, provisional: str) -> tuple[bool, Sequence[str], Sequence[str]]:
        """Are the unsure words of the push before final? The other words that are final now, and the unsure ones."""
        keep, final = False, ()
        if piece:
            first, within, last = self.words.parts[piece]
            if within is None:
                self.tail += first
            else:
                keep = not first and not self.provisional
                final = within if keep or not (self.tail or first) else (self.tail + first, *within)
                self.tail = last
        unsure = (self.tail,) if self.tail else ()
        if provisional:
            first, within, last = self.words.parts[provisional]
            unsure = tuple(filter(None, (self.tail + first, *(within or ()), last)))
        self.provisional = provisional
        if self.words.plain:
            return keep, final, unsure
        return keep, self.words.cut(final), self.words.cut(unsure)


@lru_cache(maxsize=65536)
def _stemmed(word: str) -> str:
    return _stemmer().stem(word) if len(word) > 3 else word


@lru_cache
def _stemmer():
    try:
        from nltk.stem.porter import PorterStemmer
    except ImportError as error:
        raise ImportError("ROUGE with stem=True needs NLTK: pip install nltk") from error
    return PorterStemmer()
