"""From a grammar of characters to the tokens that may come next, in any vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property

import numpy as np

from textgym.running import Recipe
from textgym.streaming import Whole
from textgym.tokenizers import Vocabulary

_CACHED_BYTES = 64_000_000  # for the states of a grammar, one bool (V,) each


class LegalTokens(Recipe):
    """The tokens that a grammar allows, worked out once for each of its states.

    Args:
        vocabulary: what the texts are written in.
        alphabet: the characters that the grammar ever allows.
    """

    def __init__(self, vocabulary: Vocabulary, alphabet: str):
        self.vocabulary = vocabulary
        self.alphabet = frozenset(alphabet)
        self._rows: dict[tuple, np.ndarray] = {}

    def after(self, ids: list[int], state: Hashable, allows: Callable[[str], bool], complete: bool) -> np.ndarray:
        """Which tokens may follow, bool (V,), read-only; where none may, EOS alone.

        Args:
            ids: the text so far.
            state: all that ``allows`` depends on.
            allows: whether the grammar goes on with these characters after the text so far.
            complete: the text may end here.
        """
        vocabulary = self.vocabulary
        # what a token adds depends on the one before it, if on anything (spaces); with decoders of no known form on all
        before = ids if isinstance(vocabulary.decoding, Whole) else ids[-1:]
        key = (state, complete, *before)
        if key not in self._rows:
            if len(self._rows) * vocabulary.size > _CACHED_BYTES:
                self._rows.clear()
            legal = np.zeros(vocabulary.size, bool)
            text = vocabulary.decode(before)
            for id in self._candidates:
                longer = vocabulary.decode([*before, id])
                legal[id] = longer.startswith(text) and allows(longer[len(text) :])
            legal[vocabulary.eos] = complete or not legal.any()
            legal.flags.writeable = False
            self._rows[key] = legal
        return self._rows[key]

    @cached_property
    def _candidates(self) -> list[int]:
        """The ids that may add nothing but the alphabet, at the beginning of a text or after another token."""
        decode = self.vocabulary.decode
        ids = [id for id in np.flatnonzero(self.vocabulary.legal).tolist() if id != self.vocabulary.eos]
        other = next(id for id in ids if decode([id]))
        skip = len(decode([other]))
        texts = ((decode([id]), decode([other, id])[skip:]) for id in ids)
        return [id for id, both in zip(ids, texts, strict=True) if any(set(t.strip()) <= self.alphabet for t in both)]
