"""What each token of a text was worth, and what a reward and an estimator say that it was.

The advantage of a token is how much it changes the true score that a policy, going on from there, comes to: V(text with
it) - V(text without it). Texts end in time and nothing is discounted, so that any reward which pays the true score of a
text in the end, in whatever portions, has these advantages.
"""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch

from agents.transformer.advantages import gae
from agents.transformer.agent import PolicyAgent
from agents.transformer.policy import Policy, windows
from agents.transformer.sampling import Sampling
from textgym.envs.vector import TextGenVectorEnv
from textgym.errors import one_of

ESTIMATORS = ("payment", "to_go", "gae", "one_step")


@dataclass(frozen=True)
class Texts:
    """n texts of at most T tokens, of the fixed episodes 0 .. n - 1.

    Attributes:
        actions: int64 (n, T); behind a text's end 0.
        lengths: int64 (n,), tokens.
    """

    actions: np.ndarray
    lengths: np.ndarray

    @property
    def there(self) -> np.ndarray:
        """Bool (n, T): a token of the text, not behind its end."""
        return np.arange(self.actions.shape[1]) < self.lengths[:, None]


def rows(id: str, n: int, reward, **env_kwargs) -> TextGenVectorEnv:
    """An environment of ``n`` rows for the functions here, of the validation split.

    A row whose text has ended begins another one at once, which nobody heeds: that is cheaper than to wait.
    """
    return gym.make_vec(id, num_envs=n, autoreset_mode="SameStep", split="validation", reward=reward, **env_kwargs)


def sampled(policy: Policy, env: TextGenVectorEnv, seed: int) -> Texts:
    """A text of the policy for each row of ``env``, of :func:`rows`."""
    n = env.num_envs
    observations, _ = env.reset(seed=0, options={"index": np.arange(n)})
    agent, going = PolicyAgent(policy, env.prompt_length, Sampling(), seed), np.ones(n, bool)
    actions, lengths = np.zeros((n, env.budget), np.int64), np.zeros(n, np.int64)
    for t in range(env.budget):
        chosen = agent.act(observations, env.action_masks(), env.episodes)
        actions[going, t] = chosen[going]
        lengths += going
        observations, _, ended, _, _ = env.step(chosen)
        going &= ~ended
    return Texts(actions, lengths)


def advantages(policy: Policy, env: TextGenVectorEnv, texts: Texts, copies: int, seed: int) -> np.ndarray:
    """How much each token changes the expected true score, by Monte Carlo: float64 (copies, n, T), 0 behind the ends.

    Before every token the policy goes on ``copies`` times; then the environment is put back to that place, by its
    state, and writes the token. Means over different copies are independent estimates.

    Args:
        env: of :func:`rows`, one for each of the n texts and copies.
    """
    n, longest = texts.actions.shape
    env.reset(seed=0, options={"index": np.tile(np.arange(n), copies)})
    forced, going = np.tile(texts.actions, (copies, 1)), np.ones(copies * n, bool)  # row c * n + i: copy c of text i
    agent = PolicyAgent(policy, env.prompt_length, Sampling(), seed)
    values = np.zeros((longest + 1, copies * n))
    for t in range(longest):
        place = env.get_state()
        values[t] = np.where(going, _went_on(agent, env), 0.0)
        env.set_state(place)
        _, _, ended, _, infos = env.step(forced[:, t])
        last = going & ended
        if last.any():
            values[t + 1, last] = infos["final_info"]["score"][last]
        going &= ~ended
    return np.diff(values, axis=0).T.reshape(copies, n, longest) * texts.there


def _went_on(agent: PolicyAgent, env: TextGenVectorEnv) -> np.ndarray:
    """The true scores of all rows' texts once the agent has finished them, float64 (n,)."""
    scores, going, observations = np.zeros(env.num_envs), np.ones(env.num_envs, bool), env.observe()
    agent.reset(())
    while going.any():
        observations, _, ended, _, infos = env.step(agent.act(observations, env.action_masks(), ()))
        last = going & ended
        if last.any():
            scores[last] = infos["final_info"]["score"][last]
        going &= ~ended
    return scores


def credit(estimator: str, env: TextGenVectorEnv, texts: Texts, policy: Policy, lam: float = 0.95) -> np.ndarray:
    """What an estimator makes of what each token is paid, at discount 1: float64 (n, T), 0 behind the texts' ends.

    Args:
        estimator: "payment", what is paid for the token; "to_go", what is paid from it on (Monte Carlo); "gae", with
            ``lam`` and the values of ``policy``; "one_step", the same with lambda 0.
        env: of :func:`rows`, one for each text; it pays the reward.
        policy: with values fitted to this reward, where the estimator has a critic.
    """
    one_of("estimator", estimator, ESTIMATORS)
    n, longest = texts.actions.shape
    observations, _ = env.reset(seed=0, options={"index": np.arange(n)})
    paid = np.zeros((longest, n))
    for t in range(longest):
        paid[t] = env.step(texts.actions[:, t])[1]
    paid *= texts.there.T
    if estimator == "payment":
        return paid.T
    if estimator == "to_go":
        return paid[::-1].cumsum(0)[::-1].T
    shown = observations["tokens"] if isinstance(observations, dict) else observations
    shown[:, env.prompt_length :][texts.there] = texts.actions[texts.there]
    ended = np.arange(longest)[:, None] == texts.lengths - 1
    with torch.no_grad():
        outputs = policy.hidden(windows(torch.from_numpy(shown), policy.vocabulary_size))
        values = policy.heads(outputs[:, env.prompt_length : env.prompt_length + longest])[1].T.double()  # (T, n)
        lam = lam if estimator == "gae" else 0.0
        found = gae(torch.from_numpy(paid), values, torch.from_numpy(ended), torch.zeros(n).double(), 1.0, lam)
    return found.numpy().T * texts.there
