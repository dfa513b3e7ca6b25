"""A grammar of reviews: it writes sentences that praise, blame or do neither, and tells which of these one does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from textgym.tasks.generated import pick

Polar = Mapping[int, Sequence[str]]  # 1: to praise, -1: to blame

# what a review is about -> the things it speaks of, and what these can be
TOPICS: dict[str, tuple[Sequence[str], Polar]] = {
    "film": (
        ("film", "plot", "cast", "music", "ending", "dialogue"),
        {1: ("gripping", "moving", "clever", "funny"), -1: ("dull", "slow", "silly", "predictable")},
    ),
    "hotel": (
        ("hotel", "room", "bed", "staff", "breakfast", "pool"),
        {1: ("clean", "quiet", "cosy", "comfortable"), -1: ("dirty", "noisy", "shabby", "cramped")},
    ),
    "restaurant": (
        ("restaurant", "soup", "dessert", "wine", "service", "menu"),
        {1: ("fresh", "tasty", "delicious", "generous"), -1: ("stale", "bland", "salty", "greasy")},
    ),
}
EVERYTHING: Polar = {1: ("good", "great", "excellent", "wonderful"), -1: ("bad", "poor", "awful", "terrible")}

# words that judge nothing, and words that do
SLOTS: dict[str, Sequence[str]] = {
    "thing": tuple(thing for things, _ in TOPICS.values() for thing in things),
    "degree": ("very", "really", "quite", "so"),
    "when": ("on monday", "on sunday", "in may", "in june", "last week", "last year"),
    "friend": ("friend", "sister", "brother", "neighbour"),
}
JUDGING: dict[str, Polar] = {
    "quality": {p: (*EVERYTHING[p], *(w for _, qualities in TOPICS.values() for w in qualities[p])) for p in (1, -1)},
    "felt": {1: ("loved", "enjoyed", "liked", "admired"), -1: ("hated", "disliked", "resented", "regretted")},
    "feel": {1: ("love", "enjoy", "like", "admire"), -1: ("hate", "dislike", "resent", "regret")},
    "compared": {1: ("better",), -1: ("worse",)},
    "amount": {1: ("more",), -1: ("less",)},
}

# clauses, by what they make of their word that judges: 1 leaves it, -1 turns it round, 0 says nothing of its own
PLAIN: dict[int, Sequence[str]] = {
    1: ("the {thing} was {quality}", "the {thing} was {degree} {quality}", "i {felt} the {thing}"),
    -1: ("the {thing} was not {quality}", "i did not {feel} the {thing}"),
}
CLAUSES: dict[int, Sequence[str]] = {
    1: PLAIN[1]
    + (
        "the {thing} was nothing but {quality}",
        "the {thing} was {compared} than i expected",
        "the {thing} could not have been {compared}",
        "everybody {felt} the {thing}",
    ),
    -1: PLAIN[-1]
    + (
        "the {thing} was anything but {quality}",
        "the {thing} was not {quality} at all",
        "the {thing} could have been {compared}",
        "i expected {amount} of the {thing}",
        "nobody {felt} the {thing}",
    ),
}
NEUTRAL: dict[int, Sequence[str]] = {
    0: (
        "we went there {when}",
        "a {friend} told us about the {thing}",
        "we chose it because of the {thing}",
        "people say the {thing} is {quality}",
    )
}
# two plain clauses of opposite polarity, and which of them decides
JOINED = (
    ("{first} but {second}", "second"),
    ("{first} although {second}", "first"),
    ("although {first} , {second}", "second"),
)
STOP = "."  # a word of its own, as all punctuation
_TURNED, _JOINED = 0.15, 0.25  # how often a clause turns its word round, and a second sentence has two clauses


def review(polarity: int, rng: np.random.Generator) -> tuple[str, str]:
    """Write three sentences of which more praise than blame (``polarity`` 1) or the other way round (-1).

    The first one does not help: it is neutral, or (one in four) of the other polarity. The second is cut in two at a
    word, drawn uniformly. No sentence stands there twice.

    Args:
        rng: draws it.

    Returns:
        The beginning, which ends with a space, and the rest.
    """
    topic = pick(rng, tuple(TOPICS))
    both = polarity, polarity
    if rng.random() < 0.25:
        first, (second, third) = -polarity, both
    else:
        first, (second, third) = 0, pick(rng, (both, both, (polarity, 0), (0, polarity)))
    sentences: list[str] = []
    for each, joined in zip((first, second, third), (0.0, _JOINED, 0.0), strict=True):
        new = sentence(each, topic, rng, joined)
        while new in sentences:
            new = sentence(each, topic, rng, joined)
        sentences.append(new)
    words = sentences[1].split()
    cut = 1 + int(rng.random() * (len(words) - 1))
    return (
        f"{sentences[0]} {STOP} {' '.join(words[:cut])} ",
        f"{' '.join(words[cut:])} {STOP} {sentences[2]} {STOP}",
    )


def sentence(polarity: int, topic: str, rng: np.random.Generator, joined: float = 0.0) -> str:
    """Write a sentence that praises (1), blames (-1) or does neither (0), without its full stop.

    Args:
        polarity: see above.
        topic: one of ``TOPICS``.
        rng: draws it.
        joined: the probability of two clauses; neutral sentences have one.
    """
    if not polarity:
        return pick(rng, NEUTRAL[0]).format_map(_Words(1 if rng.random() < 0.5 else -1, topic, rng))
    if rng.random() >= joined:
        return _clause(CLAUSES, polarity, topic, rng)
    template, decides = pick(rng, JOINED)
    signs = {"first": -polarity, "second": -polarity, decides: polarity}
    return template.format(**{place: _clause(PLAIN, sign, topic, rng) for place, sign in signs.items()})


def polarity_of(sentence: str) -> int | None:
    """1 where a sentence (words between single spaces, without its full stop) praises, -1 where it blames, 0 where it
    does neither, None where the grammar has no such sentence."""
    return _polarity_of(sentence) if len(sentence) <= _LONGEST else None


def words() -> list[str]:
    """Every word that reviews are made of, punctuation among them."""
    templates = [template for group in (CLAUSES, NEUTRAL) for sign in group for template in group[sign]]
    found = re.sub(r"\{\w+\}", "", " ".join([*templates, *(template for template, _ in JOINED), STOP])).split()
    for options in (*SLOTS.values(), *(polar[p] for polar in JUDGING.values() for p in polar)):
        found += " ".join(options).split()
    return list(dict.fromkeys(found))


class _Words(dict):
    """Slot -> a word for it, drawn when it is asked for."""

    def __init__(self, polarity: int, topic: str, rng: np.random.Generator):
        self.polarity, self.topic, self.rng = polarity, topic, rng

    def __missing__(self, slot: str) -> str:
        things, qualities = TOPICS[self.topic]
        if slot == "thing":
            options = things
        elif slot == "quality":
            options = (*EVERYTHING[self.polarity], *qualities[self.polarity])
        else:
            options = JUDGING[slot][self.polarity] if slot in JUDGING else SLOTS[slot]
        return pick(self.rng, options)


def _clause(templates: Polar, polarity: int, topic: str, rng: np.random.Generator) -> str:
    sign = -1 if rng.random() < _TURNED else 1
    return pick(rng, templates[sign]).format_map(_Words(sign * polarity, topic, rng))


# Reading

_LONGEST = 120  # characters: no sentence is longer, and no longer text is looked at
_POLARITY = {word: p for polar in JUDGING.values() for p in polar for word in polar[p]}


@lru_cache(maxsize=100_000)
def _polarity_of(sentence: str) -> int | None:
    polarity = _read(_CLAUSES, sentence)
    for pattern, decides in () if polarity is not None else _JOINTS:
        if match := pattern.fullmatch(sentence):
            both = {place: _read(_PLAIN, clause) for place, clause in match.groupdict().items()}
            if None not in both.values() and both["first"] == -both["second"]:
                polarity = both[decides]
    return polarity


def _read(patterns: Sequence[tuple[re.Pattern[str], int]], clause: str) -> int | None:
    for pattern, sign in patterns:
        if match := pattern.fullmatch(clause):
            return sign * _POLARITY[match["judges"]] if sign else 0
    return None


def _patterns(templates: Mapping[int, Sequence[str]]) -> list[tuple[re.Pattern[str], int]]:
    """Regular expressions of templates, and their signs; the word that judges is the group ``judges``."""

    def alternatives(slot: re.Match[str]) -> str:
        polar = JUDGING.get(slot[1])
        return f"(?:{'|'.join(SLOTS[slot[1]])})" if polar is None else f"(?P<judges>{'|'.join(polar[1] + polar[-1])})"

    every = ((template, sign) for sign in templates for template in templates[sign])
    return [(re.compile(re.sub(r"\{(\w+)\}", alternatives, template)), sign) for template, sign in every]


_PLAIN = _patterns(PLAIN)
_CLAUSES = _patterns(CLAUSES) + _patterns(NEUTRAL)
_JOINTS = [(re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>.*)", template)), decides) for template, decides in JOINED]
