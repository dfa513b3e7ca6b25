"""Double DQN: SB3's DQN lets one network both choose and judge the next token; here two do."""

from __future__ import annotations

import numpy as np
import torch
from stable_baselines3 import DQN
from torch import Tensor
from torch.nn import functional as F


class DoubleDQN(DQN):
    """DQN with the target of Double Q-learning (van Hasselt, Guez & Silver 2016).

    The online network chooses the next token, the target network says what it is worth::

        y = r + (1 - done) * gamma * Q_target(s', argmax_a Q(s', a))

    DQN's ``max_a Q_target(s', a)`` overestimates, the more so the more tokens there are. Keywords, saving and loading
    are :class:`~stable_baselines3.DQN`'s.
    """

    def next_values(self, next_observations: Tensor | dict[str, Tensor]) -> Tensor:
        """``Q_target(s', argmax_a Q(s', a))`` as ``(B, 1)``."""
        chosen = self.q_net(next_observations).argmax(1, keepdim=True)
        return self.q_net_target(next_observations).gather(1, chosen)

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """SB3 2.9's ``DQN.train`` with :meth:`next_values` in its target."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        losses = []
        for _ in range(gradient_steps):
            batch = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
            discounts = self.gamma if batch.discounts is None else batch.discounts  # n-step replay brings its own
            with torch.no_grad():
                target = batch.rewards + (1 - batch.dones) * discounts * self.next_values(batch.next_observations)
            values = self.q_net(batch.observations).gather(1, batch.actions.long())
            loss = F.smooth_l1_loss(values, target)
            losses.append(loss.item())

            self.policy.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
            self.policy.optimizer.step()

        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", np.mean(losses))
