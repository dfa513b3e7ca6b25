"""A policy as an agent that is evaluated: what it says of the texts that it is shown, token by token."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from agents.transformer.policy import Cache, Policy, windows
from agents.transformer.sampling import Sampling, draw


class PolicyAgent:
    """For :func:`agents.evaluation.evaluate`: reads the token that has come, and says the next one.

    Args:
        policy: what writes; it is put into evaluation mode while it acts.
        prompt_length: columns of the prompt.
        sampling: how tokens are drawn; None: the likeliest one.
        seed: of the draws.
        vocabulary: fingerprint of the one that it was trained with, where that is known.
    """

    def __init__(
        self,
        policy: Policy,
        prompt_length: int,
        sampling: Sampling | None = None,
        seed: int = 0,
        vocabulary: str | None = None,
    ):
        self.policy, self.prompt_length, self.sampling, self.vocabulary = policy, prompt_length, sampling, vocabulary
        self.generator = torch.Generator(policy.device).manual_seed(seed)
        self.reset(())

    def check(self, env) -> None:
        """Raise ``ValueError`` where it cannot write in ``env``: other tokens, other prompts, longer windows."""
        self.policy.check(env.vocabulary.size, 1 + env.prompt_length + env.budget)
        if self.vocabulary not in (None, env.vocabulary.fingerprint):
            own, other = self.vocabulary[:12], env.vocabulary.fingerprint[:12]
            raise ValueError(f"its vocabulary has the fingerprint {own}..., that of the environment {other}...")
        if self.prompt_length != env.prompt_length:
            raise ValueError(
                f"it reads prompts of {self.prompt_length} columns, those of the environment have {env.prompt_length}"
            )

    def reset(self, episodes) -> None:
        self.cache: Cache | None = None

    @torch.no_grad()
    def act(self, observations, action_masks, episodes) -> np.ndarray:
        tokens = observations["tokens"] if isinstance(observations, Mapping) else observations
        training = self.policy.training
        self.policy.eval()
        with self.policy.autocast():
            logits, _ = self.policy.heads(self._read(torch.from_numpy(tokens.astype(np.int64)).to(self.policy.device)))
        self.policy.train(training)
        support = torch.from_numpy(action_masks).to(logits.device)
        if self.sampling is None:
            return logits.masked_fill(~support, float("-inf")).argmax(-1).cpu().numpy()
        log_probs = self.sampling.log_probs(logits, self.sampling.support(logits, support))
        return draw(log_probs, self.generator).cpu().numpy()

    def _read(self, tokens: Tensor) -> Tensor:
        """The outputs (n, d) of the last columns written."""
        read, begin = windows(tokens, self.policy.vocabulary_size), self.prompt_length
        lengths = (read[:, 1 + begin :] != self.policy.vocabulary_size).sum(1)
        if self.cache is None:
            self.cache = self.policy.cache(*read.shape)
            fresh = torch.ones_like(lengths, dtype=torch.bool)
        else:
            fresh = lengths == 0
        outputs = None
        if not fresh.all():
            columns = torch.where(fresh, min(1, read.shape[1] - 1), begin + lengths)
            outputs = self.cache.append(read.gather(1, columns[:, None]).squeeze(1), columns)
        if fresh.any():
            rows, columns = fresh.nonzero().flatten(), (begin + lengths)[fresh]
            begun = self.cache.begin(rows, read[rows, : int(columns.max()) + 1], columns)
            outputs = begun if outputs is None else outputs.index_copy(0, rows, begun)
        return outputs
