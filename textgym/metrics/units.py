"""The units that texts are compared in: characters, or words."""

from __future__ import annotations

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


UNITS = {"character": Characters, "word": Words}
