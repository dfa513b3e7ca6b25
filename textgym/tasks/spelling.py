"""Spelling correction: windows of English text in which some characters were replaced at random."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np

from textgym.episode import Episode
from textgym.errors import one_of, whole_number
from textgym.metrics import EditDistance
from textgym.tasks.base import SPLITS
from textgym.tasks.corpora import overlap, prose
from textgym.tasks.dataset import DatasetTask
from textgym.tokenizers import make_vocabulary

_TRIES = 100


class Spelling(DatasetTask):
    """Correct the spelling of a few characters of English.

    ## Description
    Spelling correction as in Bahdanau et al. (2017), "An Actor-Critic Algorithm for Sequence Prediction": some
    characters of a short text are replaced at random, and the text is to be written as it was. Which characters
    are wrong, and what they were, has to be guessed from the others, so 1.0 is out of reach on average. The text
    is the prose of Python's language reference, which every Python carries
    (:func:`~textgym.tasks.corpora.prose`), in place of the paper's One Billion Word corpus.

    ## Prompt and reference
    The reference is a window of `length` characters of a paragraph that begins where a word begins. The prompt
    is the same window, in which every character was replaced, with probability `corruption` and independently of
    the others, by a character drawn uniformly from the alphabet: now and then by itself.
    `"the objeit"` -> `"the object"`. Training draws new corruption at every sample. Fixed episodes have the same
    corruption on every call. Their windows do not overlap within a split; training windows do.

    ## Action space
    `Discrete(V)`: the tokens of the vocabulary, by default the characters of the training text and EOS (V = 66
    on Python 3.11). All are legal.

    ## Observation space
    `Box(0, V, (prompt_length + budget,), int32)`: the prompt, right-aligned in `prompt_length` columns, then the
    tokens written; PAD = V in empty columns. With characters `prompt_length = length` and
    `budget = length + 1`, the same in all splits. Other vocabularies get one column more for each, enough for
    any window.

    ## Rewards
    The task's own score is the character accuracy `max(0, 1 - edit distance / length)`, in [0, 1]. Writing the
    prompt again scores about 0.71 at a corruption of 0.3 and 0.51 at 0.5.

    ## Starting state
    A window of the split, drawn uniformly with replacement.

    ## Episode end
    EOS, or the budget is spent.

    ## Arguments
    * `length` (10): characters of a window, from 2 to the longest paragraph. The paper has 10 and 30.
    * `corruption` (0.3): probability that a character is replaced, in [0, 1]. The paper has 0.3 and 0.5.
    * `lowercase` (True): write everything in small letters. A replaced character is then less often betrayed
      by its case, and there are 26 actions less to learn.
    * `split` ("train"), `tokenizer` ("character"), `budget` (None: as above), `lossy` (False): as for every task.

    ## Version history
    * v0: initial version.

    Attributes:
        overlap: share of the split's references that occur verbatim in the training text, in [0, 1] (for "train": 1).
            Short windows often do: they are common phrases.

    Raises:
        ValueError: an argument out of its range; a character vocabulary that lacks characters of the training text.
        RuntimeError: this Python carries no prose.
    """

    metric = EditDistance("character", "accuracy")
    optimum = None  # replaced characters cannot be known for sure

    def __init__(
        self,
        length: int = 10,
        corruption: float = 0.3,
        *,
        lowercase: bool = True,
        split: str = "train",
        tokenizer: Any = "character",
        budget: int | None = None,
        lossy: bool = False,
    ):
        one_of("split", split, SPLITS)
        self.lowercase = lowercase
        text = {name: self._paragraphs(name) for name in SPLITS}
        longest = min(max(map(len, paragraphs), default=0) for paragraphs in text.values())
        self.length = whole_number("length", length, 2, longest)  # so that no split is empty
        if not (isinstance(corruption, Real) and 0 <= corruption <= 1):
            raise ValueError(f"corruption must be a probability, from 0 to 1, got {corruption!r}")
        self.corruption = float(corruption)
        self.alphabet = "".join(sorted(set().union(*text["train"])))
        vocabulary = make_vocabulary(tokenizer, lambda: text["train"])
        self._by_character = vocabulary.kind == "character"
        if self._by_character:
            vocabulary.encode(self.alphabet)  # raises where a vocabulary given by the user lacks a character
        room = 0 if self._by_character else 1  # a token is at least a byte, after one token for the start of the text
        super().__init__(
            (Episode("", (window,)) for window in windows(text[split], self.length, every=split == "train")),
            vocabulary=vocabulary,
            prompt_length=self.length + room,
            budget=self.length + room + 1 if budget is None else budget,
            split=split,
            lossy=lossy,
        )

    def present(self, item, rng):
        for _ in range(_TRIES):
            prompt = self.corrupt(item.references[0], rng)
            if self._by_character or self.vocabulary.count(prompt) <= self.prompt_length:
                return Episode(prompt, item.references)
        raise ValueError(
            f"Spelling: the tokenizer ({self.vocabulary.kind}) needs over prompt_length={self.prompt_length} tokens "
            f"for {self.length} characters such as {prompt!r}: use one whose tokens are at least a byte long"
        )

    def corrupt(self, text: str, rng: np.random.Generator) -> str:
        """Replace each character, with probability ``corruption``, by one drawn uniformly from ``alphabet``."""
        if not self.corruption:
            return text
        alphabet, symbols = self.alphabet, len(self.alphabet)
        # one number says both whether and by which character: those below `symbols` are uniform there
        numbers = rng.random(len(text)) * (symbols / self.corruption)
        return "".join([alphabet[int(x)] if x < symbols else c for c, x in zip(text, numbers.tolist(), strict=True)])

    @cached_property
    def overlap(self) -> float:
        return overlap((item.references[0] for item in self.items), self._paragraphs("train"))

    def _paragraphs(self, split: str) -> list[str]:
        return [text.lower() if self.lowercase else text for text in prose().splits[split]]

    def _fingerprinted(self):
        yield from super()._fingerprinted()
        yield from map(self.episode, range(min(len(self), 100)))  # the corruption


def windows(paragraphs: Iterable[str], length: int, every: bool) -> Iterator[str]:
    """Windows of ``length`` characters that begin with a word: at every word, or at every word past the last window."""
    for text in paragraphs:
        free = 0
        for word in re.finditer(r"\S+", text):
            start = word.start()
            if start + length > len(text):
                break
            if every or start >= free:
                free = start + length
                yield text[start:free]
