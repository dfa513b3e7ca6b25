"""English for the speed benchmarks: references of a given number of tokens, texts that are nearly right, and a task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from textgym.episode import Episode
from textgym.metrics import BLEU
from textgym.tasks import DatasetTask
from textgym.tasks.corpora import prose
from textgym.tokenizers import Vocabulary

NOISE = 0.35  # of the words of a text are not those of the reference


@lru_cache(maxsize=4)
def words(size: int = 8192) -> tuple[str, ...]:
    """The running words of the prose that Python carries; with a vocabulary of 128 characters, those it can write."""
    running = " ".join(prose().splits["train"]).split()
    if size != 128:
        return tuple(running)
    characters = set(vocabulary(size).tokenizer.get_vocab())
    return tuple(word for word in running if characters.issuperset(word))


@lru_cache(maxsize=4)
def vocabulary(size: int = 8192) -> Vocabulary:
    """Byte-level BPE of that prose; 128: its commonest 127 characters, and others to make up the number."""
    if size != 128:
        return Vocabulary.byte_bpe([" ".join(words())], size=size)
    common = [character for character, _ in Counter(" ".join(words())).most_common(127)]
    others = [chr(code) for code in range(33, 400) if chr(code) not in common]
    return Vocabulary.characters(["".join([*common, *others][:127])])


def pair(tokens: int, rng: np.random.Generator, size: int = 8192) -> tuple[str, list[int]]:
    """A reference of about ``tokens`` tokens, and the ids of a text with noise in its words, ``tokens`` of them."""
    known, encode = words(size), vocabulary(size).encode
    start = int(rng.integers(len(known) - 2 * tokens))
    right = known[start : start + 2 * tokens]
    reference = vocabulary(size).decode(encode(" ".join(right))[:tokens])
    noisy = [word if rng.random() > NOISE else known[int(rng.integers(len(known)))] for word in right]
    return reference, encode(" ".join(noisy))[:tokens].tolist()


class Rewrite(DatasetTask):
    """Write a passage of ``length`` tokens (the prompt is empty): what the environments of the benchmark do."""

    metric = BLEU()

    def __init__(self, length: int = 64, size: int = 8192, items: int = 200, *, split="train", budget=None):
        rng = np.random.default_rng(0)
        super().__init__(
            [Episode("", (pair(length, rng, size)[0],)) for _ in range(items)],
            vocabulary=vocabulary(size),
            prompt_length=1,
            budget=budget or length + 8,  # a passage cut anew may have a few tokens more
            split=split,
            lossy=True,
        )


def likely_actions(task: Rewrite, episodes: Sequence[Episode], rng: np.random.Generator) -> np.ndarray:
    """int64 (budget, n): the reference's ids, NOISE of them replaced by any id; EOS at the end."""
    n, v = len(episodes), task.vocabulary
    actions = np.full((task.budget, n), v.eos)
    for row, episode in enumerate(episodes):
        ids = v.encode(episode.references[0])[: task.budget - 1]
        actions[: len(ids), row] = ids
    other = rng.choice(np.flatnonzero(v.legal), actions.shape)
    return np.where((rng.random(actions.shape) < NOISE) & (actions != v.eos), other, actions)
