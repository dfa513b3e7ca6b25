"""The units that texts are compared in: characters, or words."""

from __future__ import annotations

import re
from collections.abc import Sequence


class Characters:
    """The characters of a growing text."""

    def push(self, piece: str, provisional: str) -> tuple[Sequence[str], Sequence[str]]:
        """(the units that are settled by ``piece``, those after them that may still change)."""
        return piece, provisional

    split = staticmethod(tuple)


class Words:
    """The words of a growing text, as ``str.split`` finds them. The last one may be unfinished: it is not settled."""

    def __init__(self):
        self.last = ""  # the committed characters after the last white space

    def push(self, piece: str, provisional: str) -> tuple[Sequence[str], Sequence[str]]:
        """(the units that are settled by ``piece``, those after them that may still change)."""
        settled = []
        if piece:
            settled = (self.last + piece).split()
            self.last = "" if piece[-1].isspace() else settled.pop()
        return settled, (self.last + provisional).split()

    split = staticmethod(str.split)


class Mixed:
    """The words of a growing text in which every Chinese character is one by itself, as CMRC 2018 segments answers.

    Chinese characters are U+4E00 .. U+9FA5; the others are cut at white space. The last word is not settled unless it
    is a Chinese character.
    """

    _UNIT = re.compile(r"[\u4e00-\u9fa5]|[^\s\u4e00-\u9fa5]+")

    def __init__(self):
        self.last = ""  # the committed characters of a word that may go on

    def push(self, piece: str, provisional: str) -> tuple[Sequence[str], Sequence[str]]:
        """(the units that are settled by ``piece``, those after them that may still change)."""
        settled = []
        if piece:
            settled = self.split(self.last + piece)
            goes_on = not (piece[-1].isspace() or "\u4e00" <= piece[-1] <= "\u9fa5")
            self.last = settled.pop() if goes_on else ""
        return settled, self.split(self.last + provisional)

    split = staticmethod(_UNIT.findall)


UNITS = {"character": Characters, "word": Words}
