"""Exact metrics of many rows in one compiled call. Needs numba (``pip install "textgym[compiled]"``), never required.

Edit distance, optimistic edit distance, BLEU (13a, zh, char and none, not lower-cased) and chrF (without words). The
values are those of the Python code to the last bit. numba compiles a metric when its first text begins and keeps the
result on disk. The environment variable ``TEXTGYM_COMPILED=0``, set before an environment is made, switches it off.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import cache

FEW_ROWS = 8  # fewer are about as fast one by one in Python
FEW_CHARACTERS = 100  # finished texts that have fewer, too
_KERNELS = f"{__name__}.rows"


def pays(n: int) -> bool:
    """Whether n rows are followed by compiled code: numba can be imported, and TEXTGYM_COMPILED is not 0."""
    return n >= FEW_ROWS and not _switched_off() and _has_numba()


def pays_for(texts: Sequence[str]) -> bool:
    """Whether compiled code scores finished texts: only where it is in use already, since it takes a while to load."""
    return _KERNELS in sys.modules and not _switched_off() and sum(map(len, texts)) >= FEW_CHARACTERS


def _switched_off() -> bool:
    return os.environ.get("TEXTGYM_COMPILED") == "0"


@cache
def _has_numba() -> bool:
    try:
        import numba  # noqa: F401
    except ImportError:  # not installed, or not for this version of NumPy
        return False
    return True
