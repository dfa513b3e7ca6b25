"""Which tokens of a growing text are final, in sacrebleu's tokenisations; only the last few characters are cut anew.

sacrebleu tokenises a finished line, and characters that come later can change tokens that are there: ``1.`` is two
tokens until a digit makes it ``1.5``, ``&am`` becomes ``&``, ``<skipped>`` vanishes, ``-`` and a line break join
two words. None of this reaches across certain boundaries: before them every token is final, and the text after
them is tokenised alone, behind one space, as if it stood in the whole text.

Boundaries are spaces, symbols, and what else a tokenisation separates always. A stretch that has none is cut anew as
a whole by every token: for languages written without spaces choose "zh" or "char".
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from functools import cache, lru_cache

from textgym.errors import one_of
from textgym.running import Recipe

INSIDE, SPACE, SEPARATOR = range(3)  # the kinds of characters; nothing reaches across a separator
MEMO_TEXTS, MEMO_LENGTH = 1 << 14, 64  # tokens of that many texts of up to that many characters are remembered

# the ASCII symbols that 13a and zh make tokens of their own, wherever they stand: not the apostrophe , - .
SYMBOLS = frozenset('!"#$%&()*+/:;<=>?@[\\]^_`{|}~')
ANY_SYMBOL = re.compile(f"[{re.escape(''.join(SYMBOLS))}]")
ANY_DIGIT = re.compile("[0-9]")
AFTER_NO_DIGIT = re.compile(r"([^0-9])([.,])"), r"\1 \2 "
BEFORE_NO_DIGIT = re.compile(r"([.,])([^0-9])"), r" \1 \2"
DASH_AFTER_DIGIT = re.compile("(?<=[0-9])-"), " - "

# what sacrebleu 2.6 takes for Chinese: its ranges of CJK Extension B (U+20000 on) are spelt so that they mean
# U+2001 .. U+2A6D instead, with general punctuation, arrows and mathematics
CHINESE = (
    (0x2001, 0x2A6D), (0x2E80, 0x2FDF), (0x2FF0, 0x303F), (0x3100, 0x312F), (0x31A0, 0x31BF), (0x31C0, 0x31EF),
    (0x3200, 0x33FF), (0x3400, 0x4DB5), (0x4E00, 0x9FBB), (0xF900, 0xFA2D), (0xFA30, 0xFA6A), (0xFA70, 0xFAD9),
    (0xFE10, 0xFE1F), (0xFE30, 0xFE4F), (0xFF00, 0xFFEF),
)  # fmt: skip


class Tokenization(Recipe, ABC):
    """One of sacrebleu's tokenisations of a text without its trailing white space, after ``str.lower`` if asked.

    Attributes:
        strips_left: white space before the first token is no left context of it.
        ends_alike: white space after a text that ends in none changes no token of it.
        begun: piece -> the token that it begins, if it is a space and a plain word (see :meth:`_plain`); "" if it is
            a plain word; None if it is anything else.
    """

    name: str
    strips_left = False
    ends_alike = True

    def __init__(self, lowercase: bool = False):
        self.lowercase = lowercase
        self.kinds = _Remembered(self._kind)
        self.begun = _Remembered(self._begun)
        self._remembered = lru_cache(MEMO_TEXTS)(self._tokens)
        self._remembered_last = lru_cache(MEMO_TEXTS)(self._last_boundary)

    def __reduce__(self):
        return tokenization, (self.name, self.lowercase)

    def whole(self, text: str) -> tuple[str, ...]:
        """The tokens of a finished text, those of sacrebleu."""
        return self.tokens(text.strip() if self.strips_left else text.rstrip())

    def tokens(self, text: str) -> tuple[str, ...]:
        """The tokens of a part of a text that begins and ends at boundaries."""
        return self._remembered(text) if len(text) <= MEMO_LENGTH else self._tokens(text)

    def boundary(self, text: str, start: int) -> int:
        """Where the longest beginning of ``text`` ends whose tokens nothing later can change; 0: none is known.

        Args:
            text: begins at the text's beginning, or with a space in place of what is final already.
            start: where the last piece begins; what is before it has been looked at.
        """
        piece = text[start:]
        last = (self._remembered_last if len(piece) <= MEMO_LENGTH else self._last_boundary)(piece)
        if last > 1 or (last and not self._joins(text, start)):
            return start + last
        # white space that ended the piece before is final now
        if start > 1 and self.kinds[text[start - 1]] == SPACE != self.kinds[text[start]]:
            return 0 if self._joins(text, start - 1) else start
        return 0

    def _last_boundary(self, piece: str) -> int:
        """The last boundary in a piece of text that stands behind a letter, from 1 on; 0: it has none."""
        kinds, following = self.kinds, SPACE
        for i in range(len(piece) - 1, -1, -1):
            kind = kinds[piece[i]]
            # white space is final when more text follows: at the end of a text it is stripped
            if kind == SEPARATOR or (kind == SPACE and following != SPACE and not (i and self._joins(piece, i))):
                return i + 1
            following = kind
        return 0

    def _tokens(self, text: str) -> tuple[str, ...]:
        return tuple(self._spaced(text.lower() if self.lowercase else text).split())

    def _kind(self, character: str) -> int:
        if character.isspace():
            return SPACE
        if not self._separates(character):
            return INSIDE
        # a capital sigma is lower-cased by the letters around it, also across ":" and the like
        return INSIDE if self.lowercase and f"A{character}Σ".lower().endswith("ς") else SEPARATOR

    def _begun(self, piece: str) -> str | None:
        if not piece or piece[-1].isspace() or not self._plain(word := piece.removeprefix(" ")):
            return None
        return "" if word == piece else word.lower() if self.lowercase else word

    @abstractmethod
    def _spaced(self, text: str) -> str:
        """The text with white space between its tokens."""

    @abstractmethod
    def _plain(self, text: str) -> bool:
        """Whether the text, which is not empty, is one token, and so are several such texts put together."""

    def _separates(self, character: str) -> bool:
        """Whether no token, and no rule, reaches across the character, which is no white space."""
        return False

    def _joins(self, text: str, i: int) -> bool:
        """Whether ``text[i]``, the last of some white space, does not part the words before and after it."""
        return False


class _Remembered(dict):
    """A function of short texts, called once for each of the last few thousand."""

    def __init__(self, function):
        self.function = function

    def __missing__(self, text):
        value = self.function(text)
        if len(text) <= MEMO_LENGTH:
            if len(self) >= MEMO_TEXTS:
                self.clear()
            self[text] = value
        return value


class _WhiteSpace(Tokenization):
    name = "none"

    def _spaced(self, text):
        return text

    def _plain(self, text):
        return text.split() == [text]


class _Characters(Tokenization):
    name = "char"

    def _spaced(self, text):
        return " ".join(text)

    def _plain(self, text):
        return False

    def _separates(self, character):
        return True


class _Mteval13a(Tokenization):
    """mteval-v13a: symbols, and full stops and commas that do not stand between two digits, are tokens."""

    name = "13a"

    def _spaced(self, text):
        if text.strip().isalnum():  # one plain word: the most frequent case, several times as fast
            return text
        text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
        if "&" in text:
            for entity, meaning in (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")):
                text = text.replace(entity, meaning)
        if not ANY_DIGIT.search(text):
            return text.translate(_SPACED_PUNCTUATION)
        if ANY_SYMBOL.search(text):
            text = text.translate(_SPACED_SYMBOLS)
        return _split_western(f" {text} ")

    def _plain(self, text):
        return text.isalnum()

    def _separates(self, character):
        return character in SYMBOLS and character not in "&;<>"  # those may be part of <skipped> or an entity

    def _joins(self, text, i):
        return text[i] == "\n" and text[i - 1] in "->"  # the > of a <skipped>, which may stand behind a -


class _Chinese(Tokenization):
    """Each Chinese character is a token, the text between them is cut like 13a's."""

    name = "zh"
    strips_left = True
    ends_alike = False  # the last of "5." is split off when white space follows

    def _spaced(self, text):
        return _split_western(text.translate(_SPACED_CHINESE))

    def _plain(self, text):
        return text.isalnum() and not any(map(self._separates, text))

    def _separates(self, character):
        return character in SYMBOLS or _is_chinese(ord(character))


class _International(Tokenization):
    """mteval-v14: Unicode's symbols, and punctuation that does not stand between two numbers, are tokens."""

    name = "intl"
    ends_alike = False  # as in zh

    def __init__(self, lowercase=False):
        try:
            import regex  # the Unicode categories that sacrebleu uses: Python's own may be older
        except ImportError as error:
            raise ImportError("tokenize='intl' needs the package regex: pip install regex") from error
        self.symbol = regex.compile(r"\p{S}")
        self.rules = [
            (regex.compile(r"(\P{N})(\p{P})"), r"\1 \2 "),
            (regex.compile(r"(\p{P})(\P{N})"), r" \1 \2"),
            (self.symbol, r" \g<0> "),
        ]
        super().__init__(lowercase)

    def _spaced(self, text):
        if text.strip().isalpha():  # one plain word
            return text
        for pattern, replacement in self.rules:
            text = pattern.sub(replacement, text)
        return text

    def _plain(self, text):
        return text.isalpha()

    def _separates(self, character):
        return bool(self.symbol.match(character))


def _split_western(text: str) -> str:
    if "." in text or "," in text:
        for pattern, replacement in (AFTER_NO_DIGIT, BEFORE_NO_DIGIT):
            text = pattern.sub(replacement, text)
    if "-" in text:
        pattern, replacement = DASH_AFTER_DIGIT
        text = pattern.sub(replacement, text)
    return text


def _is_chinese(code: int) -> bool:
    return any(first <= code <= last for first, last in CHINESE)


class _SpacedChinese(dict):
    def __missing__(self, code):
        character = chr(code)
        self[code] = f" {character} " if _is_chinese(code) else character
        return self[code]


_SPACED_SYMBOLS = {ord(symbol): f" {symbol} " for symbol in SYMBOLS}
_SPACED_PUNCTUATION = _SPACED_SYMBOLS | {ord(mark): f" {mark} " for mark in ".,"}  # of a text without digits
_SPACED_CHINESE = _SpacedChinese(_SPACED_SYMBOLS)

TOKENIZATIONS = {kind.name: kind for kind in (_Mteval13a, _International, _Chinese, _Characters, _WhiteSpace)}


@cache  # 2 * len(TOKENIZATIONS) at most
def _made(name: str, lowercase: bool) -> Tokenization:
    return TOKENIZATIONS[name](lowercase)


def tokenization(name: str, lowercase: bool = False) -> Tokenization:
    """The tokenisation that sacrebleu calls ``name``; always the same object.

    Raises:
        ValueError: an unknown name.
        ImportError: ``"intl"`` without the package regex.
    """
    return _made(one_of("tokenization", name, TOKENIZATIONS), bool(lowercase))


class TokenStream:
    """The tokens of a growing text.

    Most pieces are plain words, or parts of them. What these do is known without looking at the tail again.
    """

    def __init__(self, tokenization: Tokenization):
        self.tokenization = tokenization
        self.tail = ""  # the committed text behind the last boundary, after one space unless it is the whole text
        self.in_word = True  # the tail is a plain word, which may go on, or blank
        self.open: tuple[str, ...] | None = ()  # the tail's tokens if a space comes next; None: look again

    def push(self, piece: str, provisional: str = "") -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Append a piece.

        Args:
            piece: what the committed text grew by.
            provisional: text that stands after it until the next push.

        Returns:
            final: further tokens that nothing can change any more.
            open: the tokens after them, until the next push. All the ``final`` so far and ``open`` together
                are the tokens of ``committed + provisional``.
        """
        begun, final = self.tokenization.begun[piece], self.open
        if begun and final is not None and not provisional:
            self.tail, self.in_word = piece, True
            self.open = open = (begun,)
            return final, open
        if begun == "" and self.in_word and not provisional:
            self.tail += piece
            word = self.tail.lstrip()
            self.open = open = (word.lower() if self.tokenization.lowercase else word,)
            return (), open
        return self._push(piece, provisional)

    def _push(self, piece: str, provisional: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        tokenization, text = self.tokenization, self.tail
        final = ()
        if piece:
            start = len(text)
            text += piece
            if tokenization.strips_left and not start:
                text = text.lstrip()
            boundary = tokenization.boundary(text, start)
            if boundary:
                known = boundary == start + 1 and self.open is not None and text[start].isspace()
                final = self.open if known else tokenization.tokens(text[:boundary])
                text = " " + text[boundary:]
            self.tail = text
        if text:
            open = tokenization.tokens((text + provisional).rstrip())
        else:
            open = tokenization.whole(provisional)
        self.in_word = not text.strip() or tokenization.begun[text] is not None
        known = self.in_word or (tokenization.ends_alike and not text[-1].isspace())
        self.open = open if known and not provisional else None
        return final, open
