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
        rows: int64 (k,), ascending: which rows of the environment; rows being autoreset are not among them.
        actions: int64 (k,), the token ids chosen.
        lengths: int64 (k,), tokens written so far, this one and EOS included, an illegal one not.
        ended: bool (k,), the episode of the row ends with this step.
        illegal: bool (k,), the mask forbade the token, which was not written; None without a mask.
        pieces: k strings, what the committed text grew by; None when nothing asked for text
            (``needs_text`` of the recipes is False).
        provisional: k strings, the text after the committed one that the next token may still change
            (unfinished UTF-8, an open run of byte tokens); "" at the end of an episode. None as above.

    The text so far is the concatenation of all pieces since the reset, plus ``provisional``. The arrays
    are the environment's: read them during the call, copy what you keep.

    A single environment calls states that say ``takes_scalars`` with ``actions``, ``lengths`` and ``ended`` as
    NumPy scalars, which are ten times as fast as arrays of one; :meth:`take` then gives scalars too.
    """

    __slots__ = (
        "rows",
        "actions",
        "lengths",
        "ended",
        "illegal",
        "pieces",
        "provisional",
        "whole",
        "scalar",
        "_episodes",
    )

    def __init__(
        self,
        rows: np.ndarray,
        actions: np.ndarray,
        episodes: Sequence[Episode],
        *,
        whole: bool = False,
        scalar: bool = False,
        lengths: np.ndarray | None = None,
        ended: np.ndarray | None = None,
        illegal: np.ndarray | None = None,
    ):
        """``episodes`` are those of all rows of the environment; ``whole``: all rows take part."""
        self.rows = rows
        self.actions = actions[0] if scalar else actions
        self.lengths = lengths
        self.ended = ended
        self.illegal = illegal
        self.pieces: Sequence[str] | None = None
        self.provisional: Sequence[str] | None = None
        self.whole = whole
        self.scalar = scalar
        self._episodes = episodes

    @property
    def episodes(self) -> list[Episode]:
        """The k episodes."""
        return [self._episodes[row] for row in self.rows.tolist()]

    def some(self, flags: np.ndarray) -> bool:
        """Whether any of ``flags`` (k,) is set."""
        return bool(flags) if self.scalar else np.count_nonzero(flags) > 0

    def take(self, array: np.ndarray) -> np.ndarray:
        """The rows of the step out of ``array`` (n, ...): (k, ...), to be read only."""
        if self.scalar:
            return array[0]
        return array if self.whole else array[self.rows]

    def put(self, array: np.ndarray, values: np.ndarray) -> np.ndarray:
        """``array`` (n, ...) with ``values`` (k, ...) in the rows of the step.

        Never changes what an earlier call has returned: it is ``values`` itself, or a copy. Only a step of
        scalars writes into ``array``.
        """
        if self.scalar:
            array[0] = values
            return array
        if self.whole:
            return values
        array = array.copy()
        array[self.rows] = values
        return array
