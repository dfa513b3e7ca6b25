"""Episode: what one text generation is about. Step: what happened to the rows in one step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from textgym.arrays import some
from textgym.running import Recipe

if TYPE_CHECKING:
    from textgym.streaming import TextStream
    from textgym.tokenizers import Vocabulary


@dataclass(frozen=True, slots=True, eq=True)
class Episode(Recipe):
    """One prompt and the texts that would be right.

    Attributes:
        prompt: the text the agent sees; may be empty.
        references: the texts that are right, any of them; may be empty (then metrics that compare with
            them are 0, error rates 1).
        meta: whatever else the task's score needs (hidden from the agent).
    """

    prompt: str = ""
    references: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        if not isinstance(self.prompt, str):
            raise TypeError(f"Episode.prompt is a text, got {self.prompt!r}; references come second: references=[...]")
        if type(self.references) is not tuple:
            if isinstance(self.references, str) or not isinstance(self.references, Iterable):
                raise TypeError(f"Episode.references is a sequence of strings, got {self.references!r}")
            object.__setattr__(self, "references", tuple(self.references))


_ALL = slice(None)


class Step:
    """One token appended to some rows, as metrics and rewards see it. k rows take part.

    Attributes:
        rows: int64 (k,), ascending: which rows of the environment; rows being autoreset are not among them.
        actions: int64 (k,), the token ids chosen.
        lengths: int64 (k,), tokens written so far, this one and EOS included, an illegal one not.
        finished: bool (k,), the token is EOS.
        ended: bool (k,), the episode of the row ends with this step.
        illegal: bool (k,), the mask forbade the token, which was not written; None without a mask.
        pieces: k strings, what the committed text grew by; None when nothing asked for text
            (``needs_text`` of the recipes is False).
        provisional: k strings, the text after the committed one that the next token may still change
            (unfinished UTF-8, an open run of byte tokens); "" at the end of an episode. None as above.
        at: what ``rows`` are in an index: ``array[step.at]`` are those of ``array`` (n, ...).
        whole: all rows of the environment take part, as arrays.
        scalar: see below.
        budget: tokens of the longest text, EOS included.

    The text so far is the concatenation of all pieces since the reset, plus ``provisional``. The arrays
    are the environment's: read them during the call, copy what you keep.

    A single environment calls states that say ``takes_scalars`` with ``actions``, ``lengths`` and ``ended`` as
    NumPy scalars, which are ten times as fast as arrays of one; ``array[step.at]`` is then one too.
    """

    # filled in as they become known
    lengths: np.ndarray | None = None
    ended: np.ndarray | None = None
    illegal: np.ndarray | None = None
    pieces: Sequence[str] | None = None
    provisional: Sequence[str] | None = None
    _ending: Step | None = None
    _windows: np.ndarray | None = None
    _texts: list[str] | None = None

    def __init__(
        self,
        rows: np.ndarray,
        actions: np.ndarray,
        episodes: Sequence[Episode],
        window: np.ndarray,
        vocabulary: Vocabulary,
        start: int = 0,
        whole: bool = False,
        scalar: bool = False,
    ):
        """``episodes`` and ``window`` are those of all rows of the environment. ``window``: int32 (n, start + budget),
        from column ``start`` on the tokens of the texts."""
        self.rows = rows
        self.at = 0 if scalar else _ALL if whole else rows
        self.actions = actions
        self.finished = vocabulary.ends[actions]
        self.whole = whole and not scalar
        self.scalar = scalar
        self.vocabulary = vocabulary
        self._episodes = episodes
        self.budget = window.shape[1] - start
        self._window = window
        self._start = start

    @property
    def episodes(self) -> list[Episode]:
        """The k episodes."""
        return [self._episodes[row] for row in self.rows.tolist()]

    @property
    def windows(self) -> np.ndarray:
        """int32 (k, prompt_length + budget), prompts and texts laid out as in the observation.

        One copy for all who ask, to be read only: the last observations are its rows.
        """
        if self._windows is None:
            self._windows = self._window.take(self.rows, 0)  # for few rows three times as fast as an index
        return self._windows

    @property
    def tokens(self) -> np.ndarray:
        """int32 (k, budget), the token ids written; of row i the first ``lengths[i]`` count. To be read only."""
        return self.windows[:, self._start :]

    @property
    def texts(self) -> list[str]:
        """The k whole texts so far, without EOS. Decoded anew in each step: a cost that grows with the text."""
        if self._texts is None:
            lengths = self.lengths.reshape(-1).tolist()
            self._texts = self.vocabulary.decode_rows(self.windows, lengths, self._start)
        return self._texts

    @property
    def ending(self) -> Step | None:
        """The rows whose episodes end with this step, as a step of their own; None where there are none."""
        if not self.some(self.ended):
            return None
        if self.scalar:
            return self
        if self._ending is None:
            at = self.ended.nonzero()[0]
            rows = at if self.whole else self.rows[at]
            last = Step(rows, self.actions[at], self._episodes, self._window, self.vocabulary, self._start)
            last.lengths, last.ended = self.lengths[at], self.ended[at]
            last.illegal = None if self.illegal is None else self.illegal[at]
            self._ending = last
        return self._ending

    def read(self, stream: TextStream) -> None:
        """Push the tokens to ``stream`` and fill in ``pieces`` and ``provisional``.

        What is provisional at the end of an episode becomes final; an illegal token adds no text.
        """
        actions = self.actions.reshape(1) if self.scalar else self.actions
        if self.illegal is None or not some(self.illegal):
            pieces, provisional = stream.push(self.rows, actions)
        else:
            pieces, provisional = [""] * len(self.rows), [""] * len(self.rows)
            legal = (~self.illegal).nonzero()[0]
            pushed = zip(legal.tolist(), *stream.push(self.rows[legal], actions[legal]), strict=True)
            for i, piece, open_text in pushed:
                pieces[i], provisional[i] = piece, open_text
        if self.some(self.ended):
            for i in np.flatnonzero(self.ended).tolist():
                if provisional[i]:
                    pieces[i], provisional[i] = pieces[i] + provisional[i], ""
        self.pieces, self.provisional = pieces, provisional

    def some(self, flags: np.ndarray) -> bool:
        """Whether any of ``flags`` (k,) is set."""
        return bool(flags) if self.scalar else some(flags)

    def take(self, array: np.ndarray) -> np.ndarray:
        """The rows of the step out of ``array`` (n, ...): (k, ...), to be read only; it may be ``array`` itself."""
        return array if self.whole else array[self.at]  # without a view of it

    def put(self, array: np.ndarray, values: np.ndarray) -> np.ndarray:
        """``array`` (n, ...) with ``values`` (k, ...) in the rows of the step.

        Never changes what an earlier call has returned: it is ``values`` itself, or a copy. Only a step of
        scalars writes into ``array``.
        """
        if self.whole:
            return values
        if self.scalar:
            array[0] = values
            return array
        array = array.copy()
        array[self.rows] = values
        return array
