"""Groups: the texts that were written for one prompt, waiting for each other; of size 1, whole texts.

Rows go on writing while others of their group still write; a group is used when all of it is there. Each token keeps
the log-probability with which it was drawn, so a text that was begun under an older policy is weighed as such.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from agents.transformer.batch import Batch
from agents.transformer.rollout import Rollout


class Groups:
    """Collects the texts of rollouts in an env with ``group_size``.

    Args:
        size: texts of a group.
    """

    def __init__(self, size: int):
        self.size = size
        self.open: dict[int, list[Batch]] = {}  # row -> the parts of the text that it is writing
        self.waiting: dict[int, list[Batch]] = {}  # episode_id -> whole texts

    def add(self, rollout: Rollout, batch: Batch) -> tuple[Batch, Tensor] | None:
        """The whole groups that are there now, and taken away.

        Args:
            batch: the tokens of the rollout.

        Returns:
            The tokens of their E texts, and the groups of these int64 (E,). None: no group is whole.
        """
        for i, (part, row) in enumerate(zip(split(batch), rollout.rows.tolist(), strict=True)):
            self.open.setdefault(row, []).append(part)
            if i < len(rollout.finished):  # those come first, in this order
                name = int(rollout.finished[i]["episode_id"])
                self.waiting.setdefault(name, []).append(joined(self.open.pop(row)))
        whole = [name for name, texts in self.waiting.items() if len(texts) == self.size]
        whole.sort(key=lambda name: name % (rollout.actions.shape[1] // self.size))  # by rows, see TextGenVectorEnv
        if not whole:
            return None
        texts = [(text, name) for name in whole for text in self.waiting.pop(name)]
        groups = torch.tensor([name for _, name in texts], device=batch.parts.device)
        return stacked([text for text, _ in texts]), groups

    def state_dict(self) -> dict[str, Any]:
        """The texts that are here, as dicts of tensors."""
        return {
            "open": {row: [columns_of(part) for part in parts] for row, parts in self.open.items()},
            "waiting": {name: [columns_of(text) for text in texts] for name, texts in self.waiting.items()},
        }

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on where :meth:`state_dict` was taken."""

        def text(columns: dict[str, Tensor | None]) -> Batch:
            return Batch(**{name: each if each is None else each.to(device) for name, each in columns.items()})

        self.open = {row: [text(part) for part in parts] for row, parts in state["open"].items()}
        self.waiting = {name: [text(each) for each in texts] for name, texts in state["waiting"].items()}


def columns_of(batch: Batch) -> dict[str, Tensor | None]:
    """The fields of a batch by name."""
    return {f.name: getattr(batch, f.name) for f in fields(Batch)}


def split(batch: Batch) -> list[Batch]:
    """One batch a part, of one window each."""
    sizes = batch.parts.bincount(minlength=len(batch.windows)).tolist()
    columns = columns_of(batch)
    del columns["windows"], columns["parts"]
    cut = {name: [None] * len(sizes) if each is None else each.split(sizes) for name, each in columns.items()}
    return [
        Batch(window[None], torch.zeros_like(cut["columns"][i]), **{name: each[i] for name, each in cut.items()})
        for i, window in enumerate(batch.windows)
    ]


def no_texts(batch: Batch) -> Batch:
    """A batch as ``batch``, of no tokens and no windows."""
    return Batch(**{name: each if each is None else each[:0] for name, each in columns_of(batch).items()})


def joined(parts: list[Batch]) -> Batch:
    """The parts of one text as one; the last window has all of it."""
    return _concatenated(
        parts, parts[-1].windows, torch.zeros(sum(len(part.parts) for part in parts), dtype=torch.long)
    )


def stacked(texts: list[Batch]) -> Batch:
    """Texts of one window each, as one batch."""
    sizes = torch.tensor([len(text.parts) for text in texts])
    return _concatenated(
        texts, torch.cat([text.windows for text in texts]), torch.arange(len(texts)).repeat_interleave(sizes)
    )


def _concatenated(batches: list[Batch], windows: Tensor, parts: Tensor) -> Batch:
    columns = {}
    for f in fields(Batch):
        if f.name not in ("windows", "parts"):
            each = [getattr(batch, f.name) for batch in batches]
            columns[f.name] = None if each[0] is None else torch.cat(each)
    return Batch(windows, parts.to(windows.device), **columns)
