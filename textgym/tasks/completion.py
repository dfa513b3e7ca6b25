"""Completion: the second half of an English sentence, given the first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from textgym.episode import Episode
from textgym.errors import one_of, whole_number
from textgym.metrics import EditDistance
from textgym.tasks.base import SPLITS
from textgym.tasks.corpora import overlap, prose
from textgym.tasks.dataset import DatasetTask
from textgym.tokenizers import make_vocabulary

_PROMPT_WORDS = 3  # the shortest prompt; references have as many words or one more
_BUDGET = 64


class Completion(DatasetTask):
    """Finish an English sentence.

    ## Description
    A sentence of Python's language reference (:func:`~textgym.tasks.corpora.prose`) is cut in the middle, and the
    rest is to be written. Many endings are sensible and one is the reference, so the score says how near a text
    is to what was written there, not how good it is; 1.0 is out of reach on average.

    ## Prompt and reference
    The prompt is the first half of a sentence's words, rounded down and at least 3; the reference is the rest
    WITH the space before it, so that prompt and reference together are the sentence.
    `"The return value must"` -> `" be a string object."`. Sentences have at least 6 words; no sentence occurs twice.

    ## Action space
    `Discrete(V)`: the tokens of the vocabulary, by default a byte-level BPE with V = 512 trained on the prose of
    the train split. All are legal.

    ## Observation space
    `Box(0, V, (prompt_length + budget,), int32)`: the prompt, right-aligned in `prompt_length` columns, then the
    tokens written; PAD = V in empty columns.

    ## Rewards
    The task's own score is the character accuracy `max(0, 1 - edit distance / length of the reference)`, in
    [0, 1]: 0 for an empty text.

    ## Starting state
    A sentence of the split, drawn uniformly with replacement.

    ## Episode end
    EOS, or the budget is spent.

    ## Arguments
    * `prompt_length` (64): tokens of the longest prompt. Sentences that do not fit are dropped and counted.
    * `budget` (None: 64): tokens of the longest text, EOS included.
    * `split` ("train"), `tokenizer` (byte_bpe of size 512), `lossy` (False): as for every task. With
      `tokenizer="character"` a column holds one character instead of about 2.3, and fewer sentences fit.

    ## Version history
    * v0: initial version.

    Attributes:
        overlap: share of the split's references that occur verbatim in the training text, in [0, 1] (for "train": 1).

    Raises:
        ValueError: an argument out of its range, or no sentence fits.
        RuntimeError: this Python carries no prose.
    """

    metric = EditDistance("character", "accuracy")
    optimum = None

    def __init__(
        self,
        prompt_length: int = 64,
        *,
        split: str = "train",
        tokenizer: Any = "byte_bpe",
        budget: int | None = None,
        lossy: bool = False,
    ):
        one_of("split", split, SPLITS)
        super().__init__(
            _items(split),
            vocabulary=make_vocabulary(tokenizer, lambda: prose().splits["train"]),
            prompt_length=whole_number("prompt_length", prompt_length, 1),
            budget=_BUDGET if budget is None else budget,
            split=split,
            lossy=lossy,
        )

    @cached_property
    def overlap(self) -> float:
        return overlap((item.references[0] for item in self.items), prose().splits["train"])


def _items(split: str) -> Iterator[Episode]:
    """The sentences of a split, cut; a sentence that several paragraphs have is in the first split that has it."""
    seen = set()
    for name in SPLITS:
        for paragraph in prose().splits[name]:
            for sentence in sentences(paragraph):
                words = sentence.split(" ")
                if sentence in seen or len(words) < 2 * _PROMPT_WORDS:
                    continue
                seen.add(sentence)
                if name == split:
                    prompt = " ".join(words[: len(words) // 2])
                    yield Episode(prompt, (sentence[len(prompt) :],))


# after a full stop, question or exclamation mark, perhaps in a quotation, before what can begin a sentence
_BOUNDARY = re.compile(
    r"(?<=[.!?])(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\betc\.)(?<!\bcf\.)(?<!\bvs\.)(?<!\b[A-Z]\.) (?=[A-Z\"'(])"
    r"|(?<=[.!?][\"')]) (?=[A-Z])"
)
_END = re.compile(r"[.!?][\"')]?$")


def sentences(paragraph: str) -> Iterator[str]:
    """The sentences of a paragraph: pieces that end like one, with parentheses and quotation marks in pairs."""
    for piece in _BOUNDARY.split(paragraph):
        if _END.search(piece) and piece.count('"') % 2 == 0 and piece.count("(") == piece.count(")"):
            yield piece
