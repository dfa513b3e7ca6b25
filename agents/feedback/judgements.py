"""What can be said about a text, and which answers are none."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from numbers import Real
from typing import Any, ClassVar

from textgym.errors import one_of, whole_number

CHOICES = ("a", "b", "tie", "both_bad")
LABELS = ("good", "bad")
SPAN = ("start", "end", "label")
RATINGS = range(1, 6)  # 1 is the worst
LARGEST_ID = 2**63 - 1  # of SQLite


@dataclass(frozen=True)
class Text:
    """A text to be judged.

    Attributes:
        task: the id of its environment.
        prompt: may be empty.
        text: what was written, to the character.
        policy: the checkpoint that wrote it; "" where that is not known.
        seed: of the draws.
        score: the task's true score where it is known; it is never shown.
        id: in its store; None before it is in one.
    """

    task: str
    prompt: str
    text: str
    policy: str = ""
    seed: int | None = None
    score: float | None = None
    id: int | None = None

    def __post_init__(self):
        for name in ("task", "prompt", "text", "policy"):
            storable(name, getattr(self, name))
        if self.seed is not None:
            whole_number("seed", self.seed, -LARGEST_ID, LARGEST_ID)
        if self.score is not None:
            _number("score", self.score)

    @property
    def digest(self) -> str:
        """The same for the same task, prompt, text, policy and seed, in every store."""
        parts = [self.task, self.prompt, self.text, self.policy, self.seed]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Comparison:
    """Which of two texts for the same prompt is better.

    Attributes:
        a, b: ids of the texts.
        choice: the better one, ``"a"`` or ``"b"``, or ``"tie"``, or ``"both_bad"``.
        first: which of them was shown first, ``"a"`` or ``"b"``; None: not known.
    """

    kind: ClassVar[str] = "comparison"
    a: int
    b: int
    choice: str
    first: str | None = None

    def __post_init__(self):
        _text_ids(self.a, self.b)
        if self.a == self.b:
            raise ValueError(f"a comparison is of two texts, got text {self.a} twice")
        one_of("choice", self.choice, CHOICES)
        if self.first is not None:
            one_of("first", self.first, ("a", "b"))

    @property
    def texts(self) -> tuple[int, ...]:
        return self.a, self.b

    @property
    def ordered(self) -> Comparison:
        """The same said with a < b, as it is stored."""
        if self.a < self.b:
            return self
        other = {"a": "b", "b": "a"}
        return Comparison(self.b, self.a, other.get(self.choice, self.choice), other.get(self.first, self.first))


@dataclass(frozen=True)
class Rating:
    """How good a text is: 1 (bad) to 5 (good)."""

    kind: ClassVar[str] = "rating"
    text: int
    rating: int

    def __post_init__(self):
        _text_ids(self.text)
        whole_number("rating", self.rating, RATINGS[0], RATINGS[-1])

    @property
    def texts(self) -> tuple[int, ...]:
        return (self.text,)


@dataclass(frozen=True)
class Span:
    """The characters ``start .. end - 1`` of a text, counted in code points as Python does, and "good" or "bad"."""

    start: int
    end: int
    label: str

    def __post_init__(self):
        whole_number("start", self.start, 0, LARGEST_ID - 1)
        whole_number("end", self.end, self.start + 1, LARGEST_ID)
        one_of("label", self.label, LABELS)


@dataclass(frozen=True)
class Marks:
    """Spans of a text, none of which overlap, in their order; no spans: nothing is worth a mark."""

    kind: ClassVar[str] = "marks"
    text: int
    spans: tuple[Span, ...]

    def __post_init__(self):
        _text_ids(self.text)
        object.__setattr__(self, "spans", tuple(sorted(self.spans, key=lambda span: span.start)))
        for before, after in zip(self.spans, self.spans[1:], strict=False):
            if after.start < before.end:
                raise ValueError(f"spans must not overlap, got {before} and {after}")

    @property
    def texts(self) -> tuple[int, ...]:
        return (self.text,)


def read_spans(given: Any) -> tuple[Span, ...]:
    """Spans out of JSON: a list of objects with start, end and label.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(given, list) or not all(isinstance(s, dict) and s.keys() == set(SPAN) for s in given):
        raise ValueError(f"spans must be a list of objects with {', '.join(SPAN)}, got {given!r:.80}")
    return tuple(Span(**span) for span in given)


Answer = Comparison | Rating | Marks
KINDS: dict[str, type[Any]] = {each.kind: each for each in (Comparison, Rating, Marks)}


@dataclass(frozen=True)
class Judgement:
    """An answer as it was given.

    Attributes:
        answer: a :class:`Comparison`, :class:`Rating` or :class:`Marks`.
        annotator: who gave it.
        submission: made by the client, so that what is sent twice is kept once.
        page: version of the page it was given on; "" if it was none.
        seconds: from the text's being shown to the answer; None: not known.
        time: ISO 8601; None: now.
        id: in its store; None before it is in one.
    """

    answer: Answer
    annotator: str
    submission: str
    page: str = ""
    seconds: float | None = None
    time: str | None = None
    id: int | None = None

    def __post_init__(self):
        if not isinstance(self.answer, tuple(KINDS.values())):
            raise TypeError(f"an answer is a Comparison, Rating or Marks, got {type(self.answer).__name__}")
        for name, longest in (("annotator", 80), ("submission", 80), ("page", 80)):
            storable(name, getattr(self, name), longest)
        for name in ("annotator", "submission"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name} must not be empty")
        if self.seconds is not None and _number("seconds", self.seconds) < 0:
            raise ValueError(f"seconds must be at least 0, got {self.seconds!r}")
        if self.time is not None:
            storable("time", self.time, 80)


def now() -> str:
    """ISO 8601, UTC, to the millisecond."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def storable(name: str, given: Any, longest: int | None = None) -> str:
    """``given`` if it is a text that UTF-8 can say, of at most ``longest`` characters.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(given, str):
        raise ValueError(f"{name} must be a text, got {given!r}")
    if longest is not None and len(given) > longest:
        raise ValueError(f"{name} must have at most {longest} characters, got {len(given)}")
    try:
        given.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{name} has half of a surrogate pair at character {error.start}: it is no valid text"
        ) from None
    return given


def _number(name: str, given: Any) -> float:
    if not isinstance(given, Real) or isinstance(given, bool) or not math.isfinite(given):
        raise ValueError(f"{name} must be a finite number, got {given!r}")
    return float(given)


def _text_ids(*ids: Any) -> Sequence[int]:
    return [whole_number("the id of a text", id, 1, LARGEST_ID) for id in ids]
