"""Summaries of docstrings: their first line, given the rest."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from textgym.episode import Episode
from textgym.errors import one_of, whole_number
from textgym.metrics import EditDistance
from textgym.tasks.base import SPLITS
from textgym.tasks.corpora import docstrings, overlap
from textgym.tasks.dataset import DatasetTask
from textgym.tokenizers import make_vocabulary

_BUDGET = 48
_TOKENIZER = {"name": "byte_bpe", "size": 1024}
_FEWEST_WORDS = 3


class DocSummary(DatasetTask):
    """Write the summary of a docstring, given the rest of it.

    ## Description
    A docstring begins with one sentence that says what the thing is or does (PEP 257), and goes on with details.
    Here the details are given and the sentence is to be written. The docstrings are those of Python's standard
    library (:func:`~textgym.tasks.corpora.docstrings`), some 1,600 for training. The first task of an environment
    in a process takes 2 to 3 seconds, most of it to read them. Many summaries are good and one is the
    reference, so 1.0 is out of reach on average.

    ## Prompt and reference
    The prompt is the body of a docstring with white space, line breaks included, as single spaces; the reference
    is its summary, a sentence of at least 3 words.
    `"If user or $HOME is unknown, do nothing."` -> `"Expand ~ and ~user constructs."`

    ## Action space
    `Discrete(V)`: the tokens of the vocabulary, by default a byte-level BPE with V = 1024 trained on prompts and
    references of the train split. All are legal.

    ## Observation space
    `Box(0, V, (prompt_length + budget,), int32)`: the prompt, right-aligned in `prompt_length` columns, then the
    tokens written; PAD = V in empty columns.

    ## Rewards
    The task's own score is the word accuracy `max(0, 1 - edit distance in words / words of the reference)`, in
    [0, 1]. An empty text scores 0; the prompt's first eight words 0.02, another docstring's summary 0.03, the first
    half of the right one 0.47. (In characters the first two would score 0.16: letters agree by chance.)

    ## Starting state
    A docstring of the split, drawn uniformly with replacement.

    ## Episode end
    EOS, or the budget is spent.

    ## Arguments
    * `prompt_length` (192): tokens of the longest prompt. Docstrings that do not fit are dropped and counted.
    * `budget` (None: 48): tokens of the longest text, EOS included.
    * `split` ("train"), `tokenizer` (byte_bpe of size 1024), `lossy` (False): as for every task.

    ## Version history
    * v0: initial version.

    Attributes:
        overlap: share of the split's references that occur verbatim in a training text, in [0, 1] (for "train": 1).

    Raises:
        ValueError: an argument out of its range, or no docstring fits.
        RuntimeError: this Python is installed without source files.
    """

    metric = EditDistance("word", "accuracy")
    optimum = None

    def __init__(
        self,
        prompt_length: int = 192,
        *,
        split: str = "train",
        tokenizer: Any = _TOKENIZER,
        budget: int | None = None,
        lossy: bool = False,
    ):
        one_of("split", split, SPLITS)
        super().__init__(
            _items(split),
            vocabulary=make_vocabulary(tokenizer, _training_texts),
            prompt_length=whole_number("prompt_length", prompt_length, 1),
            budget=_BUDGET if budget is None else budget,
            split=split,
            lossy=lossy,
        )

    @cached_property
    def overlap(self) -> float:
        return overlap((item.references[0] for item in self.items), _training_texts())


def _items(split: str) -> Iterator[Episode]:
    for docstring in docstrings().splits[split]:
        summary = docstring.summary
        if docstring.body and summary.endswith(".") and len(summary.split()) >= _FEWEST_WORDS:
            yield Episode(" ".join(docstring.body.split()), (summary,))


def _training_texts() -> list[str]:
    return [text for item in _items("train") for text in (item.prompt, *item.references)]
