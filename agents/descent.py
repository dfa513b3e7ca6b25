"""One step down the gradient of a loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def descend(optimizer: torch.optim.Optimizer, network: nn.Module, loss: Tensor, where: str, max_norm: float) -> float:
    """A step of ``optimizer``; the loss as a number.

    Args:
        loss: (), of ``network``.
        where: what loss it is, and when: for the message.
        max_norm: to which the gradient is clipped.

    Raises:
        FloatingPointError: the loss is no finite number. Nothing has changed.
    """
    if not torch.isfinite(loss):
        raise FloatingPointError(f"the {where} is {float(loss)}")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), max_norm)
    optimizer.step()
    return loss.item()
