"""Index arithmetic on rows of different lengths."""

from __future__ import annotations

import numpy as np


def ragged_indices(starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """``starts[0], starts[0] + 1, ...`` (sizes[0] of them), then those of row 1, and so on.

    Args:
        starts: int64 (k,).
        sizes: int64 (k,), at least 0.

    Returns:
        int64 (sizes.sum(),).
    """
    ends = np.cumsum(sizes)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - sizes), sizes)
