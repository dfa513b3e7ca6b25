"""How functions are compiled, and the arrays that they work on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
from numba import njit

Arrays = TypeVar("Arrays", bound=NamedTuple)


inner = njit(error_model="numpy")  # decorator of what kernels call: compiled, and kept, with them


def kernel(function: Callable) -> Callable:
    """Decorator: compile a function when it is first called, and keep the result on disk.

    numba notices changes of a function's own file only: kernels call nothing compiled of other files. Tuples of arrays
    they get as plain ones, which numba unpacks faster than named ones, and take apart before loops begin: to take an
    array out of a tuple, or a row out of an array, costs more than what is done with it.
    """
    try:
        return njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # there is no folder that can be written to
        return inner(function)


def widened(arrays: Arrays, **widths: tuple[int, ...]) -> Arrays:
    """``arrays`` with those that are named, (n, ...), at least as wide as that; new room is zeros."""
    wider = {}
    for name, width in widths.items():
        array = getattr(arrays, name)
        shape = (len(array), *map(max, width, array.shape[1:]))
        if shape != array.shape:
            wider[name] = np.zeros(shape, array.dtype)
            wider[name][tuple(map(slice, array.shape))] = array
    return arrays._replace(**wider) if wider else arrays
