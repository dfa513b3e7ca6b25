"""What can go wrong in a step, said in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from textgym.arrays import some
from textgym.errors import InvalidAction, ResetNeeded
from textgym.tokenizers import Vocabulary

if TYPE_CHECKING:
    from textgym.envs.state import TextGenState

_UINT64 = np.dtype(np.uint64)


def checked_action(action: Any, vocabulary: Vocabulary) -> np.int64:
    """One action; see :func:`checked_actions`."""
    if type(action) in (np.int64, int) and 0 <= action < vocabulary.size:  # nearly always
        return np.int64(action) if type(action) is int else action
    return checked_actions(action, (), vocabulary)[()]


def checked_actions(actions: Any, shape: tuple[int, ...], vocabulary: Vocabulary) -> np.ndarray:
    """``actions`` as int64 of ``shape``.

    Raises:
        InvalidAction: wrong shape or type, or an id that is not in 0 .. V - 1.
    """
    array = actions if type(actions) is np.ndarray else as_array(actions)
    if array.dtype.kind not in "iu" or array.shape != shape:
        wanted = f"integer token ids of shape {shape}" if shape else "one integer token id"
        raise InvalidAction(f"expected {wanted}, got {actions!r} (shape {array.shape}, dtype {array.dtype})")
    if array.dtype != np.int64:
        array = array.astype(np.int64)
    outside = array.view(_UINT64) >= vocabulary.limit  # a negative id becomes a huge one
    if some(outside):
        row = int(outside.argmax())
        where = f"row {row}: " if shape else ""
        raise InvalidAction(
            f"{where}action {int(array.flat[row])} is no token id; allowed: 0 .. {vocabulary.size - 1} "
            f"(EOS is {vocabulary.eos})"
        )
    return array


def as_array(actions: Any) -> np.ndarray:
    """``actions`` as an array, of objects where they are lists of different lengths."""
    try:
        return np.asarray(actions)
    except ValueError:
        return np.asarray(actions, object)


def reset_needed(state: TextGenState, rows: np.ndarray) -> ResetNeeded:
    """The error for a step while the reward has failed, or one of ``rows`` has no episode in progress."""
    if state.failure:
        return ResetNeeded(f"an earlier step failed ({state.failure}): reset all rows first")
    if not state.streams.begun[rows].all():
        return ResetNeeded(f"row {int(rows[~state.streams.begun[rows]][0])} has no episode: call reset before step")
    return ResetNeeded(f"row {int(rows[state.over[rows]][0])}: its episode has ended; reset it before the next step")


def illegal_action(state: TextGenState, row: int, action: int) -> InvalidAction:
    """The error for a token that the mask forbids."""
    token, legal = state.vocabulary.token, np.flatnonzero(state.action_mask(row)).tolist()
    shown = ", ".join(f"{i} ({token(i)})" for i in legal[:8]) + (f" and {len(legal) - 8} more" if legal[8:] else "")
    return InvalidAction(
        f"row {row}: token {action} ({token(action)}) is not legal after {state.text(row)!r}; legal: {shown}"
    )
