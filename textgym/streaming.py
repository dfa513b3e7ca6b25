"""How token ids become text one id at a time: what is final at once, and what the next id may still change.

For every row, at every prefix, ``"".join(pieces) + provisional`` is what the tokenizers library decodes the ids so
far to. Which way is taken follows from the saved decoder, and is tried on random ids before it is used.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from codecs import utf_8_decode
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from textgym.running import Recipe, RunningState

BYTE_TOKEN = re.compile(r"<0x([0-9a-fA-F]{2})>")  # of ByteFallback
_PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
_OTHER = [byte for byte in range(256) if byte not in _PRINTABLE]
# GPT-2 spells bytes as printable characters: the others are moved to U+0100 and on
_BYTE_OF = {chr(b): b for b in _PRINTABLE} | {chr(256 + i): b for i, b in enumerate(_OTHER)}


class TextStream(RunningState):
    """The texts of n rows, token by token. Made by ``Vocabulary.stream(n)``; new rows are empty."""

    not_saved = frozenset({"decoding"})

    def __init__(self, decoding: Decoding, n: int = 1):
        self.decoding = decoding
        self.n = n
        self.pending: dict[int, Any] = {}  # row -> what its next piece depends on; absent: nothing

    def reset(self, rows: np.ndarray) -> None:
        """Begin new texts in ``rows``, int64 (k,)."""
        if self.pending:
            for row in rows.tolist():
                self.pending.pop(row, None)

    def push(self, rows: np.ndarray, ids: np.ndarray) -> tuple[list[str], list[str]]:
        """Append one id to each of ``rows``.

        Args:
            rows: int64 (k,), no row twice.
            ids: integers (k,). EOS, special tokens and ids that are no token (PAD) add no text.

        Returns:
            pieces: k strings, what the final text of each row grew by; it never changes again.
            provisional: k strings, what stands after the final text until the row's next push.
        """
        return self.decoding.push(self.pending, rows.tolist(), ids.tolist())


class Decoding(Recipe, ABC):
    """How the ids of one vocabulary become text.

    Attributes:
        tokenizer: the tokenizer, the oracle of every subclass.
        ids: the ids that stand for text (frozenset): all but EOS, special tokens and unused ids.
    """

    def __init__(self, tokenizer: Tokenizer, ids: Iterable[int]):
        self.tokenizer = tokenizer
        self.ids = frozenset(ids)

    def decode(self, ids: list[int]) -> str:
        """The text of a list of ids, by the tokenizers library."""
        return self.tokenizer.decode([i for i in ids if i in self.ids])

    def decode_rows(self, tokens: np.ndarray, lengths: Sequence[int], start: int = 0) -> list[str]:
        """The k texts of ``lengths[i]`` ids of ``tokens[i]``, from ``start`` on; int32 (k, width), no negative ones."""
        return [self.decode(row[start : start + size].tolist()) for row, size in zip(tokens, lengths, strict=True)]

    @abstractmethod
    def push(self, pending: dict[int, Any], rows: list[int], ids: list[int]) -> tuple[list[str], list[str]]:
        """:meth:`TextStream.push`; ``pending`` is kept up to date in place."""


class Unsuitable(Exception):
    """A tokenizer's tokens do not behave as this way of decoding assumes."""


class Pieces(dict):
    """id -> text; ids that stand for none give ""."""

    def __missing__(self, id: int) -> str:
        return ""


class Table(Decoding):
    """Each id has one text, wherever it stands (characters)."""

    def __init__(self, tokenizer, ids):
        super().__init__(tokenizer, ids)
        self.text = Pieces((i, tokenizer.decode([i])) for i in self.ids)
        # where ids and texts fit bytes, a table of 256 bytes is several times as fast; ids without text are its hole
        self.latin1: bytes | None = None
        texts = set(self.text.values())
        if max(self.ids, default=256) < 256 and all(len(text) == 1 and text < "\u0100" for text in texts):
            self.hole = next((c for c in map(chr, range(256)) if c not in texts), "")
            if self.hole:
                self.latin1 = "".join(self.text[i] or self.hole for i in range(256)).encode("latin-1")

    def decode(self, ids):
        if self.latin1:
            try:
                return bytes(ids).translate(self.latin1).decode("latin-1").replace(self.hole, "")
            except ValueError:  # an id above 255, or negative
                pass
        return "".join(map(self.text.__getitem__, ids))

    def decode_rows(self, tokens, lengths, start=0):
        if not self.latin1:
            return super().decode_rows(tokens, lengths, start)
        # an id above 255 is PAD, before or after the text
        block = tokens.astype(np.uint8).tobytes().translate(self.latin1).decode("latin-1")
        texts = []
        for size in lengths:
            texts.append(block[start : start + size].replace(self.hole, ""))
            start += tokens.shape[1]
        return texts

    def push(self, pending, rows, ids):
        return list(map(self.text.__getitem__, ids)), [""] * len(ids)


class Joined(Decoding):
    """Each token has one text, and owes one more (a space) that is paid when another token follows.

    Words joined by spaces (no decoder), and BPE with an end-of-word suffix. ``pending``: row -> the text owed.
    """

    def __init__(self, tokenizer, ids):
        super().__init__(tokenizer, ids)
        anchor, anchor_text = _anchor(tokenizer, self.ids)
        self.text: dict[int, tuple[str, str]] = {}
        order = list(self.ids)
        followed = tokenizer.decode_batch([[i, anchor] for i in order])
        for i, text, both in zip(order, tokenizer.decode_batch([[i] for i in order]), followed, strict=True):
            before = both.removesuffix(anchor_text)
            if not both.endswith(anchor_text) or not before.startswith(text):
                raise Unsuitable(tokenizer.id_to_token(i))
            self.text[i] = text, before[len(text) :]

    def push(self, pending, rows, ids):
        pieces = []
        for row, id in zip(rows, ids, strict=True):
            if id in self.text:
                text, owed = self.text[id]
                pieces.append(pending.get(row, "") + text)
                pending[row] = owed
            else:
                pieces.append("")
        return pieces, [""] * len(ids)


class Windowed(Decoding):
    """Each token has one text, except at the beginning of the text and within a run of byte tokens.

    WordPiece, Metaspace, and sequences of steps such as Llama's (Replace, ByteFallback, Fuse, Strip). ``pending``:
    row -> the ids that are decoded together. They begin at the row's first id until some text is final, then at
    an anchor that stands for all the text before it. A run of byte tokens is provisional as a whole: one more byte
    can turn characters already shown into U+FFFD.
    """

    def __init__(self, tokenizer, ids):
        super().__init__(tokenizer, ids)
        whole = [i for i in self.ids if not BYTE_TOKEN.fullmatch(tokenizer.id_to_token(i))]
        anchor, anchor_text = _anchor(tokenizer, whole)
        self.begun = (anchor,)
        self.skip = len(anchor_text)
        self.later: dict[int, str] = {}  # the texts of tokens that do not begin the text; byte tokens have none
        for i, text in zip(whole, tokenizer.decode_batch([[anchor, i] for i in whole]), strict=True):
            if not text.startswith(anchor_text):
                raise Unsuitable(tokenizer.id_to_token(i))
            self.later[i] = text[self.skip :]

    def push(self, pending, rows, ids):
        begun, later = self.begun, self.later
        pieces, provisional = [], []
        for row, id in zip(rows, ids, strict=True):
            window = pending.get(row, ())
            if window == begun and id in later:
                pieces.append(later[id])
                provisional.append("")
                continue
            skip = self.skip if window[:1] == begun else 0  # a first id never stays in the window as an anchor would
            if id in self.ids:
                window = *window, id
            text = self.tokenizer.decode(window)[skip:]
            if id in later:
                pending[row] = begun if skip or text else window
                pieces.append(text)
                provisional.append("")
            else:
                pending[row] = window
                pieces.append("")
                provisional.append(text)
        return pieces, provisional


class Bytes(Decoding):
    """Byte-level tokens: UTF-8 whose last character may be unfinished. ``pending``: row -> its bytes so far."""

    def __init__(self, tokenizer, ids):
        super().__init__(tokenizer, ids)
        self.bytes: dict[int, bytes] = {}
        self.text: dict[int, str] = {}  # where the token alone is valid UTF-8
        for i in self.ids:
            token = tokenizer.id_to_token(i)
            try:
                self.bytes[i] = bytes([_BYTE_OF[c] for c in token])
            except KeyError:  # an added token, spelt as plain text
                self.bytes[i] = token.encode()
            try:
                self.text[i] = self.bytes[i].decode()
            except UnicodeDecodeError:
                pass

    def decode(self, ids):
        return b"".join([self.bytes[i] for i in ids if i in self.bytes]).decode("utf-8", "replace")

    def push(self, pending, rows, ids):
        if not pending:
            try:
                return list(map(self.text.__getitem__, ids)), [""] * len(ids)
            except KeyError:  # part of a character, or no text at all
                pass
        pieces, provisional = [], []
        for row, id in zip(rows, ids, strict=True):
            unfinished = pending.pop(row, b"")
            text, rest = self.text.get(id), ""
            if unfinished or text is None:
                known = unfinished + self.bytes.get(id, b"")
                text, used = utf_8_decode(known, "replace", False)
                if used < len(known):
                    pending[row] = known[used:]
                    rest = known[used:].decode("utf-8", "replace")
            pieces.append(text)
            provisional.append(rest)
        return pieces, provisional


class Whole(Decoding):
    """Any decoder: nothing is ever final, each push decodes the whole text, O(tokens). ``pending``: row -> its ids."""

    def push(self, pending, rows, ids):
        provisional = []
        for row, id in zip(rows, ids, strict=True):
            if id in self.ids:
                pending[row] = *pending.get(row, ()), id
            provisional.append(self.tokenizer.decode(pending.get(row, ())))
        return [""] * len(ids), provisional


def choose_decoding(tokenizer: Tokenizer, ids: Iterable[int]) -> Decoding:
    """The fastest :class:`Decoding` that is right for the tokenizer's decoder; :class:`Whole` where none is.

    Args:
        tokenizer: its ``decoder`` says which one to try.
        ids: those that stand for text.
    """
    way = _way(tokenizer.decoder)
    try:
        decoding = way(tokenizer, ids)
    except Unsuitable:
        return Whole(tokenizer, ids)
    return decoding if way is Whole or _agrees(decoding) else Whole(tokenizer, ids)


def _way(decoder) -> type[Decoding]:
    steps = [] if decoder is None else _flat(json.loads(decoder.__getstate__()))
    kinds = [step["type"] for step in steps]
    if kinds == ["Fuse"]:
        return Table
    if kinds in ([], ["BPEDecoder"]):
        return Joined
    if kinds == ["ByteLevel"]:
        return Bytes
    fuse = kinds.index("Fuse") if "Fuse" in kinds else len(kinds)
    token_by_token = {"Replace", "ByteFallback", "Metaspace", "WordPiece", "Strip"}
    # after Fuse a step sees the whole text at once: only cutting its beginning leaves the rest alone
    if set(kinds[:fuse]) <= token_by_token and all(s["type"] == "Strip" and not s["stop"] for s in steps[fuse + 1 :]):
        return Windowed
    return Whole


def _flat(step: dict) -> list[dict]:
    return [s for inner in step["decoders"] for s in _flat(inner)] if step["type"] == "Sequence" else [step]


def _anchor(tokenizer: Tokenizer, ids: Iterable[int]) -> tuple[int, str]:
    """A token that shows text when it stands alone, and that text."""
    for i in sorted(ids):
        if text := tokenizer.decode([i]):
            return i, text
    raise Unsuitable("no token shows any text")


def _agrees(decoding: Decoding, rows: int = 200, length: int = 12) -> bool:
    """Whether stream and decode equal the tokenizers library at each prefix of random ids (fixed seed)."""
    random = np.random.default_rng(0).random((rows, length))
    random[rows // 2 :] **= 4  # low ids more often: bytes and punctuation are there
    ids = (random * (2 + max(decoding.ids, default=0))).astype(np.int64)  # (rows, length), some are no token
    stream, every = TextStream(decoding, rows), np.arange(rows)
    final = [""] * rows
    for t in range(length):
        pieces, provisional = stream.push(every, ids[:, t])
        final = [text + piece for text, piece in zip(final, pieces, strict=True)]
        if [f + p for f, p in zip(final, provisional, strict=True)] != [_by_library(decoding, i[: t + 1]) for i in ids]:
            return False
    return all(decoding.decode(i.tolist()) == _by_library(decoding, i) for i in ids)


def _by_library(decoding: Decoding, ids: np.ndarray) -> str:
    return Decoding.decode(decoding, ids.tolist())
