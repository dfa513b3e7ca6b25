"""Episode: what one text generation is about. Step: what happened to the rows in one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from textgym.running import Recipe


@dataclass(frozen=True, slots=True, eq=True)
class Episode(Recipe):
    """One prompt and the texts that would be right.

    Attributes:
        prompt: the text the agent sees; may be empty.
        references: the texts that are right, any of them; may be empty (then every metric that
            compares with references is 0).
        meta: whatever else the task's score needs (hidden from the agent).
    """

    prompt: str = ""
    references: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        if isinstance(self.references, str):
            raise TypeError(f"Episode.references is a sequence of strings, got the string {self.references!r}")
        if type(self.references) is not tuple:
            object.__setattr__(self, "references", tuple(self.references))


class Step:
    """One token appended to some rows, as metrics and rewards see it. k rows take part.

    Attributes:
        rows: int64 (k,), which rows of the environment; rows being autoreset are not among them.
        actions: int64 (k,), the token ids chosen.
        lengths: int64 (k,), tokens written so far, this one and EOS included, an illegal one not.
        ended: bool (k,), the episode of the row ends with this step.
        illegal: bool (k,), the mask forbade the token, which was not written; None without a mask.
        episodes: k episodes.
        pieces: k strings, what the committed text grew by; None when nothing asked for text
            (``needs_text`` of the recipes is False).
        provisional: k strings, the text after the committed one that the next token may still change
            (unfinished UTF-8, an open run of byte tokens); "" at the end of an episode. None as above.

    The text so far is the concatenation of all pieces since the reset, plus ``provisional``.
    """

    __slots__ = ("rows", "actions", "lengths", "ended", "illegal", "episodes", "pieces", "provisional")

    def __init__(
        self,
        rows: np.ndarray,
        actions: np.ndarray,
        lengths: np.ndarray,
        ended: np.ndarray,
        illegal: np.ndarray | None,
        episodes: Sequence[Episode],
        pieces: Sequence[str] | None = None,
        provisional: Sequence[str] | None = None,
    ):
        self.rows = rows
        self.actions = actions
        self.lengths = lengths
        self.ended = ended
        self.illegal = illegal
        self.episodes = episodes
        self.pieces = pieces
        self.provisional = provisional
