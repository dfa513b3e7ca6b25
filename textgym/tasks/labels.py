"""Tasks whose texts are labels: which tokens lead to some."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from textgym.running import Recipe
from textgym.tasks.generated import GeneratedTask
from textgym.tasks.grammar import LegalTokens


class LabelSequence(Recipe):
    """The grammar of texts that are n labels. Its states are (labels after the present one, beginning of that one).

    Args:
        labels: the labels, in which no separator stands.
        separator: the character between two labels; or "": each label is one character then.
    """

    def __init__(self, labels: Sequence[str], separator: str = " "):
        self.labels = tuple(labels)
        self.separator = separator
        self.beginnings = frozenset(label[:i] for label in labels for i in range(len(label) + 1))
        self.alphabet = separator + "".join(labels)

    def after(self, text: str, state: tuple[int, str] | None) -> tuple[int, str] | None:
        """The state after some more text, None where no n labels begin like this.

        Args:
            text: what is written.
            state: the one before it, (n - 1, "") at the beginning of n >= 1 labels.
        """
        for character in text:
            if state is None:
                return None
            left, begun = state
            if begun + character in self.beginnings:
                state = left, begun + character
            elif not left or begun not in self.labels:
                state = None
            elif self.separator:
                state = (left - 1, "") if character == self.separator else None
            else:
                state = (left - 1, character) if character in self.beginnings else None
        return state

    def complete(self, state: tuple[int, str] | None) -> bool:
        """Whether a text in this state is n labels."""
        return state is not None and not state[0] and state[1] in self.labels


class LabelTask(GeneratedTask):
    """A task whose right texts are labels, as many as the prompt asks for. Subclasses set ``grammar`` before they call
    ``super().__init__``, and give :meth:`count`."""

    grammar: LabelSequence

    @abstractmethod
    def count(self, prompt: str) -> int:
        """How many labels a prompt asks for."""

    def legal_tokens(self, tokens, lengths, episodes):
        """The tokens after which the text can still become as many labels as the prompt asks for; EOS where it is that.

        In a text that no token can mend, EOS alone. Where each label is a token, array code, which relies on what the
        mask ensures: every token in ``tokens`` was legal. Other vocabularies: each token's characters are walked once
        for every state of the grammar.

        Args:
            tokens: int32 (k, prompt_length + budget), prompts and texts laid out as in the observation.
            lengths: int64 (k,), tokens written so far.
            episodes: k episodes.

        Returns:
            bool (k, V), a fresh array.
        """
        counts = [self.count(episode.prompt) for episode in episodes]
        if self.vocabulary.kind == ("word" if self.grammar.separator else "character"):
            return self._label_or_end[(lengths >= np.array(counts, np.int64)).astype(np.int64)]
        texts = tokens[:, self.prompt_length :].tolist()
        rows = [self._row(n, ids[:end]) for n, ids, end in zip(counts, texts, lengths.tolist(), strict=True)]
        return np.array(rows, bool).reshape(len(rows), self.vocabulary.size)

    @cached_property
    def _label_or_end(self) -> np.ndarray:
        """bool (2, V): the labels, EOS."""
        table = np.zeros((2, self.vocabulary.size), bool)
        table[0, [self.vocabulary.encode(label)[0] for label in self.grammar.labels]] = True
        table[1, self.vocabulary.eos] = True
        return table

    def _row(self, n: int, ids: list[int]) -> np.ndarray:
        """The legal tokens after the tokens of a text that is to be n labels, bool (V,)."""
        grammar = self.grammar
        state = grammar.after(self.vocabulary.decode(ids), (n - 1, "") if n else None)
        return self._legal.after(
            ids, state, lambda text: grammar.after(text, state) is not None, complete=grammar.complete(state)
        )

    @cached_property
    def _legal(self) -> LegalTokens:
        return LegalTokens(self.vocabulary, self.grammar.alphabet)
