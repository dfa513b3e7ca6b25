"""Training the members of an ensemble."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agents.descent import descend
from agents.reward_model.judged import Judged
from agents.reward_model.losses import comparison_loss, marks_loss, rating_loss
from agents.reward_model.network import ScoreNetwork


@dataclass(frozen=True)
class Fitting:
    """How a member is trained.

    Attributes:
        epochs: at most; each is as many draws of a judgement as there are.
        batch: judgements of a step.
        rate, weight_decay: of AdamW.
        prefix_weight: share of the loss that is about random prefixes; the rest is about whole texts.
        patience: epochs without a better loss on what the member did not draw, after which it stops.
    """

    epochs: int
    batch: int
    rate: float
    weight_decay: float
    prefix_weight: float
    patience: int = 4


def fit_member(
    network: ScoreNetwork,
    judged: Judged,
    items: np.ndarray,
    fitting: Fitting,
    seed: int,
    progress: Callable[[str], None] = lambda seen: None,
) -> None:
    """Train on a bootstrap sample of the judgements ``items``, keeping the weights of the epoch with the least loss on
    those that were not drawn (about 37 %).

    Args:
        items: int64, judgements of ``judged``, which see.
        seed: of bootstrap, order and prefixes.
        progress: is told after each of the ``epochs``, also those that are not needed any more.

    Raises:
        FloatingPointError: a loss that is no finite number.
    """
    rng, prefixes = np.random.default_rng([seed, 2]), torch.Generator().manual_seed(seed)
    drawn = rng.choice(items, len(items))
    rest = np.setdiff1d(items, drawn)
    optimizer = torch.optim.AdamW(network.parameters(), fitting.rate, weight_decay=fitting.weight_decay)
    best, kept, since = np.inf, None, 0
    for epoch in range(fitting.epochs):
        if since < fitting.patience:
            network.train()
            order = rng.permutation(drawn)
            for start in range(0, len(order), fitting.batch):
                loss = losses(network, judged, order[start : start + fitting.batch], fitting, prefixes).mean()
                descend(optimizer, network, loss, f"loss of the reward model in epoch {epoch}", max_norm=1.0)
            now, since = mean_loss(network, judged, rest, fitting), since + 1
            if not now >= best:
                best, kept, since = now, copy.deepcopy(network.state_dict()), 0
        progress(f"{best:.3f}")
    if kept is not None:
        network.load_state_dict(kept)
    network.eval()


@torch.no_grad()
def mean_loss(network: ScoreNetwork, judged: Judged, items: np.ndarray, fitting: Fitting) -> float:
    """Of judgements, about always the same prefixes; NaN of none."""
    network.eval()
    same = torch.Generator().manual_seed(0)
    parts = [losses(network, judged, items[i : i + 256], fitting, same) for i in range(0, len(items), 256)]
    return float(torch.cat(parts).mean()) if parts else float("nan")


def losses(
    network: ScoreNetwork, judged: Judged, items: np.ndarray, fitting: Fitting, generator: torch.Generator
) -> Tensor:
    """The loss of each of the judgements, those of comparisons first, then ratings, then marks."""
    items = torch.from_numpy(np.sort(items))
    compared, rated = len(judged.pairs), len(judged.pairs) + len(judged.rated)
    w = fitting.prefix_weight
    found = []
    if len(at := items[items < compared]):
        pairs = judged.pairs[at]
        whole, parts = _whole_and_prefix(network, judged, pairs, generator)
        outcomes = judged.outcomes[at].to(whole.device)
        found.append(
            (1 - w) * comparison_loss(whole[:, 0] - whole[:, 1], network.log_nu, outcomes)
            + w * comparison_loss(parts[:, 0] - parts[:, 1], network.log_nu, outcomes)
        )
    if len(at := items[(items >= compared) & (items < rated)] - compared):
        whole, parts = _whole_and_prefix(network, judged, judged.rated[at][:, None], generator)
        ratings = judged.ratings[at].to(whole.device)
        found.append((1 - w) * rating_loss(whole[:, 0], ratings) + w * rating_loss(parts[:, 0], ratings))
    if len(at := items[items >= rated] - rated):
        texts, signs = judged.marked[at], judged.signs[at]
        scores, there = prefix_scores(network, judged, texts)
        found.append(marks_loss(scores, network.log_nu_tokens, signs.to(scores.device), there.to(scores.device)))
    return torch.cat(found)


def score_at(network: ScoreNetwork, judged: Judged, texts: Tensor, sizes: Tensor) -> Tensor:
    """Scores (...) of the prefixes of ``sizes`` tokens, int64 (...), of ``texts`` int64 (...); longer than a text: all
    of it."""
    every, rows = texts.flatten().unique(return_inverse=True)
    sizes = torch.minimum(sizes, judged.lengths[texts])
    prompt_length = judged.windows.shape[1] - 1 - judged.signs.shape[1]
    device = network.score.weight.device
    placed = (each.to(device) for each in (judged.windows[every], rows.view_as(texts), prompt_length + sizes))
    return network(*placed)


def prefix_scores(network: ScoreNetwork, judged: Judged, texts: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (B, T + 1) of all prefixes of ``texts`` int64 (B,), and which of the T tokens there are, bool (B, T)."""
    sizes = torch.arange(judged.signs.shape[1] + 1)
    scores = score_at(network, judged, texts[:, None].expand(-1, len(sizes)), sizes.expand(len(texts), -1))
    return scores, sizes[:-1] < judged.lengths[texts][:, None]


def _whole_and_prefix(
    network: ScoreNetwork, judged: Judged, texts: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Scores (B, m) of the m texts of each judgement, int64 (B, m), whole, and cut to the same number of tokens."""
    lengths = judged.lengths[texts]
    longest = lengths.amax(1, keepdim=True)
    cut = 1 + (torch.rand(longest.shape, generator=generator) * longest).long()
    sizes = torch.stack([lengths, cut.expand_as(lengths)])  # (2, B, m)
    whole, parts = score_at(network, judged, texts.expand(2, -1, -1), sizes)
    return whole, parts
