"""How a text is cut into words: at white space, or, where nothing stands between words, by a dictionary (jieba)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from textgym.errors import one_of
from textgym.running import Recipe

SEGMENTERS = ("whitespace", "jieba")


class WordCut(Recipe):
    """Cuts texts into words, and leaves out stop words.

    Args:
        segmenter: "whitespace": what stands between white space. "jieba": ``jieba.lcut``, whose words, white space and
            punctuation among them, make up the whole text.
        stop_words: words that are left out, compared as they are; or the path of a file of them, UTF-8, one a line.
        known: other words are cut into their characters. None: all words stay whole.

    Raises:
        ValueError, TypeError, FileNotFoundError: an argument that is not as above.
        ImportError: jieba is not installed.
    """

    def __init__(
        self,
        segmenter: str = "whitespace",
        stop_words: Iterable[str] | str | os.PathLike = (),
        known: Iterable[str] | None = None,
    ):
        self.segmenter = one_of("segmenter", segmenter, SEGMENTERS)
        self.stop_words = _read(stop_words)
        self.known = None if known is None else frozenset(known)
        if segmenter == "jieba":
            jieba_cut("segmenter='jieba'")

    def __call__(self, text: str) -> list[str]:
        """The words of a text."""
        words = text.split() if self.segmenter == "whitespace" else jieba_cut("segmenter='jieba'")(text)
        if self.stop_words:
            words = [word for word in words if word not in self.stop_words]
        if self.known is None or self.known.issuperset(words):
            return words
        return [piece for word in words for piece in ([word] if word in self.known else word)]

    def __repr__(self) -> str:
        return f"WordCut({self.segmenter!r}, {sorted(self.stop_words)})"


def jieba_cut(needed_by: str) -> Callable[[str], list[str]]:
    """``jieba.lcut``: the words of a text, which make it up without a gap. Its first call takes about a second.

    Raises:
        ImportError: jieba is not installed.
    """
    try:
        import jieba
    except ImportError as error:
        raise ImportError(f"{needed_by} needs jieba: pip install jieba") from error
    logger = logging.getLogger("jieba")
    if logger.level == logging.DEBUG:  # jieba's default: it reports on stderr that it loads its dictionary
        logger.setLevel(logging.INFO)
    return jieba.lcut


def _read(given: Iterable[str] | str | os.PathLike) -> frozenset[str]:
    allowed = "a list of words, or the path of a file, UTF-8, one word a line"
    if isinstance(given, (str, os.PathLike)):
        path = Path(given)
        if not path.is_file():
            raise FileNotFoundError(f"no file of stop words at {str(path)!r}. Allowed: {allowed}.")
        return frozenset(filter(None, map(str.strip, path.read_text("utf-8-sig").split("\n"))))
    words = list(given) if isinstance(given, Iterable) else [given]
    for word in words:
        if not isinstance(word, str):
            raise TypeError(f"stop_words are {allowed}; got {word!r}")
    return frozenset(words)
