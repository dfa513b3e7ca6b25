"""One vocabulary for every environment: text to token ids and back, over the ``tokenizers`` library."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from textgym.errors import call_checked, unknown
from textgym.running import Recipe
from textgym.streaming import BYTE_TOKEN, Bytes, TextStream, Windowed, choose_decoding
from textgym.words import WordCut

EOS, UNKNOWN = "<eos>", "<unk>"


class Vocabulary(Recipe):
    """The tokens texts are written in. Immutable and shared; build it with one of the class methods.

    Attributes:
        tokenizer: the ``tokenizers.Tokenizer``. Its truncation and padding are switched off.
        size: V, 1 + the largest id; also ``len(vocabulary)``.
        limit: V as an array, which arrays are compared with in half the time.
        eos: id of the token that ends a text.
        pad: V; fills empty columns of observations, is no action and has no text.
        legal: bool (V,), read-only: the ids that can be actions. Unused ids and special tokens other than EOS cannot.
        ends: bool (V,), read-only: the id is EOS.
        kind: "character", "word", "byte_bpe" or "saved".
        decoding: how ids become text (:mod:`textgym.streaming`).

    Args:
        tokenizer: owned by the vocabulary from now on.
        eos: the token that ends a text, one of the tokenizer's. It need not be a special one.
        kind: as above. Only in "saved" vocabularies is a special token that is spelt out in a text taken for
            the token, as ``transformers`` does; elsewhere ``"<eos>"`` in a text is five characters.
        cut: cuts texts into words that are tokens, where the tokenizer does not do so itself.
    """

    def __init__(self, tokenizer: Tokenizer, eos: str, kind: str = "saved", cut: WordCut | None = None):
        self.tokenizer = tokenizer
        self.kind = kind
        self.cut = cut
        self.size = 1 + max(tokenizer.get_vocab().values(), default=-1)
        self.pad = self.size
        self.eos = _id_of(tokenizer, eos)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        special = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
        tokens = map(tokenizer.id_to_token, range(self.size))
        self.legal = np.array([token is not None and token not in special for token in tokens], np.bool_)
        self.legal[self.eos] = True
        self.limit = np.array(self.size, np.uint64)
        self.ends = np.arange(self.size) == self.eos
        self.decoding = choose_decoding(tokenizer, set(np.flatnonzero(self.legal).tolist()) - {self.eos})
        self._alphabet = Alphabet(tokenizer, self.decoding.ids) if kind == "character" else None
        self._settle()

    def _settle(self) -> None:
        """What pickling loses."""
        self.tokenizer.encode_special_tokens = self.kind != "saved"
        self.legal.flags.writeable = self.ends.flags.writeable = False

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._settle()

    # Making one

    @classmethod
    def characters(cls, texts: Iterable[str], eos: str = EOS) -> Vocabulary:
        """One token a character; the alphabet is the sorted set of the characters in ``texts``. EOS is the last id."""
        alphabet = sorted(set().union(*_several(texts)))
        if not alphabet:
            raise ValueError("a character vocabulary needs texts with at least one character, got none")
        tokenizer = Tokenizer(models.WordLevel({c: i for i, c in enumerate(alphabet)}, unk_token=UNKNOWN))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        tokenizer.decoder = decoders.Fuse()
        return cls(_with_eos(tokenizer, eos), eos, "character")

    @classmethod
    def words(
        cls,
        texts: Iterable[str],
        size: int = 4096,
        eos: str = EOS,
        segmenter: str = "whitespace",
        stop_words: Iterable[str] | str | os.PathLike = (),
    ) -> Vocabulary:
        """One token a word: the most frequent words of ``texts``, ties in alphabetical order.

        Any other word is encoded as ``<unk>``, which is no action.

        Args:
            texts: what the words are counted in.
            size: the largest V allowed, at least 3: EOS and ``<unk>`` are in it.
            eos: the token that ends a text; no word of the vocabulary.
            segmenter: "whitespace": words stand between white space, which is decoded as single spaces. "jieba": words
                of Chinese as the package jieba finds them, spaces and punctuation among them. Every character of
                ``texts`` counts as a word, too, and a word that is not in the vocabulary is written in characters: a
                text of characters that are is decoded as it was. A file of its tokenizer cannot encode by itself.
            stop_words: words to leave out, or the path of a file, UTF-8, one a line; by default none. They are no
                tokens and are skipped in encoding, in prompts as in references: a reference that has one cannot be
                written any more, so that tasks ask for ``lossy=True``.

        Raises:
            ValueError, TypeError, FileNotFoundError: an argument that is not as above; no word is left.
            ImportError: jieba is not installed.
        """
        _check_size("words", size, 3)
        cut, counts, characters = WordCut(segmenter, stop_words), Counter(), Counter()
        for text in _several(texts):
            counts.update(cut(text))
            if segmenter == "jieba":
                characters.update(text)
        counts |= characters  # the larger count of each
        for word in (UNKNOWN, *cut.stop_words):
            counts.pop(word, None)
        words = sorted(counts, key=lambda word: (-counts[word], word not in characters, word))[: size - 2]
        if not words:
            raise ValueError("a word vocabulary needs texts with at least one word, got none")
        tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate([UNKNOWN, *words])}, unk_token=UNKNOWN))
        tokenizer.add_special_tokens([UNKNOWN])
        if segmenter == "jieba":
            tokenizer.decoder = decoders.Fuse()
            cut = WordCut(segmenter, cut.stop_words, known=words)
        else:
            tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        by_library = segmenter == "whitespace" and not cut.stop_words
        return cls(_with_eos(tokenizer, eos), eos, "word", None if by_library else cut)

    @classmethod
    def byte_bpe(cls, texts: Iterable[str], size: int = 512, eos: str = EOS) -> Vocabulary:
        """Byte-level BPE as in GPT-2, no prefix space: encodes any text, and decodes it unchanged.

        Args:
            texts: what the merges are learnt from.
            size: the largest V allowed, at least 257: the 256 bytes and EOS are in it.
            eos: the token that ends a text.
        """
        _check_size("byte_bpe", size, 257)
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer = trainers.BpeTrainer(vocab_size=size - 1, initial_alphabet=letters, show_progress=False)
        tokenizer.train_from_iterator(_several(texts), trainer)
        return cls(_with_eos(tokenizer, eos), eos, "byte_bpe")

    @classmethod
    def load(cls, path: str | os.PathLike, eos: str | None = None) -> Vocabulary:
        """A saved tokenizer.

        Args:
            path: a ``tokenizer.json``, a directory that holds one (with ``tokenizer_config.json`` or
                ``special_tokens_map.json`` beside it), or a directory ``transformers.AutoTokenizer`` loads.
            eos: the token that ends a text, any token there is; by default the saved ``eos_token``, else
                ``<eos>``, which is added if need be.

        Raises:
            FileNotFoundError: nothing is at ``path``.
            ValueError: what is there is no tokenizer, or it has no token ``eos``.
        """
        tokenizer, saved = _read(Path(path))
        if eos is None:
            eos = saved or EOS
            if tokenizer.token_to_id(eos) is None:
                tokenizer = _with_eos(tokenizer, eos)
        return cls(tokenizer, eos, "saved")

    # Using it

    def encode(self, text: str) -> np.ndarray:
        """The token ids of a text, int32 (n,): no EOS, no special tokens added.

        Raises:
            ValueError: a character that a character vocabulary does not have.
        """
        if self._alphabet is not None:
            return self._alphabet.encode(text)
        given = self.cut(text) if self.cut else text
        found = self.tokenizer.encode(given, is_pretokenized=self.cut is not None, add_special_tokens=False)
        return np.array(found.ids, np.int32)

    def encode_all(self, texts: Iterable[str]) -> list[np.ndarray]:
        """:meth:`encode` of each text."""
        if self._alphabet is not None:
            return [self._alphabet.encode(text) for text in texts]
        given = list(map(self.cut, texts)) if self.cut else list(texts)
        found = self.tokenizer.encode_batch_fast(given, is_pretokenized=self.cut is not None, add_special_tokens=False)
        return [np.array(encoding.ids, np.int32) for encoding in found]

    def encode_flat(self, texts: Sequence[str]) -> tuple[np.ndarray, list[int]]:
        """The ids of all ``texts`` one after the other, integers (total,), and how many each text has."""
        if self._alphabet is not None:
            try:
                return self._alphabet.ids_of("".join(texts)), list(map(len, texts))
            except ValueError:
                self.encode_all(texts)  # raises with the position in its own text
        each = self.encode_all(texts)
        return np.concatenate(each), list(map(len, each))

    def count(self, text: str) -> int:
        """Number of tokens of a text."""
        return len(self.encode(text))

    def decode(self, ids: np.ndarray | Iterable[int]) -> str:
        """The text of a sequence of ids. EOS, special tokens and ids that are no token (PAD) are skipped."""
        return self.decoding.decode(ids.tolist() if hasattr(ids, "tolist") else list(ids))

    def decode_rows(self, tokens: np.ndarray, lengths: Sequence[int], start: int = 0) -> list[str]:
        """:meth:`decode` of ``lengths[i]`` ids of each row of ``tokens``, int32 (k, width), from column ``start`` on.

        These ids must be in 0 .. V - 1.
        """
        return self.decoding.decode_rows(tokens, lengths, start)

    def stream(self, n: int = 1) -> TextStream:
        """Decode n rows token by token; at every prefix the same text as :meth:`decode`."""
        return TextStream(self.decoding, n)

    def token(self, id: int) -> str:
        """A short printable label of an id, for people: ``"⏎"``, ``"␠word"``, ``"<eos>"``, ``"\\xe4"`` (a byte)."""
        id = int(id)
        token = self.tokenizer.id_to_token(id) if 0 <= id < self.size else None
        if token is None:
            return "<pad>" if id == self.pad else f"<unused {id}>"
        if isinstance(self.decoding, Bytes) and id in self.decoding.ids:
            token = self.decoding.bytes[id].decode("utf-8", "backslashreplace")
        elif isinstance(self.decoding, Windowed):
            if byte := BYTE_TOKEN.fullmatch(token):
                return rf"\x{byte[1].lower()}"
            token = token.replace("▁", " ")
        return "".join(_SIGNS.get(c) or (c if c.isprintable() else repr(c)[1:-1]) for c in token)

    @cached_property
    def fingerprint(self) -> str:
        """sha256, hex: the same for vocabularies with the same tokenizer (as JSON), EOS id and way to cut words."""
        cut = f"\n{self.cut}" if self.cut else ""
        return hashlib.sha256(f"{self.tokenizer.to_str()}\n{self.eos}{cut}".encode()).hexdigest()

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"Vocabulary({self.kind}, size={self.size}, eos={self.token(self.eos)!r})"


class Alphabet(Recipe):
    """The way from characters to ids, equal to the tokenizer's and about 50 times as fast."""

    def __init__(self, tokenizer: Tokenizer, ids: Iterable[int]):
        self.ids = {tokenizer.id_to_token(i): i for i in sorted(ids)}
        latin1 = (self.ids.get(chr(code), 255) for code in range(256))
        self.latin1 = bytes(min(i, 255) for i in latin1)  # 255: not in this table

    def encode(self, text: str) -> np.ndarray:
        """int32 (n,)."""
        return self.ids_of(text).astype(np.int32, copy=False)

    def ids_of(self, text: str) -> np.ndarray:
        """uint8 (n,), read-only, where the ids and the characters fit bytes; else int32 (n,)."""
        try:
            codes = text.encode("latin-1").translate(self.latin1)
            if 255 not in codes:
                return np.frombuffer(codes, np.uint8)
        except UnicodeEncodeError:
            pass
        try:
            return np.fromiter(map(self.ids.__getitem__, text), np.int32, len(text))
        except KeyError as error:
            character = error.args[0]
            alphabet = "".join(self.ids)
            raise ValueError(
                f"character {character!r} (U+{ord(character):04X}, position {text.index(character)}) is not in the "
                f"alphabet of {len(alphabet)} characters: {alphabet[:100]!r}{'...' if len(alphabet) > 100 else ''}"
            ) from None


TRAINED = {"character": Vocabulary.characters, "word": Vocabulary.words, "byte_bpe": Vocabulary.byte_bpe}


def make_vocabulary(spec: Any, texts: Callable[[], Iterable[str]]) -> Vocabulary:
    """The vocabulary that ``tokenizer=`` of an environment asks for.

    Args:
        spec: a :class:`Vocabulary`; ``"character"``, ``"word"`` or ``"byte_bpe"``, trained on ``texts()``; the
            same as a dict with the arguments, ``{"name": "byte_bpe", "size": 512}``; the path of a saved
            tokenizer, or ``{"name": "saved", "path": ..., "eos": ...}``.
        texts: called only where a vocabulary is trained.

    Raises:
        ValueError, FileNotFoundError, TypeError: what is not as above, with the nearest right choice.
    """
    if isinstance(spec, Vocabulary):
        return spec
    if isinstance(spec, dict):
        kwargs = dict(spec)
        name = kwargs.pop("name", None)
    elif isinstance(spec, os.PathLike) or (isinstance(spec, str) and spec not in TRAINED and _is_path(spec)):
        name, kwargs = "saved", {"path": spec}
    else:
        name, kwargs = spec, {}
    if isinstance(name, str) and name in TRAINED:
        return call_checked(f"tokenizer {name!r}", partial(TRAINED[name], texts()), kwargs)
    if name == "saved":
        if "path" not in kwargs:
            raise ValueError(f"tokenizer {spec!r} needs a path: {{'name': 'saved', 'path': 'tokenizer.json'}}")
        return call_checked("tokenizer 'saved'", Vocabulary.load, kwargs)
    raise unknown("tokenizer", spec if name is None else name, [*TRAINED, "saved", "the path of a saved tokenizer"])


_SIGNS = {" ": "␠", "\n": "⏎", "\t": "⇥", "\r": "␍"}


def _is_path(text: str) -> bool:
    return os.path.exists(text) or os.sep in text or text.endswith(".json")


def _several(texts: Iterable[str]) -> Iterable[str]:
    return [texts] if isinstance(texts, str) else texts


def _check_size(kind: str, size: int, least: int) -> None:
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < least:
        raise ValueError(f"size of a {kind} vocabulary is a whole number of tokens, at least {least}, got {size!r}")


def _with_eos(tokenizer: Tokenizer, eos: str) -> Tokenizer:
    """``eos`` added as a special token; the texts must not have it as a token of theirs."""
    if not isinstance(eos, str) or not eos:
        raise ValueError(f"eos is the spelling of a token, such as '<eos>', got {eos!r}")
    if tokenizer.token_to_id(eos) is not None:
        raise ValueError(f"eos {eos!r} is already a token of the texts; choose a spelling that they do not contain")
    ids = set(tokenizer.get_vocab().values())
    if max(ids) >= len(ids):  # unused ids: the library, which counts tokens, could give EOS the id of another one
        saved = json.loads(tokenizer.to_str())
        if isinstance(saved["model"]["vocab"], dict):
            saved["model"]["vocab"][eos] = 1 + max(ids)
            tokenizer = Tokenizer.from_str(json.dumps(saved))
    tokenizer.add_special_tokens([AddedToken(eos, special=True, normalized=False)])
    return tokenizer


def _id_of(tokenizer: Tokenizer, eos: str) -> int:
    id = tokenizer.token_to_id(eos) if isinstance(eos, str) else None
    if id is None:
        tokens = tokenizer.get_vocab()
        special = [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special]
        near = difflib.get_close_matches(str(eos), [*special, *tokens], n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(map(repr, dict.fromkeys(near)))}?" if near else ""
        raise ValueError(
            f"the tokenizer has no token eos={eos!r}.{hint} Allowed: any of its {len(tokens)} tokens; "
            f"its special tokens are {', '.join(special) or 'none'}."
        )
    return id


def _read(path: Path) -> tuple[Tokenizer, str | None]:
    """The saved tokenizer and the EOS token that was saved with it."""
    allowed = "a tokenizer.json of the tokenizers library, or a directory that transformers.AutoTokenizer can load"
    if not path.exists():
        raise FileNotFoundError(f"no tokenizer at {str(path)!r}. Allowed: {allowed}.")
    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        if file.exists():
            return Tokenizer.from_file(str(file)), _saved_eos(file.parent) if file.name == "tokenizer.json" else None
        from transformers import AutoTokenizer

        loaded = AutoTokenizer.from_pretrained(str(path), local_files_only=True)
        return loaded.backend_tokenizer, loaded.eos_token
    except Exception as error:  # the tokenizers library raises nothing more special
        raise ValueError(f"no tokenizer can be loaded from {str(path)!r} ({error}). Allowed: {allowed}.") from error


def _saved_eos(directory: Path) -> str | None:
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (directory / name).exists():
            eos = json.loads((directory / name).read_text("utf-8")).get("eos_token")
            if eos:
                return eos["content"] if isinstance(eos, dict) else eos
    return None
