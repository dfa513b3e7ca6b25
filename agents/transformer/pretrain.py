"""Maximum likelihood on a task's references: teacher forcing, one forward for all tokens of a batch of texts.

Objectives: "causal", the likelihood of each token of a reference after prompt and reference so far, which is what the
policy is asked for; "masked", that of some tokens of prompt and reference where others have been replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from agents.descent import descend
from agents.transformer.policy import Policy, windows
from agents.transformer.schedules import learning_rate
from textgym.arrays import put_ragged
from textgym.errors import one_of
from textgym.tasks import Task

OBJECTIVES = ("causal", "masked")


def reference_windows(task: Task, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
    """``count`` texts of the task's split: windows int64 (count, C) with a reference and EOS written, and how many
    tokens each has, int64 (count,). Of several references one is drawn; episodes without any are passed over.

    Raises:
        ValueError: of 100 episodes none has a reference.
    """
    prompts, references, empty = [], [], 0
    while len(references) < count:
        episode = task.sample(rng)
        if episode.references:
            prompts.append(episode.prompt)
            references.append(episode.references[int(rng.random() * len(episode.references))])
        elif (empty := empty + 1) >= 100 and not references:
            raise ValueError(f"{type(task).__name__} has no references to learn from")
    vocabulary = task.vocabulary
    rows = np.full((count, task.prompt_length + task.budget), vocabulary.pad, np.int64)
    put_ragged(rows, range(count), *vocabulary.encode_flat(prompts), fill=vocabulary.pad, end=task.prompt_length)
    text = np.full((count, task.budget), vocabulary.pad, np.int64)
    ids, sizes = vocabulary.encode_flat(references)
    put_ragged(text, range(count), ids, sizes, fill=vocabulary.pad)
    text[np.arange(count), sizes] = vocabulary.eos
    rows[:, task.prompt_length :] = text
    return windows(torch.from_numpy(rows), vocabulary.pad), torch.tensor(sizes) + 1


def reference_batches(
    task: Task, rng: np.random.Generator, count: int, together: int = 16
) -> Iterator[tuple[Tensor, Tensor]]:
    """:func:`reference_windows` without end, ``count`` at a time. Of each ``together`` batches, those texts stand in
    one that are of like length with their prompts: little is spent on padding, and every text weighs about the same."""
    while True:
        tokens, lengths = reference_windows(task, rng, count * together)
        sizes = (tokens != task.vocabulary.pad).sum(1)
        order = (sizes + torch.from_numpy(rng.random(len(sizes)))).argsort().view(together, count)
        for i in rng.permutation(together).tolist():
            yield tokens[order[i]], lengths[order[i]]


def likelihood_loss(policy: Policy, tokens: Tensor, lengths: Tensor, prompt_length: int) -> Tensor:
    """Mean negative log-likelihood, in nats, of the text tokens of windows (B, C), ``lengths`` (B,) each."""
    rows, columns = text_columns(tokens, lengths, prompt_length)
    with policy.autocast():
        logits, _ = policy.heads(policy.outputs(tokens, rows, columns))
    return F.cross_entropy(logits.float(), tokens[rows, columns + 1])


def text_columns(tokens: Tensor, lengths: Tensor, prompt_length: int) -> tuple[Tensor, Tensor]:
    """Rows and columns, int64 (m,), whose outputs choose the ``lengths`` (B,) text tokens of windows (B, C)."""
    columns = torch.arange(tokens.shape[1], device=tokens.device)
    chosen = (columns >= prompt_length) & (columns < prompt_length + lengths[:, None])  # (B, C)
    return chosen.nonzero(as_tuple=True)


def masked_loss(policy: Policy, tokens: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Mean negative log-likelihood, in nats, of tokens of windows (B, C) that are replaced with ``probability``, in
    prompt and text alike.

    A network that reads in both directions is asked what stood there, as BERT is (Devlin et al. 2019): of the replaced
    tokens 80 % are [MASK], 10 % any token, 10 % what they were. That is a warm start for its layers; a policy that
    writes is then trained by the causal objective.

    A causal network has no [MASK] and is asked in the column before, where it cannot see what stands in the next: 90 %
    are any token, 10 % what they were. That is its likelihood with noise in what it reads. It learns of the prompts,
    too, and to go on after mistakes, which references have none of; it does not learn references as fast.
    """
    there = tokens != policy.vocabulary_size
    chance, kind = torch.rand(2, *tokens.shape, generator=generator).to(tokens.device)
    others = torch.randint(policy.vocabulary_size, tokens.shape, generator=generator).to(tokens.device)
    chosen = there & (chance < probability)
    rows, columns = chosen.nonzero(as_tuple=True)
    read = torch.where(chosen & (kind < 0.1), others, tokens)
    outputs = policy.filled(read, chosen & (kind >= 0.2), rows, columns)
    if outputs is None:
        read = torch.where(chosen & (kind < 0.9), others, tokens)
        outputs = policy.hidden(read)[rows, columns - 1]
    if not len(rows):  # chance may choose none
        return outputs.sum()
    return F.cross_entropy(policy.heads(outputs)[0].float(), tokens[rows, columns])


def pretrain(
    policy: Policy,
    task: Task,
    updates: int,
    *,
    objective: str = "causal",
    mask_probability: float = 0.15,
    batch: int = 64,
    rate: float = 1e-3,
    decay: str = "linear",
    warmup: int = 0,
    weight_decay: float = 0.01,
    max_norm: float = 1.0,
    seed: int = 0,
    progress: Callable[[int, float], None] = lambda update, loss: None,
) -> float:
    """Raise the likelihood of the references of ``task``'s split.

    Args:
        updates: steps of AdamW.
        objective: of ``OBJECTIVES``; ``mask_probability`` is that of :func:`masked_loss`.
        batch: texts of each; see :func:`reference_batches`.
        rate, decay, warmup: of :func:`~agents.transformer.schedules.learning_rate`.
        progress: is told the number and the loss of each update.

    Returns:
        The mean loss of the last tenth of the updates, in nats a token.

    Raises:
        FloatingPointError: a loss that is no finite number.
    """
    one_of("objective", objective, OBJECTIVES)
    rng = np.random.default_rng([seed, 1])  # not the stream of the environments
    masks = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(policy.parameters(), rate, weight_decay=weight_decay)
    losses, batches = [], reference_batches(task, rng, batch)
    for update in range(updates):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(rate, update, updates, decay, warmup)
        tokens, lengths = (each.to(policy.device) for each in next(batches))
        if objective == "causal":
            loss = likelihood_loss(policy, tokens, lengths, task.prompt_length)
        else:
            loss = masked_loss(policy, tokens, mask_probability, masks)
        losses.append(descend(optimizer, policy, loss, f"likelihood loss in update {update}", max_norm))
        progress(update, losses[-1])
    return float(np.mean(losses[-max(1, updates // 10) :])) if losses else float("nan")
