"""Which tokens are legal now, in each row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from textgym.arrays import some
from textgym.envs.masks import Mask
from textgym.episode import Episode
from textgym.running import RunningState


class Legality(RunningState):
    """What a mask says about n rows; in a row whose episode is over EOS stands alone, and every row has a legal token.

    A mask that is the same everywhere is one row, whatever n and V.
    """

    not_saved = frozenset({"mask", "everywhere", "only_eos"})

    def __init__(self, mask: Mask, n: int, size: int, eos: int):
        self.mask = mask
        self.everywhere = mask.everywhere  # bool (V,), or None: then ``rows`` is kept up to date
        if self.everywhere is not None and not self.everywhere.any():
            raise ValueError("every token is banned")
        self.only_eos = np.zeros(size, bool)
        self.only_eos[eos] = True
        self.rows = np.zeros((n if self.everywhere is None else 0, size), bool)

    def look_up(
        self, rows: np.ndarray, over: np.ndarray, tokens: np.ndarray, lengths: np.ndarray, episodes: Sequence[Episode]
    ) -> None:
        """Ask the mask about ``rows`` (k,). ``over``, ``tokens``, ``lengths``, ``episodes``: those of all rows."""
        if self.everywhere is not None:
            return
        self.rows[rows[over[rows]]] = self.only_eos
        rows = rows[~over[rows]]
        if len(rows):
            legal = self.mask.legal_tokens(tokens[rows], lengths[rows], [episodes[row] for row in rows.tolist()])
            stuck = ~legal.any(axis=1)
            if some(stuck):
                legal[stuck] = self.only_eos
            self.rows[rows] = legal

    def of(self, rows: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Whether ``actions`` (k,) are legal in ``rows`` (k,), whose episodes go on: bool (k,)."""
        return self.rows[rows, actions] if self.everywhere is None else self.everywhere[actions]

    def table(self, over: np.ndarray, dtype: type = bool) -> np.ndarray:
        """Fresh (n, V) of ``dtype``, bool or int8."""
        if self.everywhere is None:
            return self.rows.astype(dtype)
        table = np.repeat(self.everywhere.view(dtype)[None], len(over), axis=0)
        if some(over):
            table[over] = self.only_eos
        return table

    def row(self, row: int, over: np.ndarray, dtype: type = bool) -> np.ndarray:
        """One row of :meth:`table`."""
        if self.everywhere is None:
            return self.rows[row].astype(dtype)
        return (self.only_eos if over[row] else self.everywhere).astype(dtype)
