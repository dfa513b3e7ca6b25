"""Tasks over a fixed collection of items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np

from textgym.episode import Episode
from textgym.tasks.base import SPLITS, Task

_BATCH = 1000  # items that are encoded in one call


class DatasetTask(Task):
    """A task over a list of episodes.

    Items whose prompt, or whose references and EOS, do not fit, or have characters that the vocabulary lacks,
    are dropped here and counted in ``dropped``, never cut. The items are shuffled once, always in the same
    way, so that the first k fixed episodes are a fair sample. Training draws with replacement.

    Args:
        items: the episodes of the split.
        split, vocabulary, prompt_length, budget, lossy: as for every task.

    Raises:
        ValueError: no item is left, or the vocabulary cannot write a reference (see ``lossy``).
    """

    def __init__(self, items: Iterable[Episode], *, vocabulary, prompt_length, budget, split="train", lossy=False):
        super().__init__(vocabulary=vocabulary, prompt_length=prompt_length, budget=budget, split=split, lossy=lossy)
        kept = []
        items = iter(items)
        while some := list(islice(items, _BATCH)):
            for item, misfit in zip(some, self._misfits(some), strict=True):
                if misfit is None:
                    kept.append(item)
                else:
                    self.dropped[misfit] += 1
        if not kept:
            raise ValueError(
                f"{type(self).__name__}: split {split!r} is empty: of {sum(self.dropped.values())} items none fits "
                f"prompt_length={self.prompt_length} and budget={self.budget} tokens (dropped: {dict(self.dropped)})"
            )
        if vocabulary.kind not in ("character", "byte_bpe"):  # what these encode they decode unchanged
            self._check_round_trip(kept)
        order = np.random.default_rng(0).permutation(len(kept))
        self.items: tuple[Episode, ...] = tuple(kept[i] for i in order)

    def present(self, item: Episode, rng: np.random.Generator) -> Episode:
        """The episode made of an item; tasks that add noise to the prompt do it here."""
        return item

    def __len__(self):
        return len(self.items)

    def sample(self, rng):
        items = self.items
        return self.present(items[int(rng.random() * len(items))], rng)  # a fifth of the time of rng.integers

    def episode(self, index):
        if not 0 <= index < len(self.items):
            raise IndexError(f"episode index {index} is not in 0 .. {len(self.items) - 1} (split {self.split!r})")
        return self.present(self.items[index], np.random.default_rng([SPLITS.index(self.split), index]))

    def _fingerprinted(self):
        return self.items

    def _misfits(self, episodes: Sequence[Episode]) -> list[str | None]:
        """:meth:`_misfit` of each, at the cost of one call of the tokenizer."""
        texts = [text for episode in episodes for text in (episode.prompt, *episode.references)]
        try:
            counts = iter(self.vocabulary.encode_flat(texts)[1])
        except ValueError:  # see below: of one of them
            return list(map(self._misfit, episodes))
        return [self._too_long(list(islice(counts, 1 + len(episode.references)))) for episode in episodes]

    def _misfit(self, episode):
        try:
            return super()._misfit(episode)
        except ValueError:  # a character that the training text, and so the vocabulary, does not have
            return "not in the vocabulary"
