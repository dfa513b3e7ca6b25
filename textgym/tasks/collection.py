"""The items of a data set: every row read once, equal ones found, each item in one split."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from textgym.episode import Episode
from textgym.running import Recipe
from textgym.tasks.base import SPLITS, split_of
from textgym.tasks.row_files import BadRow, Row, Source
from textgym.tasks.templates import Template
from textgym.tokenizers import Vocabulary, make_vocabulary

_MOST_REFERENCES = 100  # for a prompt, on average: more means that the prompts do not tell the rows apart


class Collection(Recipe):
    """The items of each split.

    Equal rows are one item. An item that is in several splits of the data stays in the last of them (test before
    validation before train), so that published test sets are whole and training sees nothing of them. Splits that
    the data do not have are made of train by :func:`~textgym.tasks.base.split_of` of an item's content.

    Args:
        sources: what :func:`~textgym.tasks.sources.open_sources` gives.
        prompt, references: how an item is written.
        group: rows with equal prompts are one item, with the references of all of them. Splits are then by prompt.
        keep: keep the texts in memory; else the rows are read again when they are visited.
        skip: leave malformed rows out and count them.

    Attributes:
        items: split -> its items, in the order of the rows.
        dropped: split -> reason -> rows left out. Those of a file that several splits are made of count in each.
        made: the splits that were made of train.

    Raises:
        ValueError: a malformed row (:class:`~textgym.tasks.row_files.BadRow`), a column that is not there, or prompts
            that do not tell the rows apart.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        prompt: Template,
        references: Sequence[Template],
        *,
        group: bool = True,
        keep: bool = True,
        skip: bool = False,
    ):
        self.prompt, self.references = prompt, references
        self.sources = {name: self._needed(source) for name, source in sources.items()}
        self.group, self.skip = group, skip
        self.made = tuple(split for split in SPLITS if split not in sources)
        self.dropped: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
        if not (keep or all(source.seekable for source in sources.values())):
            names = ", ".join(source.name for source in sources.values() if not source.seekable)
            raise ValueError(f"streaming needs files whose lines can be found again: unpack {names}")
        self._kept: list[Episode] | None = [] if keep else None
        self._positions = array("q")
        self._begin: dict[str, int] = {}  # source -> its first row
        keys, contents, splits = array("Q"), array("Q"), array("b")
        for name in self.sources:
            self._begin[name] = len(keys)
            for key, content, split in self._read(name):
                keys.append(key)
                contents.append(content)
                splits.append(split)
        self._vocabularies: dict[str, Vocabulary] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self.items = self._divide(*(np.frombuffer(a, a.typecode) for a in (keys, contents, splits)))

    def _needed(self, source: Source) -> Source:
        """The columns that are needed; ValueError where one is not there."""
        if source.columns is None:
            return source
        templates = (self.prompt, *self.references)
        needed = [column for template in templates for column in template.among(source.columns, source.name)]
        return source.only(dict.fromkeys(needed))

    def _read(self, name: str) -> Iterator[tuple[int, int, int]]:
        """(checksum of what makes it an item of its own, checksum of its content, place of its split in SPLITS)."""
        source = self.sources[name]
        fed = (name, *self.made) if name == "train" else (name,)  # the splits made of this source

        def leave_out(reason: str) -> None:
            for split in fed:
                self.dropped[split][reason] += 1

        def bad(error: BadRow) -> None:
            if not self.skip:
                raise error
            leave_out(error.reason)

        for number, position, row in source.rows(bad):
            try:
                episode = self._episode(row)
                content = "\0".join((episode.prompt, *episode.references))
                key = episode.prompt if self.group else content
                checksums = _checksum(key), _checksum(content)
            except BadRow as error:
                bad(BadRow(error.reason, error.details, source.place(number)))
                continue
            except UnicodeEncodeError as error:
                bad(BadRow("not UTF-8", f"a text that is not Unicode ({error.reason})", source.place(number)))
                continue
            if not episode.references:
                leave_out("no reference")
                continue
            split = split_of(key) if self.made and name == "train" else name
            yield *checksums, SPLITS.index(split if split in fed else name)
            if self._kept is None:
                self._positions.extend(position)
            else:
                self._kept.append(episode)

    def _episode(self, row: Row) -> Episode:
        """The item that a row alone is; references of white space alone are none."""
        texts = [text for template in self.references for text in template.write_all(row)]
        return Episode(self.prompt.write(row), tuple(dict.fromkeys([text for text in texts if text.strip()])))

    def _divide(self, keys: np.ndarray, contents: np.ndarray, splits: np.ndarray) -> dict[str, Items]:
        order = np.argsort(keys, kind="stable")
        same = keys[order[1:]] == keys[order[:-1]]
        alone = np.ones(len(keys), bool)  # no other row has its key: most
        alone[order[1:][same]] = alone[order[:-1][same]] = False
        del order, same
        shared = np.flatnonzero(~alone)
        _, item = np.unique(keys[shared], return_inverse=True)  # number of each one's item
        last = np.zeros(item.max(initial=-1) + 1, np.int8)
        np.maximum.at(last, item, splits[shared])
        items = {}
        for place, split in enumerate(SPLITS):
            here = splits[shared] == place
            rows, of = shared[here], item[here]
            for later in range(place + 1, len(SPLITS)):
                if count := int(np.count_nonzero(last[of] == later)):
                    self.dropped[split][f"also in {SPLITS[later]}"] = count
            rows, of = rows[last[of] == place], of[last[of] == place]
            once = np.sort(np.unique(contents[rows], return_index=True)[1])
            if len(once) < len(rows):
                self.dropped[split]["duplicate"] = len(rows) - len(once)
            items[split] = Items(self, np.flatnonzero(alone & (splits == place)), rows[once], of[once], contents)
        return items

    def episode(self, row: int) -> Episode:
        """The item that a row alone is."""
        if self._kept is not None:
            return self._kept[row]
        source = [self.sources[name] for name, begin in self._begin.items() if begin <= row][-1]
        return self._episode(source.read(self._positions[row * source.width : (row + 1) * source.width]))

    def vocabulary(self, tokenizer: Any) -> Vocabulary:
        """What ``tokenizer=`` asks for, trained on the train split once: on all of it where it is kept in memory."""
        if isinstance(tokenizer, Vocabulary):
            return tokenizer
        spec = json.dumps(tokenizer, sort_keys=True, default=str)
        if spec not in self._vocabularies:
            items = self.items["train"] if self._kept is not None else self.items["train"].some()
            texts = (text for item in items for text in (item.prompt, *item.references))
            self._vocabularies[spec] = make_vocabulary(tokenizer, lambda: texts)
        return self._vocabularies[spec]

    def sizes(self, vocabulary: Vocabulary) -> tuple[int, int]:
        """The least prompt_length and budget that fit 999 in 1,000 items, of up to 4,000 of each split."""
        if vocabulary.fingerprint not in self._sizes:
            prompts, texts = [], []
            for item in (item for items in self.items.values() for item in items.some(4000)):
                try:
                    prompts.append(vocabulary.count(item.prompt))
                    texts.append(1 + max(map(vocabulary.count, item.references)))
                except ValueError:  # a character that the vocabulary lacks: the item will be dropped
                    pass
            fitting = (np.quantile(sizes or [1], 0.999, method="inverted_cdf") for sizes in (prompts, texts))
            self._sizes[vocabulary.fingerprint] = tuple(max(1, int(size)) for size in fitting)
        return self._sizes[vocabulary.fingerprint]


class Items(Sequence):
    """The items of a split, in the order of their first rows; each is put together when it is asked for.

    Args:
        collection: what the rows are of.
        alone: rows that are an item each, int64 (a,), ascending.
        rows: the other rows, int64 (k,), ascending.
        item: to which item each of ``rows`` belongs, int64 (k,).
        contents: checksums of all rows of the collection.

    Attributes:
        checksum: hex, differs where the content or the order of the rows does.
    """

    def __init__(
        self, collection: Collection, alone: np.ndarray, rows: np.ndarray, item: np.ndarray, contents: np.ndarray
    ):
        self._collection = collection
        self._starts: Sequence[int] = range(len(alone) + 1)  # item i has the rows from _starts[i] on
        if len(rows):
            _, first, number = np.unique(item, return_index=True, return_inverse=True)
            begin = np.concatenate([alone, rows[first[number]]])  # the first row of the item that a row belongs to
            order = np.argsort(begin, kind="stable")
            self._starts = np.append(np.flatnonzero(np.diff(begin[order], prepend=-1)), len(begin))
            alone = np.concatenate([alone, rows])[order]
        self._rows = alone.astype(np.uint32)
        self.checksum = hashlib.sha256(contents[self._rows]).hexdigest()
        if len(self._rows) > _MOST_REFERENCES * len(self):
            raise ValueError(
                f"{len(self._rows)} rows of a split have only {len(self)} different prompts, each of which would be an "
                "item with the references of all its rows: give group=False to make each row an item"
            )

    def __len__(self):
        return len(self._starts) - 1

    def __getitem__(self, index):
        rows = self._rows[self._starts[index] : self._starts[index + 1]]
        first, *others = map(self._collection.episode, rows.tolist())
        if not others:
            return first
        return Episode(first.prompt, tuple(dict.fromkeys(r for each in (first, *others) for r in each.references)))

    def some(self, most: int = 10_000) -> list[Episode]:
        """All of them, or ``most`` that are drawn once and for all, in their order."""
        return [self[i] for i in np.sort(np.random.default_rng(0).permutation(len(self))[:most]).tolist()]


def _checksum(text: str) -> int:
    """64 bits: of ten million texts two have the same with a probability of 3 in a million."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
