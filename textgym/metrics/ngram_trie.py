"""Clipped n-gram matches of a growing text with its references, at the cost of the tokens that changed."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence

from textgym.running import Recipe


class NgramTrie(Recipe):
    """The n-grams of some references, as numbered nodes; node 0 is the empty n-gram.

    Args:
        references: the tokens of each.
        max_order: the longest n-grams counted.

    Attributes:
        symbols: token -> its number, 1 .. V. It is also the node of that unigram.
        width: V + 1.
        children: ``node * width + symbol`` -> the node of the n-gram that is one symbol longer.
        suffix: node -> the node of its n-gram without the first token.
        order: node -> the length of its n-gram.
        counts: node -> how often its n-gram occurs in the reference that has most of it.
        lengths: the tokens in each reference.
    """

    def __init__(self, references: Sequence[Sequence[str]], max_order: int):
        self.max_order = max_order
        self.lengths = tuple(map(len, references))
        self.symbols: dict[str, int] = {}
        for reference in references:
            for token in reference:
                self.symbols.setdefault(token, len(self.symbols) + 1)
        self.width = len(self.symbols) + 1
        self.children = {symbol: symbol for symbol in self.symbols.values()}
        self.suffix = [0] * self.width
        self.order = [0] + [1] * len(self.symbols)
        counts: Counter[int] = Counter()
        for reference in references:
            counts |= Counter(self._nodes_of(reference))  # the larger count of each
        self.counts = array("i", map(counts.__getitem__, range(len(self.suffix))))

    def _nodes_of(self, reference: Sequence[str]) -> list[int]:
        """The nodes of all n-grams of a reference, added where they are new."""
        children, suffix, order, width = self.children, self.suffix, self.order, self.width
        nodes: list[int] = []
        before: list[int] = []  # of the n-grams that end at the token before, shortest first
        for symbol in map(self.symbols.__getitem__, reference):
            ends = [symbol]
            for node in before[: self.max_order - 1]:
                child = children.get(node * width + symbol)
                if child is None:
                    child = children[node * width + symbol] = len(suffix)
                    suffix.append(ends[-1])
                    order.append(len(ends) + 1)
                ends.append(child)
            nodes += ends
            before = ends
        return nodes


class NgramMatches:
    """The n-grams of one text that references have too, each counted at most as often as a reference has it.

    Attributes:
        matches: matches of 1-grams, 2-grams, ...
        length: tokens of the text.
    """

    def __init__(self, trie: NgramTrie):
        self.trie = trie
        self.left = trie.counts[:]  # node -> its count in the references less that in the text
        self.matches = [0] * trie.max_order
        self.length = 0
        self.open: tuple[str, ...] = ()
        # the longest n-gram of the references that the text ends with: before its open tokens and after each one
        self.ends = [0]

    def replace_open(self, final: tuple[str, ...], open: tuple[str, ...]) -> None:
        """The tokens that were open are now ``final + open``; of these, ``open`` may still be replaced."""
        if final == self.open:  # a new word, most often
            if open:
                self._append(open)
        else:
            self._replace(self.open, final + open)
        if final:
            del self.ends[: len(final)]
        self.open = open

    def _replace(self, tokens: tuple[str, ...], by: tuple[str, ...]) -> None:
        """``tokens``, the last ones, become ``by``."""
        kept = 0
        for old, new in zip(tokens, by):  # noqa: B905 (one may have more tokens)
            if old != new:
                break
            kept += 1
        if kept < len(tokens):
            self._drop(len(tokens) - kept)
        if kept < len(by):
            self._append(by[kept:])

    def _append(self, tokens: tuple[str, ...]) -> None:
        trie, left, matches, ends = self.trie, self.left, self.matches, self.ends
        children, suffix, width = trie.children, trie.suffix, trie.width
        self.length += len(tokens)
        end = ends[-1]
        for token in tokens:
            symbol = trie.symbols.get(token)
            if symbol is None:
                ends.append(0)
                end = 0
                continue
            node = children.get(end * width + symbol)
            while node is None:  # the empty n-gram has every symbol
                end = suffix[end]
                node = children.get(end * width + symbol)
            ends.append(node)
            end = node
            order = trie.order[node]
            while order:  # every n-gram that ends here is a suffix of the longest
                order -= 1
                count = left[node]
                left[node] = count - 1
                if count > 0:
                    matches[order] += 1
                node = suffix[node]

    def _drop(self, tokens: int) -> None:
        left, matches, suffix = self.left, self.matches, self.trie.suffix
        self.length -= tokens
        for _ in range(tokens):
            node = self.ends.pop()
            order = self.trie.order[node]
            while order:
                order -= 1
                count = left[node] + 1
                left[node] = count
                if count > 0:
                    matches[order] -= 1
                node = suffix[node]
