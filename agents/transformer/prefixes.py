"""Texts that begin with tokens of a reference, which the policy reads as if it had written them.

The environment just gets these tokens as actions. What is not learnt from them, or is, the trainer decides: see
:class:`~agents.transformer.batch.Batch`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

STREAM = 2  # of a row's seed; its episodes and its reward have others


class Prefixes(ABC):
    """For each row of a vector env the reference of its episode, and how many of its tokens the text begins with.

    Of several references one is drawn, by the seed of the row and the number of its episode: the rows of a group begin
    alike. Texts of episodes without references begin empty.

    Args:
        env: the vector env, which has been reset.
        device: of the tensors.

    Attributes:
        tokens: int64 (n, budget), reference and EOS, then PAD.
        sizes: int64 (n,), how many of them the text begins with.

    Raises:
        ValueError: no row has a reference.
    """

    def __init__(self, env, device: torch.device):
        self.env = env
        shape = (env.num_envs, env.budget)
        self.tokens = torch.full(shape, env.vocabulary.pad, dtype=torch.long, device=device)
        self.sizes = torch.zeros(env.num_envs, dtype=torch.long, device=device)
        if not any(episode.references for episode in env.episodes):
            raise ValueError(f"{type(env.task).__name__} has no references for texts to begin with")

    @abstractmethod
    def size(self, whole: int, rng: np.random.Generator) -> int:
        """How many tokens to begin with, of a reference of ``whole`` tokens with its EOS."""

    def begin(self, rows: np.ndarray) -> None:
        """New episodes have begun in ``rows`` int64 (k,)."""
        vocabulary, streams, episodes = self.env.vocabulary, self.env.state.streams, self.env.episodes
        tokens, sizes = np.full((len(rows), self.env.budget), vocabulary.pad), np.zeros(len(rows), np.int64)
        for i, row in enumerate(rows.tolist()):
            references = episodes[row].references
            if references:
                rng = np.random.default_rng([streams.seeds[row], streams.drawn[row], STREAM])
                reference = references[int(rng.random() * len(references))]
                ids = [*vocabulary.encode(reference), vocabulary.eos]
                tokens[i, : len(ids)], sizes[i] = ids, self.size(len(ids), rng)
        at = torch.from_numpy(rows).to(self.sizes.device)
        self.tokens[at] = torch.from_numpy(tokens).to(self.tokens.device)
        self.sizes[at] = torch.from_numpy(sizes).to(self.sizes.device)

    def next(self, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Which texts of ``lengths`` int64 (n,) are in their prefix still, bool (n,); its next tokens, int64 (n,)."""
        return lengths < self.sizes, self.tokens.gather(1, lengths[:, None]).squeeze(1)

    def state_dict(self) -> dict[str, Any]:
        return {"tokens": self.tokens.clone(), "sizes": self.sizes.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.tokens, self.sizes = (state[name].to(self.sizes.device) for name in ("tokens", "sizes"))


class RandomStarts(Prefixes):
    """Random start states: a share of the texts begins with 1 to all tokens of the reference but its EOS, each number
    equally likely (as episodes that begin on demonstrations: Salimans & Chen 2018; Nair et al. 2018).

    Args:
        share: of the texts; the others begin empty.
    """

    def __init__(self, env, device: torch.device, share: float):
        super().__init__(env, device)
        self.share = share

    def size(self, whole, rng):
        if rng.random() >= self.share:
            return 0
        return min(1 + int(rng.random() * (whole - 1)), whole - 1)


class Mixer(Prefixes):
    """MIXER's annealing (Ranzato et al. 2016, algorithm 1): the first s tokens are the reference's, and learnt by
    cross-entropy; the policy writes the others.

    s begins at the budget less ``step`` and falls by ``step`` until it is 0, in stages of the same number of updates.
    A text keeps the s that it began with. Cross-entropy is that of the behaviour distribution before truncation.

    Args:
        step: Delta, tokens by which s falls; the paper has 2 and 3.
        updates: of the whole run.
    """

    def __init__(self, env, device: torch.device, step: int, updates: int):
        super().__init__(env, device)
        self.step, self.updates, self.update = step, updates, 0

    @property
    def forced(self) -> int:
        """s, for the texts that begin now."""
        stages = -(-self.env.budget // self.step)
        stage = min(self.update * stages // self.updates, stages - 1)
        return max(0, self.env.budget - (stage + 1) * self.step)

    def size(self, whole, rng):
        return min(self.forced, whole)
