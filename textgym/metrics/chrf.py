"""chrF and chrF++ at every prefix: F-scores of character (and word) n-grams.

The text walks along a trie of the reference's n-grams: one look-up per symbol and order, whatever has been
written before. Equal to ``sacrebleu.metrics.CHRF`` on every prefix.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from functools import lru_cache
from numbers import Real

from textgym.errors import whole_number
from textgym.metrics.base import Metric, Progress
from textgym.running import Recipe

PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
EPSILON = 1e-16  # with eps_smoothing: a precision, recall or F-score that has nothing to count


class ChrF(Metric):
    """Character n-gram F-score (Popović, 2015); with ``word_order=2`` it is chrF++ (Popović, 2017). In [0, 1].

    Arguments and values are those of ``sacrebleu.metrics.CHRF``, the values divided by 100. Of several references
    the best one counts; with none, the value is 0. The last, perhaps unfinished, word counts as it stands.

    Args:
        char_order: longest character n-grams; 0: none.
        word_order: longest word n-grams; 0: none.
        beta: recall counts beta times as much as precision, >= 0.
        lowercase: compare lower-cased texts.
        whitespace: white space is part of the character n-grams.
        eps_smoothing: average the F-scores of all orders, as chrF++.py, NLTK and Moses do, instead of precision and
            recall over the orders that text and reference both have.

    Raises:
        ValueError: an order or beta that is negative or no number, or both orders 0.
    """

    needs_references = True

    def __init__(
        self,
        char_order: int = 6,
        word_order: int = 0,
        beta: float = 2,
        lowercase: bool = False,
        whitespace: bool = False,
        eps_smoothing: bool = False,
    ):
        self.char_order = whole_number("char_order", char_order, 0)
        self.word_order = whole_number("word_order", word_order, 0 if self.char_order else 1)
        if isinstance(beta, bool) or not isinstance(beta, Real) or not 0 <= beta < math.inf:
            raise ValueError(f"beta must be a number, at least 0, got {beta!r}")
        self.beta, self.factor = beta, beta**2
        self.lowercase = lowercase
        self.whitespace = whitespace
        self.eps_smoothing = eps_smoothing
        self.name = "chrf" + "+" * self.word_order

    def start(self, episode):
        return _ChrFProgress(self, episode.references)

    def compiled_rows(self, n):
        if type(self) is not ChrF:  # a subclass may compute something else
            return None
        from textgym.metrics.compiled.chrf import ChrFRows, knows

        return ChrFRows(self, n) if knows(self) else None

    def percent(self, counts: Sequence[_Counts]) -> float:
        """The F-score in percent; ``counts`` are those of characters and of words."""
        # the operations and their order are sacrebleu's: results are equal to the last bit
        factor = self.factor
        if self.eps_smoothing:
            return 100 * _sum_of_f_scores(counts, factor) / (self.char_order + self.word_order)
        precision = recall = 0.0
        orders = 0  # those that text and reference both have
        for matches, written, total in counts:
            shorter = written if written < total else total
            orders += shorter if shorter < len(matches) else len(matches)
            for match in matches:
                if not match:  # nor do longer n-grams
                    break
                precision += match / written
                recall += match / total
                written -= 1
                total -= 1
        if not precision:
            return 0.0
        precision /= orders
        recall /= orders
        return 100 * ((1 + factor) * precision * recall / (factor * precision + recall))


# matches of each order, symbols written, symbols of the reference: n symbols have n + 1 - order n-grams
_Counts = tuple[list[int], int, int]


def _sum_of_f_scores(counts: Sequence[_Counts], factor: float) -> float:
    score = 0.0
    for matches, written, total in counts:
        for match in matches:
            precision = match / written if written > 0 and total > 0 else EPSILON
            recall = match / total if total > 0 else EPSILON
            weighted = factor * precision + recall
            score += (1 + factor) * precision * recall / weighted if weighted > 0 else EPSILON
            written -= 1
            total -= 1
    return score


class _ChrFProgress(Progress):
    def __init__(self, metric: ChrF, references: Sequence[str]):
        self.metric = metric
        self.lower_case = _LowerCase() if metric.lowercase else None
        self.tail = ""  # chrF++: the committed characters after the last white space
        self.had_provisional = False  # the last push
        self.each = [_OneReference(metric, r.lower() if metric.lowercase else r) for r in references]

    def push(self, piece, provisional=""):
        metric = self.metric
        if self.lower_case:
            piece, provisional = self.lower_case.push(piece, provisional)
        words = self._words(piece, provisional) if metric.word_order else ()
        if not metric.whitespace:
            piece = "".join(piece.split())
            if provisional:
                provisional = "".join(provisional.split())
        best = 0.0
        for reference in self.each:
            percent = reference.push(piece, provisional, words)
            if percent > best:
                best = percent
        return best / 100

    def _words(self, piece: str, provisional: str) -> tuple[bool, list[str], list[str]]:
        """Are the unsure words of the push before final? The other words that are final now, and the unsure ones."""
        keep = piece[:1].isspace() and not self.had_provisional
        words = _words_after(self.tail, piece) if piece else []
        if keep and self.tail:
            del words[0]
        if piece:
            self.tail = "" if piece[-1].isspace() else words.pop()
        self.had_provisional = provisional != ""
        return keep, _split_punctuation(words), _split_punctuation(_words_after(self.tail, provisional))


def _words_after(tail: str, text: str) -> list[str]:
    """The words of ``tail + text``; the tail, which has no white space, is not read again, however long it is."""
    words = text.split()
    if tail:
        if words and not text[0].isspace():
            words[0] = tail + words[0]
        else:
            words.insert(0, tail)
    return words


class _OneReference:
    __slots__ = ("metric", "characters", "words")

    def __init__(self, metric: ChrF, reference: str):
        self.metric = metric
        characters = reference if metric.whitespace else "".join(reference.split())
        words = tuple(_split_punctuation(reference.split())) if metric.word_order else ()
        self.characters = _Overlap(_trie(characters, metric.char_order))
        self.words = _Overlap(_trie(words, metric.word_order)) if metric.word_order else None

    def push(self, characters: str, provisional: str, words: tuple[bool, list[str], list[str]] | tuple[()]) -> float:
        """The F-score in percent."""
        counts = [self.characters.push(False, characters, provisional)]
        if self.words:
            counts.append(self.words.push(*words))
        return self.metric.percent(counts)


def _split_punctuation(words: Iterable[str]) -> list[str]:
    """The words with one punctuation mark at the end, or else at the beginning, split off."""
    tokens = []
    for word in words:
        if len(word) > 1 and word[-1] in PUNCTUATION:
            tokens += (word[:-1], word[-1])
        elif len(word) > 1 and word[0] in PUNCTUATION:
            tokens += (word[0], word[1:])
        else:
            tokens.append(word)
    return tokens


class _LowerCase:
    """``str.lower`` of a text that grows.

    Only the capital sigma depends on its neighbours: it becomes a final one after a cased letter unless another
    follows, where case-ignorable characters (points, apostrophes, accents) in between do not count.
    """

    def __init__(self):
        self.before = ""  # a letter, if a sigma after the decided text would stand after a cased letter
        self.open = ""  # from a sigma that the next characters decide to the end of the committed text

    def push(self, piece: str, provisional: str) -> tuple[str, str]:
        text = self.open + piece
        final, self.open = self._lower(text), ""
        if "Σ" in text and self._lower(text + "A")[:-1] != final:
            cut = text.rindex("Σ")
            text, self.open = text[:cut], text[cut:]
            final = self._lower(text + "Σ")[:-1]
        self.before = "A" if self._lower(text + "Σ")[-1] == "ς" else ""
        return final, self._lower(self.open + provisional)

    def _lower(self, text: str) -> str:
        return (self.before + text).lower()[len(self.before) :]


class _Trie(Recipe):
    """All n-grams up to ``order`` of a sequence of symbols (characters or words), shared and read-only.

    Attributes:
        children: node + number of a symbol -> the node of the n-gram one symbol longer. The root is 0.
        numbers: symbol -> its number, a multiple of ``stride``, so that the sums differ.
        counts: how often the n-gram of a node occurs.
    """

    def __init__(self, symbols: Sequence[str], order: int):
        self.symbols, self.order = symbols, order
        stride = order * len(symbols) + 1  # more than there are nodes
        self.numbers: dict[str, int] = {}
        self.children: dict[int, int] = {}
        self.counts = array("I", [0])
        nodes = [0]
        for symbol in symbols:
            number = self.numbers.setdefault(symbol, stride * len(self.numbers))
            following = [0]
            for node in nodes[:order]:
                child = self.children.setdefault(node + number, len(self.counts))
                if child == len(self.counts):
                    self.counts.append(0)
                self.counts[child] += 1
                following.append(child)
            nodes = following

    def __reduce__(self):
        return _trie, (self.symbols, self.order)


@lru_cache(maxsize=512)  # a trie takes about 0.4 KiB for a character of the reference
def _trie(symbols: Sequence[str], order: int) -> _Trie:
    return _Trie(symbols, order)


class _Overlap:
    """How many n-grams of a growing text match the reference's; each of those matches once."""

    __slots__ = ("trie", "unmatched", "matches", "length", "nodes", "before", "taken")

    def __init__(self, trie: _Trie):
        self.trie = trie
        self.unmatched = trie.counts[:]  # node -> how many of the reference's n-grams are left
        self.matches = [0] * trie.order  # of each order
        self.length = 0
        self.nodes = [0]  # the root, and the nodes of the text's last symbol, last two symbols ...
        self.before = None  # the state before the unsure symbols, if there are any
        self.taken: list[int] = []  # the nodes that they have matched

    def push(self, keep: bool, final: Sequence[str], unsure: Sequence[str]) -> _Counts:
        """Append symbols; the unsure ones of the push before become final (``keep``) or are forgotten.

        Returns the counts of the whole text, unsure symbols included.
        """
        if self.before:
            if not keep:
                self.matches, self.length, self.nodes = self.before
                for node in self.taken:
                    self.unmatched[node] += 1
            self.before = None
        if final:
            self._append(final, None)
        if unsure:
            self.before, self.taken = (self.matches, self.length, self.nodes), []
            self.matches = self.matches.copy()
            self._append(unsure, self.taken)
        return self.matches, self.length, len(self.trie.symbols)

    def _append(self, symbols: Sequence[str], taken: list[int] | None) -> None:
        """``taken`` collects the nodes that match."""
        number_of, child_of = self.trie.numbers.get, self.trie.children.get
        unmatched, matches, nodes = self.unmatched, self.matches, self.nodes
        for symbol in symbols:
            number = number_of(symbol)
            following = [0]
            if number is not None:
                order = 0
                for node in nodes:  # the longest n-grams have no children
                    node = child_of(node + number)
                    if node is None:
                        break
                    if unmatched[node]:
                        unmatched[node] -= 1
                        matches[order] += 1
                        if taken is not None:
                            taken.append(node)
                    following.append(node)
                    order += 1
            nodes = following
        self.nodes = nodes
        self.length += len(symbols)
