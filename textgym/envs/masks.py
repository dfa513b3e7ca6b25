"""Action masks: which tokens may come next. Several sources are combined by "and"."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from textgym.episode import Episode
from textgym.errors import call_checked, unknown, whole_number
from textgym.ngram import LanguageModel, NGramModel, PretrainedModel
from textgym.running import Recipe
from textgym.tasks import Task


class Mask(Recipe, ABC):
    """Says which tokens may come next.

    Attributes:
        everywhere: bool (V,), where the same tokens are legal at every place; else None.
    """

    everywhere: np.ndarray | None = None

    @abstractmethod
    def legal_tokens(self, tokens: np.ndarray, lengths: np.ndarray, episodes: Sequence[Episode]) -> np.ndarray:
        """A fresh bool (k, V).

        Args:
            tokens: int32 (k, prompt_length + budget), laid out as the observation.
            lengths: int64 (k,), tokens written so far.
            episodes: k episodes.
        """


class Fixed(Mask):
    """The same tokens are legal everywhere: those of the vocabulary, without the banned ones.

    Args:
        task: gives the vocabulary; its unused ids and its special tokens other than EOS are never legal.
        tokens: banned tokens, as ids or as they stand in the vocabulary. Banning EOS makes every text as
            long as the budget.
    """

    def __init__(self, task: Task, tokens: Sequence[int | str] = ()):
        vocabulary = task.vocabulary
        self.everywhere = vocabulary.legal.copy()
        by_name = (
            vocabulary.tokenizer.get_vocab(with_added_tokens=True) if any(isinstance(t, str) for t in tokens) else {}
        )
        for token in tokens:
            if isinstance(token, str) and token not in by_name:
                raise unknown("token to ban", token, by_name)
            index = by_name[token] if isinstance(token, str) else token
            self.everywhere[whole_number("a banned token id", index, 0, vocabulary.size - 1)] = False
        if not self.everywhere.any():
            raise ValueError("every token is banned")

    def legal_tokens(self, tokens, lengths, episodes):
        return np.repeat(self.everywhere[None], len(lengths), axis=0)


class Grammar(Mask):
    """The task's own ``legal_tokens``."""

    def __init__(self, task: Task):
        if type(task).legal_tokens is Task.legal_tokens:
            raise ValueError(f"mask 'task': {type(task).__name__} has no grammar (it does not define legal_tokens)")
        self.task = task

    def legal_tokens(self, tokens, lengths, episodes):
        legal = self.task.legal_tokens(tokens, lengths, episodes)
        return np.ones((len(lengths), self.task.vocabulary.size), bool) if legal is None else legal.copy()


class TopK(Mask):
    """The k most likely tokens of a language model that reads prompt and text.

    Args:
        task: gives the vocabulary, and the training references of the n-gram model.
        k: how many tokens are legal, 1 .. V. Ties beyond k are legal too.
        model: "ngram" (``order`` n, Laplace smoothing, trained on 2,000 references of the task's train
            split), the path of a ``transformers`` causal model on disk that has the task's token ids
            (read anew at every token: the cost grows with the text), or any object with
            ``log_probs(texts) -> (k, V)``, see :class:`~textgym.ngram.LanguageModel`.
        order: the n of the n-gram model.

    Raises:
        ValueError: k out of range; or an n-gram model whose train split cannot be made (see ``Task.with_split``).
    """

    def __init__(
        self,
        task: Task,
        k: int,
        model: str | LanguageModel = "ngram",
        order: int = 3,
    ):
        size = task.vocabulary.size
        self.k, self.start = whole_number("k of mask 'top_k'", k, 1, size), task.prompt_length
        self.reads_prompt = not isinstance(model, str) or model != "ngram"
        if model == "ngram":
            self.model = NGramModel.of_task(task.with_split("train"), order=order)
        else:
            self.model = PretrainedModel(model, task.vocabulary) if isinstance(model, str) else model
        self.pad = task.vocabulary.pad

    def legal_tokens(self, tokens, lengths, episodes):
        begin = 0 if self.reads_prompt else self.start
        texts = [row[begin:end] for row, end in zip(tokens, (self.start + lengths).tolist(), strict=True)]
        log_probs = self.model.log_probs([ids[ids != self.pad] for ids in texts])  # (k, V)
        return log_probs >= np.partition(log_probs, -self.k, axis=1)[:, -self.k, None]


class All(Mask):
    """What every one of ``masks`` allows."""

    def __init__(self, masks: Sequence[Mask]):
        self.masks = tuple(masks)
        if all(mask.everywhere is not None for mask in self.masks):
            self.everywhere = np.logical_and.reduce([mask.everywhere for mask in self.masks])

    def legal_tokens(self, tokens, lengths, episodes):
        legal = self.masks[0].legal_tokens(tokens, lengths, episodes)
        for mask in self.masks[1:]:
            legal &= mask.legal_tokens(tokens, lengths, episodes)
        return legal


MASKS = {"task": Grammar, "banned": Fixed, "top_k": TopK}


def make_mask(spec, task: Task) -> Mask | None:
    """The mask that a user or a JSON file asks for, with the vocabulary's own where it needs one.

    Args:
        spec: None; "task" (the task's grammar); ``{"name": "banned", "tokens": [...]}``;
            ``{"name": "top_k", "k": 20, ...}``; a :class:`Mask`; or a list of these.
        task: the task the mask is for.

    Returns:
        None where every token is legal.
    """
    specs = [] if spec is None else list(spec) if isinstance(spec, (list, tuple)) else [spec]
    masks = [_make_one(one, task) for one in specs]
    if not task.vocabulary.legal.all():
        masks.insert(0, Fixed(task))
    if not masks:
        return None
    return masks[0] if len(masks) == 1 else All(masks)


def _make_one(spec, task: Task) -> Mask:
    if isinstance(spec, Mask):
        return spec
    arguments = dict(spec) if isinstance(spec, Mapping) else {"name": spec}
    name = arguments.pop("name", None)
    if name not in MASKS:
        raise unknown("mask", name, MASKS)
    if "task" in arguments:
        raise TypeError(f"'task' of mask {name!r} is the environment's own")
    return call_checked(f"mask {name!r}", MASKS[name], {**arguments, "task": task})
