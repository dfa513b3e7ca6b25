"""The hits of ROUGE-L and ROUGE-Lsum at every prefix: longest common subsequences (LCS).

A column of the table of LCS lengths (rows: words of the reference, columns: words of the text) is one Python integer
with a 0 in each row where the LCS becomes longer; a word takes a few operations on it (Hyyrö, 2004).

For ROUGE-Lsum, rouge-score reads one LCS of each reference sentence and each sentence of the text (one a line) out of
their table, and takes the union of its positions in the reference sentence. A word has as many hits as positions in
those unions, but no more than occurrences in the text. Here

* a word adds columns only to the tables of the reference sentences that it changes;
* what the path through a table reads from a cell to the table's beginning is remembered for the cells where it enters
  a column: the path of the next word soon meets one that is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from textgym.running import Recipe

SENTENCE_END = "\n"


def next_column(column: int, match: int, every: int) -> int:
    """The column of a word that stands in the rows ``match``; ``every``: all rows."""
    both = column & match
    return ((column + both) | (column - both)) & every


# -- ROUGE-L ------------------------------------------------------------------------------------------


class Positions(Recipe):
    """A reference. ``rows``: word -> bit set of its positions."""

    def __init__(self, words: tuple[str, ...]):
        self.words = words
        self.rows: dict[str, int] = {}
        for i, word in enumerate(words):
            self.rows[word] = self.rows.get(word, 0) | 1 << i

    def __reduce__(self):
        return positions_of, (self.words,)


@lru_cache(maxsize=2048)
def positions_of(words: tuple[str, ...]) -> Positions:
    """The reference of these words."""
    return Positions(words)


class SubsequenceOverlap:
    """The length of the LCS of a reference and a growing text.

    Attributes:
        hits: of the whole text, unsure words included.
        written: words of the text.
        total: words of the reference.
    """

    __slots__ = ("reference", "total", "every", "hits", "written", "column", "before")

    def __init__(self, reference: Positions):
        self.reference = reference
        self.total = len(reference.words)
        self.every = (1 << self.total) - 1
        self.hits = 0
        self.written = 0
        self.column = self.every
        self.before = self.column, 0  # the state before the unsure words

    def push(self, keep: bool, final: Sequence[str], unsure: Sequence[str]) -> None:
        """Append words; the unsure ones of the push before become final (``keep``) or are forgotten."""
        if not keep:
            self.column, self.written = self.before
        if final:
            self._append(final)
        self.before = self.column, self.written
        if unsure:
            self._append(unsure)
        self.hits = self.total - self.column.bit_count()

    def _append(self, words: Sequence[str]) -> None:
        self.written += len(words)
        rows = self.reference.rows
        for word in words:
            if word in rows:
                self.column = next_column(self.column, rows[word], self.every)


# -- ROUGE-Lsum ---------------------------------------------------------------------------------------


class Summary(Recipe):
    """A reference.

    Attributes:
        sentences: the words of each.
        positions: word -> {index of a sentence that has it: bit set of its positions there}.
    """

    def __init__(self, words: tuple[str, ...]):
        self.words = words
        self.sentences: list[list[str]] = [[]]
        self.positions: dict[str, dict[int, int]] = {}
        for word in words:
            if word == SENTENCE_END:
                self.sentences.append([])
                continue
            sentence, i = self.sentences[-1], len(self.sentences) - 1
            bits = self.positions.setdefault(word, {})
            bits[i] = bits.get(i, 0) | 1 << len(sentence)
            sentence.append(word)

    def __reduce__(self):
        return summary_of, (self.words,)


@lru_cache(maxsize=2048)
def summary_of(words: tuple[str, ...]) -> Summary:
    """The reference of these words, line breaks among them."""
    return Summary(words)


class SummaryOverlap:
    """The hits of a growing text; attributes as of :class:`SubsequenceOverlap`."""

    __slots__ = (
        *("reference", "total", "hits", "written", "last", "seen", "covered", "unions", "closed", "tables"),
        *("before", "added"),
    )

    def __init__(self, reference: Summary):
        self.reference = reference
        self.total = sum(map(len, reference.sentences))
        self.hits = 0
        self.written = 0
        self.seen = dict.fromkeys(reference.positions, 0)  # occurrences of each word in the text
        self.covered = self.seen.copy()  # its positions in the unions
        self.unions = [0] * len(reference.sentences)  # bit sets of positions in each reference sentence
        self.closed = self.unions.copy()  # the same without the text's last sentence
        self.tables: dict[int, _Table] = {}  # of the text's last sentence and reference sentences
        self.last = SENTENCE_END  # the last word
        self._remember(())

    def push(self, keep: bool, final: Iterable[str], unsure: Sequence[str]) -> None:
        """As in :class:`SubsequenceOverlap`."""
        if not keep:
            self._forget()
        for word in final:
            self._append(word)
        self._remember(unsure)
        for word in unsure:
            self._append(word)

    def _remember(self, unsure: Sequence[str]) -> None:
        self.before = unsure, self.written, self.last, self.closed, self.tables
        self.added: list[tuple[_Table, int, int]] = []  # tables that got a column; reference sentence, its union before

    def _forget(self) -> None:
        unsure, self.written, self.last, self.closed, self.tables = self.before
        for table, i, union in reversed(self.added):
            table.columns.pop()
            self._cover(i, union)
        for word in unsure:
            if word in self.seen:
                self._see(word, -1)

    def _append(self, word: str) -> None:
        positions, last = self.reference.positions, self.last
        self.last = word
        if word == SENTENCE_END:
            self.closed, self.tables = self.unions.copy(), {}
            return
        self.written += 1
        rows = positions.get(word, {})
        for i in positions.get(last, ()):
            if i not in rows:  # after a column without a match, another one changes nothing
                self._add_column(i, 0)
        if rows:
            self._see(word, 1)
            for i, match in rows.items():
                self._add_column(i, match)

    def _add_column(self, i: int, match: int) -> None:
        table = self.tables.get(i)
        if table is None:
            table = self.tables[i] = _Table(len(self.reference.sentences[i]))
        self.added.append((table, i, self.unions[i]))
        table.append(match)
        self._cover(i, self.closed[i] | table.path())

    def _see(self, word: str, change: int) -> None:
        covered, seen = self.covered[word], self.seen[word]
        self.seen[word] = seen + change
        self.hits += min(covered, seen + change) - min(covered, seen)

    def _cover(self, i: int, union: int) -> None:
        """The positions of reference sentence ``i`` become ``union``."""
        changed = union ^ self.unions[i]
        self.unions[i] = union
        sentence, covered, seen = self.reference.sentences[i], self.covered, self.seen
        while changed:
            position = changed.bit_length() - 1
            changed ^= 1 << position
            word = sentence[position]
            if union >> position & 1:
                self.hits += covered[word] < seen[word]
                covered[word] += 1
            else:
                covered[word] -= 1
                self.hits -= covered[word] < seen[word]


class _Table:
    """LCS lengths of the beginnings of a reference sentence (rows) and of a growing one (columns)."""

    __slots__ = ("rows", "columns")

    def __init__(self, rows: int):
        self.rows = rows
        # of each word: its column, rows that match it, rows where a path stops, {such a row: rows read from there on}
        self.columns: list[tuple[int, int, int, dict[int, int]]] = []

    def append(self, match: int) -> None:
        """Add the column of a word that stands in the rows ``match``."""
        every = (1 << self.rows) - 1
        column = self.columns[-1][0] if self.columns else every
        column = next_column(column, match, every)
        self.columns.append((column, match, match | every ^ column, {}))

    def path(self) -> int:
        """The rows of the LCS that rouge-score reads out of the table, from the last cell on.

        A match is taken; else the path goes up one row if the LCS is as long there, else left. So in a column it goes
        up to the first row that matches or where the LCS becomes longer.
        """
        row, rows = self.rows, 0
        passed = []
        for _, match, stops, known in reversed(self.columns):
            row = (stops & ((1 << row) - 1)).bit_length()  # 1 is the first row; 0: the path has left the table
            if row in known:
                rows = known[row]
                break
            if not row:
                break
            taken = match >> (row - 1) & 1
            passed.append((known, row, taken))
            row -= taken
        for known, row, taken in reversed(passed):
            if taken:
                rows |= 1 << (row - 1)
            known[row] = rows
        return rows
