"""Small examples on which contracts are tried, smaller ones first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from textgym.episode import Episode
from textgym.metrics import BatchMetric
from textgym.rewards import RewardFunction

EPISODES = (
    Episode("", ["a"]),
    Episode("none", []),
    Episode("two", ["ab", "b a"]),
    Episode("or nothing", ["", "aé"]),
    Episode("words", ["the cat sat", "a cat\nsat down."]),
    Episode("scripts", ["naïve 我爱 😀"]),
)
TEXTS = ("", "a", "é ", " a ", "  the the", "a, b!", "我 a😀")


class ContractError(AssertionError):
    """A metric or a reward breaks its contract. The message says how, and on which example."""


def check_name(kind: str, recipe: BatchMetric | RewardFunction) -> None:
    """Raise where it has none, or one that infos cannot have."""
    name = recipe.name
    if not isinstance(name, str) or not name or name.startswith("_"):
        raise ContractError(
            f"the {kind} {recipe!r} is called {name!r}: set its attribute name, which infos and reward terms are told "
            "under, to a text that does not begin with '_'"
        )


def close(a: float, b: float, tolerance: float = 1e-9) -> bool:
    """Equal to ``tolerance``, relatively above 1."""
    return abs(a - b) <= tolerance * max(1.0, abs(a), abs(b))


def shown(episode: Episode) -> str:
    """An episode for people."""
    meta = f", meta {dict(episode.meta)!r}" if episode.meta else ""
    return f"prompt {episode.prompt!r}, references {list(episode.references)!r}{meta}"


def texts_for(episode: Episode, others: Sequence[str] | None) -> list[str]:
    """Texts to answer an episode with: right, unfinished and wrong ones, or ``others``; short ones first."""
    if others is None:
        others = [*TEXTS, *episode.references]
        others += [changed for r in episode.references for changed in (r[: len(r) // 2], r[::-1], f"{r} {r[:3]}")]
    return sorted(set(others), key=lambda text: (len(text), text))


@dataclass(frozen=True)
class Writing:
    """A text that answers an episode, as a metric is told of it.

    Attributes:
        episode: what is answered.
        pushes: (piece, provisional), one after the other.
    """

    episode: Episode
    pushes: tuple[tuple[str, str], ...]

    @property
    def committed(self) -> list[str]:
        """The committed text after each push."""
        texts = [""]
        for piece, _ in self.pushes:
            texts.append(texts[-1] + piece)
        return texts[1:]

    @property
    def texts(self) -> list[str]:
        """The whole text after each push, with what is provisional then."""
        return [text + provisional for text, (_, provisional) in zip(self.committed, self.pushes, strict=True)]

    def smaller(self) -> Iterator[Writing]:
        """Shorter writings, for the smallest example."""
        pushes = self.pushes
        for i, (piece, provisional) in enumerate(pushes):
            before, after = pushes[:i], pushes[i + 1 :]
            yield Writing(self.episode, before + after)
            if after:
                yield Writing(self.episode, (*before, (piece + after[0][0], after[0][1]), *after[1:]))
            if piece:
                yield Writing(self.episode, (*before, (piece[: len(piece) // 2], provisional), *after))
                yield Writing(self.episode, (*before, (piece[1:], provisional), *after))
            if provisional:
                yield Writing(self.episode, (*before, (piece, ""), *after))
                yield Writing(self.episode, (*before, (piece, provisional[1:]), *after))

    def __str__(self) -> str:
        calls = [
            f"push({piece!r}, {open_text!r})" if open_text else f"push({piece!r})" for piece, open_text in self.pushes
        ]
        return ", ".join(calls)


def smallest(writing: Writing, fails: Callable[[Writing], bool], tries: int = 500) -> Writing:
    """A writing that fails and of which no smaller one does, or the best of ``tries``."""
    while True:
        for candidate in writing.smaller():
            tries -= 1
            if tries < 0:
                return writing
            if candidate.pushes and fails(candidate):
                writing = candidate
                break
        else:
            return writing


def in_pieces(text: str, rng: np.random.Generator) -> Iterator[tuple[tuple[str, str], ...]]:
    """Ways to push a text, nothing provisional: at once, by characters, at random places with empty pieces."""
    yield ((text, ""),)
    if 1 < len(text) < 100:
        yield tuple((character, "") for character in text)
    for _ in range(2):
        cuts = [0, *np.sort(rng.integers(0, len(text) + 1, 3)).tolist(), len(text)]
        yield tuple((text[a:b], "") for a, b in zip(cuts, cuts[1:], strict=False))


def with_provisional_end(text: str, rng: np.random.Generator) -> Iterator[tuple[tuple[str, str], ...]]:
    """Ways to push a text of which the end is provisional."""
    a, b = np.sort(rng.integers(0, len(text) + 1, 2)).tolist()
    yield ((text[:a], ""), (text[a:b], text[b:]))
    yield (("", text),)


def with_provisional_text(text: str, rng: np.random.Generator) -> Iterator[tuple[tuple[str, str], ...]]:
    """Ways to push a text with provisional text in between: guesses that come true or not, unfinished UTF-8."""
    guesses = ["a", " ", "�", "the c", text[:2], "\n"]
    pushes = [(character, guesses[rng.integers(len(guesses))] if rng.random() < 0.7 else "") for character in text[:30]]
    yield (*pushes, ("", ""))
    yield (("", text), (text[:1], text[1:]), (text[1:], ""))
    data, pushes, sent = text.encode(), [], ""
    for end in [*np.sort(rng.integers(0, len(data) + 1, 4)).tolist(), len(data)]:
        so_far = data[:end].decode("utf-8", "ignore")
        pushes.append((so_far[len(sent) :], "�" if len(so_far.encode()) < end else ""))
        sent = so_far
    yield tuple(pushes)
