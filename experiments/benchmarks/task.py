"""The task of the speed benchmarks: copy 63 characters of 127, so that V = 128 and the budget is 64."""

from __future__ import annotations

import numpy as np

from textgym.episode import Episode
from textgym.metrics import CharacterMatch
from textgym.tasks import DatasetTask
from textgym.tokenizers import make_vocabulary

ALPHABET = "".join(map(chr, range(33, 160)))


class CopyWide(DatasetTask):
    """Write the prompt again: one of ``items`` strings of ``length`` characters drawn from 127."""

    metric = CharacterMatch()

    def __init__(self, length: int = 63, items: int = 10_000, *, split="train", tokenizer="character", budget=None):
        draws = np.random.default_rng(0).integers(33, 160, (items, length), dtype=np.uint8)
        texts = [row.tobytes().decode("latin-1") for row in draws]
        super().__init__(
            [Episode(text, (text,)) for text in texts],
            vocabulary=make_vocabulary(tokenizer, lambda: [ALPHABET]),
            prompt_length=length,
            budget=budget or length + 1,
            split=split,
        )
