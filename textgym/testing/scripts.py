"""Rows of an environment in which given texts are written: the stage on which metrics and rewards are tried."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from textgym.envs.masks import make_mask
from textgym.envs.state import TextGenState
from textgym.episode import Episode
from textgym.metrics import CharacterMatch
from textgym.rewards import RewardFunction
from textgym.tasks import Task
from textgym.testing.examples import EPISODES, close, shown, texts_for
from textgym.tokenizers import Vocabulary


class ExampleTask(Task):
    """Given episodes, and texts that answer them; what the vocabulary cannot write is left out. None: one of bytes."""

    metric = CharacterMatch()

    def __init__(self, episodes: Sequence[Episode], texts: Sequence[str] | None, vocabulary: Vocabulary | None):
        if vocabulary is None:
            vocabulary = Vocabulary.byte_bpe([t for episode in episodes for t in texts_for(episode, texts)], size=300)
        self.episodes = [e for e in episodes if _can_write(vocabulary, e.prompt, *e.references)]
        self.texts = [[t for t in texts_for(e, texts) if _can_write(vocabulary, t)] for e in self.episodes]
        if not any(self.texts):
            raise ValueError("the vocabulary can write none of the episodes, or none of the texts: give others")
        longest = max(len(vocabulary.encode(text)) for each in self.texts for text in each)
        prompts = max(len(vocabulary.encode(episode.prompt)) for episode in self.episodes)
        super().__init__(vocabulary=vocabulary, prompt_length=prompts, budget=max(12, longest + 1))

    def __len__(self):
        return len(self.episodes)

    def sample(self, rng):
        return self.episodes[rng.integers(len(self.episodes))]

    def episode(self, index):
        return self.episodes[index]


def _can_write(vocabulary: Vocabulary, *texts: str) -> bool:
    try:
        return all(vocabulary.legal[ids].all() for ids in vocabulary.encode_all(texts))
    except ValueError:
        return False


@lru_cache(maxsize=1)
def default_task() -> Task:
    """The examples, written in bytes."""
    return ExampleTask(EPISODES, None, None)


@dataclass(frozen=True)
class Play:
    """One episode of a row: the tokens that are played, and how many steps the row waits before it begins."""

    episode: Episode
    tokens: tuple[int, ...]
    wait: int = 0
    seed: int = 0


Script = Sequence[Sequence[Play]]  # the plays of each row
Paid = list[list[list[float]]]  # [row][play][token]


def make_scripts(task: Task, forbidden: int | None = None) -> list[Script]:
    """Scripts of one row, of some that end at once, and of some that end and begin again at different times.

    Args:
        task: where the episodes come from: fixed ones, at most 6.
        forbidden: an illegal token with which every other play ends; no other place has it.
    """
    rng = np.random.default_rng(0)
    usual = [token for token in _usual_tokens(task.vocabulary) if token != forbidden]
    plays, noise = [], []
    for index in range(min(len(task), 6)):
        episode = task.episode(index)
        plays += [Play(episode, tokens, wait=int(rng.integers(3))) for tokens in _written(task, index, rng)]
        noise.append(Play(episode, (*rng.choice(usual, min(4, task.budget - 1)).tolist(), task.vocabulary.eos)))
    if task.budget < 65:
        plays.append(Play(episode, tuple(rng.choice(usual, task.budget).tolist())))  # no EOS: ends with the budget
    if forbidden is not None:
        plays = _with_illegal_ends([play for play in plays if forbidden not in play.tokens], forbidden)
        noise = _with_illegal_ends(noise, forbidden)
    some = [replace(plays[i], seed=i) for i in rng.permutation(len(plays))] or noise
    return [
        [noise[:1]],
        [[play] for play in noise[:3]],
        [some[row::3][:3] for row in range(min(3, len(some)))],
    ]


def _written(task: Task, index: int, rng: np.random.Generator, most: int = 16) -> list[tuple[int, ...]]:
    """The tokens of texts that answer a fixed episode, cut where they are long, and EOS."""
    texts = task.texts[index] if isinstance(task, ExampleTask) else ["", *task.episode(index).references]
    size = min(most, task.budget) - 1
    some = [task.vocabulary.encode(texts[i]).tolist() for i in rng.permutation(len(texts))[:3]]
    return [(*tokens[:size], task.vocabulary.eos) for tokens in some]


def _with_illegal_ends(plays: Sequence[Play], forbidden: int) -> list[Play]:
    """The last token of every other play is made an illegal one."""
    return [replace(p, tokens=(*p.tokens[:-1], forbidden)) if i % 2 else p for i, p in enumerate(plays)]


def _usual_tokens(vocabulary: Vocabulary) -> list[int]:
    return [token for token in np.flatnonzero(vocabulary.legal).tolist() if token != vocabulary.eos]


def forbidden_token(task: Task) -> int | None:
    """A token to forbid; None where the vocabulary has none to spare."""
    usual = _usual_tokens(task.vocabulary)
    return usual[-1] if len(usual) > 1 else None


class Stage:
    """A script played on the state machine of the environments, one step of all rows at a time.

    Attributes:
        paid: what each token was paid so far.
        at_end: what ``value_at_end`` said of the last step of each play.
    """

    def __init__(
        self,
        reward: RewardFunction,
        task: Task,
        script: Script,
        *,
        forbidden: int | None = None,
        scalar: bool = False,
        value_at_end: Callable[[Any], np.ndarray] | None = None,
    ):
        mask = None
        if not task.vocabulary.legal.all() or forbidden is not None:
            mask = make_mask({"name": "banned", "tokens": [] if forbidden is None else [forbidden]}, task)
        self.task, self.script, self.value_at_end = task, script, value_at_end
        self.state = TextGenState(len(script), task, reward, mask=mask, scalar=scalar)
        self.waits = [row[0].wait for row in script]
        self.play = [0] * len(script)  # which one is on
        self.paid: Paid = [[[] for _ in row] for row in script]
        self.at_end: list[list[float]] = [[] for _ in script]

    def run(self) -> Stage:
        """Play to the end."""
        while self.advance():
            pass
        return self

    def advance(self) -> bool:
        """One step; whether anything was left to do."""
        on_stage = [row for row, plays in enumerate(self.script) if self.play[row] < len(plays)]
        begin = [row for row in on_stage if self.state.over[row] and not self.waits[row]]
        for row in on_stage:
            self.waits[row] = max(0, self.waits[row] - 1)
        if begin:
            plays = [self.script[row][self.play[row]] for row in begin]
            for row, play in zip(begin, plays, strict=True):
                self.state.streams.seed(row, np.random.default_rng(play.seed))
            self.state.begin(np.array(begin), [play.episode for play in plays])
        rows = np.array([row for row in on_stage if not self.state.over[row]], np.int64)
        if len(rows):
            self._append(rows)
        return bool(on_stage)

    def _append(self, rows: np.ndarray) -> None:
        each = rows.tolist()
        tokens = [self.script[row][self.play[row]].tokens[len(self.paid[row][self.play[row]])] for row in each]
        actions = np.int64(tokens[0]) if self.state.scalar else np.array(tokens)
        rewards, _ = self.state.append(actions, None if len(each) == self.state.n else rows)
        for row, paid in zip(each, np.atleast_1d(rewards).tolist(), strict=True):
            self.paid[row][self.play[row]].append(paid)
            if self.state.over[row]:
                if self.value_at_end is not None:
                    self.at_end[row].append(float(self.value_at_end(self.state.last_step(np.array([row])))[0]))
                self.play[row] += 1
                if self.play[row] < len(self.script[row]):
                    self.waits[row] = self.script[row][self.play[row]].wait

    def save(self) -> dict[str, Any]:
        own = {name: copy.deepcopy(getattr(self, name)) for name in ("waits", "play", "paid", "at_end")}
        return {"state": self.state.get_state(), "own": own}

    def restore(self, saved: dict[str, Any]) -> Stage:
        self.state.set_state(saved["state"])
        vars(self).update(copy.deepcopy(saved["own"]))
        return self


def difference(script: Script, first: Paid, second: Paid, vocabulary: Vocabulary, tolerance: float) -> str | None:
    """Where two results of a script differ, in words; None where they do not."""
    for row, plays in enumerate(script):
        for play, a, b in zip(plays, first[row], second[row], strict=True):
            for t, (x, y) in enumerate(zip(a, b, strict=True)):
                if not close(x, y, tolerance):
                    text = vocabulary.decode(play.tokens[: t + 1])
                    return (
                        f"{x!r} and {y!r}, at token {t} of {[vocabulary.token(i) for i in play.tokens]}, "
                        f"text {text!r}, row {row} of {len(script)}\n  episode: {shown(play.episode)}"
                    )
    return None
