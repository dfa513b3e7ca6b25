"""Advantages: Stable-Baselines3 and hand-worked examples are the oracles."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer

from agents.transformer.advantages import gae, group_relative, leave_one_out, n_step, returns_to_go
from agents.transformer.losses import aggregate, entropy, kl_estimate, ppo_loss, value_loss
from textgym import CharacterMatch


def random_rollout(seed, steps=17, n=5):
    rng = np.random.default_rng(seed)
    rewards, values = rng.normal(size=(2, steps, n)).astype(np.float32)
    return rewards, values, rng.random((steps, n)) < 0.2, rng.normal(size=n).astype(np.float32)


def tensors(*arrays):
    return [torch.from_numpy(array) for array in arrays]


@pytest.mark.parametrize("gamma, lam", [(1.0, 1.0), (1.0, 0.95), (0.9, 0.0), (0.97, 0.5)])
def test_gae_is_that_of_stable_baselines3(gamma, lam):
    for seed in range(20):
        rewards, values, ended, last_values = random_rollout(seed)
        steps, n = rewards.shape
        space = spaces.Box(0, 1, (1,)), spaces.Discrete(2)
        buffer = RolloutBuffer(steps, *space, gae_lambda=lam, gamma=gamma, n_envs=n)
        begun = np.vstack([np.zeros((1, n)), ended[:-1]])
        zeros = np.zeros((n, 1))
        for t in range(steps):
            buffer.add(zeros, zeros, rewards[t], begun[t], torch.from_numpy(values[t]), torch.zeros(n))
        buffer.compute_returns_and_advantage(torch.from_numpy(last_values), ended[-1])
        ours = gae(*tensors(rewards, values, ended, last_values), gamma, lam)
        torch.testing.assert_close(ours, torch.from_numpy(buffer.advantages), rtol=1e-5, atol=1e-5)


def paid(reward, seed, n=40):
    """What random texts are paid (T, n), whether a token ended one (T, n), and how many characters stood in place
    before each token (T, n)."""
    env = gym.make_vec("textgym/Copy-v0", num_envs=n, autoreset_mode="SameStep", reward=reward)
    observations, _ = env.reset(seed=seed)
    generator, metric, vocabulary, rows = np.random.default_rng(seed), CharacterMatch(), env.vocabulary, []
    for _ in range(3 * env.budget):
        written = observations[:, env.prompt_length :]
        texts = [vocabulary.decode(row[row != vocabulary.pad]) for row in written]
        before = [metric.score(t, e) if t else 0.0 for t, e in zip(texts, env.episodes, strict=True)]
        right = [vocabulary.encode(e.prompt)[min(len(t), 4)] for t, e in zip(texts, env.episodes, strict=True)]
        actions = np.where(generator.random(n) < 0.5, right, generator.integers(vocabulary.size, size=n))
        observations, rewards, ended, _, _ = env.step(actions)
        rows.append((rewards, ended, np.array(before)))
    return tuple(np.array(each) for each in zip(*rows, strict=True))


@pytest.mark.parametrize("lam", [1.0, 0.95, 0.5, 0.0])
def test_shaping_is_invisible_at_lambda_1_and_anywhere_to_values_that_know_of_it(lam):
    """At lambda 1 (and discount 1) an advantage is that without shaping less Phi of the text before the token, whatever
    the critic: a baseline. With values less Phi all advantages are the same (Wiewiora 2003)."""
    shaping = {"name": "potential", "metric": "character_match", "base": "terminal:exact_match"}
    seen = False
    for seed in range(10):
        plain, ended, phi = paid("terminal:exact_match", seed)
        shaped, _, _ = paid(shaping, seed)
        values = np.random.default_rng(seed).normal(size=plain.shape)
        over = np.flip(np.maximum.accumulate(np.flip(ended, 0), 0), 0)  # tokens of texts that have ended
        last = np.zeros(plain.shape[1])

        def advantages(rewards, values, ended=ended, last=last, over=over):
            return gae(*tensors(rewards, values, ended, last), 1.0, lam).numpy()[over]

        np.testing.assert_allclose(advantages(shaped, values - phi), advantages(plain, values), atol=1e-9)
        difference = advantages(shaped, values) - advantages(plain, values)
        if lam == 1.0:
            np.testing.assert_allclose(difference, -phi[over], atol=1e-9)
        else:
            assert np.abs(difference + phi[over]).max() > 0.1
        seen |= plain.any()
    assert seen and phi.any()


@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_monte_carlo_is_gae_with_lambda_1_and_n_step_lies_between(gamma):
    for seed in range(20):
        rewards, values, ended, last_values = tensors(*random_rollout(seed))
        monte_carlo = returns_to_go(rewards, ended, last_values, gamma) - values
        arguments = (rewards, values, ended, last_values, gamma)
        torch.testing.assert_close(gae(*arguments, 1.0), monte_carlo, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(n_step(*arguments, 17), monte_carlo, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(n_step(*arguments, 1), gae(*arguments, 0.0), rtol=1e-4, atol=1e-4)


def test_two_steps_by_hand():
    rewards, values = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[10.0], [20.0], [30.0]])
    ended, last = torch.tensor([[False], [True], [False]]), torch.tensor([40.0])
    assert n_step(rewards, values, ended, last, 0.5, 2).flatten().tolist() == [1 + 0.5 * 2 - 10, 2 - 20, 3 + 20 - 30]


def test_groups_by_hand():
    returns, groups = torch.tensor([1.0, 3.0, 5.0, 7.0, 2.0]), torch.tensor([4, 9, 4, 4, 7])
    ours = leave_one_out(returns, groups)
    assert ours.tolist() == pytest.approx([1 - 6, 3, 5 - 4, 7 - 3, 2])
    mean, deviation = 13 / 3, np.std([1, 5, 7], ddof=1)
    expected = [(1 - mean) / deviation, 0, (5 - mean) / deviation, (7 - mean) / deviation, 0]
    assert group_relative(returns, groups, eps=0.0)[[0, 2, 3]].tolist() == pytest.approx(
        [expected[i] for i in (0, 2, 3)]
    )
    assert group_relative(returns, groups)[[1, 4]].tolist() == [0, 0]
    assert group_relative(returns, groups, scale=False)[0] == pytest.approx(1 - mean)


def test_losses_by_hand():
    log_probs, old = torch.tensor([0.0, 1.0, -1.0]), torch.zeros(3)
    advantages = torch.tensor([2.0, 1.0, -1.0])
    assert ppo_loss(log_probs, old, advantages, 0.2).tolist() == pytest.approx([-2.0, -1.2, 0.8])
    assert ppo_loss(torch.tensor([1.0]), torch.zeros(1), torch.tensor([-1.0]), 0.2).item() == pytest.approx(np.e)
    assert value_loss(torch.tensor([3.0]), torch.tensor([1.0])).item() == 4.0
    assert value_loss(torch.tensor([3.0]), torch.tensor([2.5]), torch.tensor([1.0]), 0.5).item() == 1.0
    uniform = torch.tensor([[0.5, 0.5, 0.0]]).log()
    assert entropy(uniform).item() == pytest.approx(np.log(2))
    p, q = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.3, 0.3, 0.4])
    assert (p * kl_estimate(p.log(), q.log())).sum() == pytest.approx(float((p * (p / q).log()).sum()), abs=1e-6)


def test_aggregations_by_hand():
    losses, parts = torch.tensor([1.0, 2.0, 3.0, 10.0]), torch.tensor([0, 0, 0, 5])
    assert aggregate(losses, parts, "token", 8).item() == 4.0
    assert aggregate(losses, parts, "sequence", 8).item() == (2.0 + 10.0) / 2
    assert aggregate(losses, parts, "constant", 8).item() == 16 / 8 / 2
    with pytest.raises(ValueError, match="token"):
        aggregate(losses, parts, "tokens", 8)


def test_gradients_of_what_is_impossible_are_finite():
    logits = torch.randn(4, 6, requires_grad=True)
    support = torch.ones(4, 6, dtype=torch.bool)
    support[:, 2:4] = False
    entropy(logits.masked_fill(~support, float("-inf")).log_softmax(-1)).sum().backward()
    assert torch.isfinite(logits.grad).all()
