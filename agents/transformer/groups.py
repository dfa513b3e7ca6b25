"""Groups: the texts that were written for one prompt, waiting for each other.

Rows go on writing while others of their group still write; a group is used when all of it is there. Each token keeps
the log-probability with which it was drawn, so a text that was begun under an older policy is weighed as such.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from agents.transformer.rollout import Rollout
from agents.transformer.update import Batch, as_batch


class Groups:
    """Collects the texts of rollouts in an env with ``group_size``.

    Args:
        size: texts of a group.
        prompt_length: columns of the prompt.
    """

    def __init__(self, size: int, prompt_length: int):
        self.size, self.prompt_length = size, prompt_length
        self.open: dict[int, list[Batch]] = {}  # row -> the parts of the text that it is writing
        self.waiting: dict[int, list[tuple[Batch, float]]] = {}  # episode_id -> whole texts, and their returns

    def add(self, rollout: Rollout) -> tuple[Batch, Tensor, Tensor] | None:
        """The whole groups that are there now, and taken away.

        Returns:
            The tokens of their E texts; their returns float (E,) and groups int64 (E,). None: no group is whole.
        """
        zeros = torch.zeros_like(rollout.rewards)
        parts = split(as_batch(rollout, zeros, zeros, self.prompt_length))
        for i, (part, row) in enumerate(zip(parts, rollout.rows.tolist(), strict=True)):
            self.open.setdefault(row, []).append(part)
            if i < len(rollout.finished):  # those come first, in this order
                episode = rollout.finished[i]
                text = joined(self.open.pop(row))
                self.waiting.setdefault(int(episode["episode_id"]), []).append((text, episode["return"]))
        whole = [name for name, texts in self.waiting.items() if len(texts) == self.size]
        whole.sort(key=lambda name: name % (rollout.actions.shape[1] // self.size))  # by rows, see TextGenVectorEnv
        if not whole:
            return None
        texts = [(text, paid, name) for name in whole for text, paid in self.waiting.pop(name)]
        returns = torch.tensor([paid for _, paid, _ in texts], device=zeros.device)
        groups = torch.tensor([name for _, _, name in texts], device=zeros.device)
        return stacked([text for text, _, _ in texts]), returns, groups

    def state_dict(self) -> dict[str, Any]:
        """The texts that are here, as dicts of tensors."""
        whole = {name: [(columns_of(text), paid) for text, paid in texts] for name, texts in self.waiting.items()}
        return {
            "open": {row: [columns_of(part) for part in parts] for row, parts in self.open.items()},
            "waiting": whole,
        }

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on where :meth:`state_dict` was taken."""

        def text(columns: dict[str, Tensor | None]) -> Batch:
            return Batch(**{name: each if each is None else each.to(device) for name, each in columns.items()})

        self.open = {row: [text(part) for part in parts] for row, parts in state["open"].items()}
        self.waiting = {name: [(text(each), paid) for each, paid in texts] for name, texts in state["waiting"].items()}


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
