"""The Transformer policy: what is cached, what is sampled and what the update computes are one distribution."""

import gymnasium as gym
import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from networks import Recurrent

import textgym
from agents.transformer.advantages import gae
from agents.transformer.batch import as_batch, minibatches
from agents.transformer.model import Block, Decoder, DecoderConfig
from agents.transformer.rollout import Writer
from agents.transformer.sampling import BLOCK, Sampling, draw
from agents.transformer.update import evaluate_tokens


def decoder(vocabulary_size, columns):
    torch.manual_seed(0)
    return Decoder(DecoderConfig(vocabulary_size, columns, width=32))


def writer(env_id, policy=None, sampling=None, seed=0, n=8, **kwargs):
    env = gym.make_vec(env_id, num_envs=n, autoreset_mode="SameStep", **kwargs)
    policy = policy or decoder(env.vocabulary.size, 1 + env.prompt_length + env.budget)
    return Writer(env, policy, sampling or Sampling(), torch.Generator().manual_seed(seed), seed=seed)


@pytest.mark.parametrize(
    "env_id, kwargs",
    [("Copy", {}), ("Spelling", {}), ("Brackets", {"mask": "task"}), ("Password", {}), ("DocSummary", {})],
)
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.7, top_k=3), Sampling(1.3, top_p=0.8)], ids=str)
def test_the_first_ratio_is_1(env_id, kwargs, sampling):
    texts = writer(f"textgym/{env_id}-v0", sampling=sampling, **kwargs)
    optimizer = torch.optim.SGD(texts.policy.parameters(), 0.5)
    for _ in range(3):  # parts of texts begun in earlier rollouts, by another policy
        with torch.no_grad():
            rollout = texts.collect(13)
        advantages = gae(rollout.rewards, rollout.values, rollout.ended, rollout.last_values, 1.0, 0.95)
        batch = as_batch(rollout, advantages, advantages + rollout.values, texts.prompt_length)
        assert len(batch.parts) == 13 * 8
        seen = []
        for chosen in (cut.chosen for cut in minibatches(batch, 40, torch.Generator().manual_seed(1))):
            at = torch.isin(batch.parts, chosen).nonzero().flatten()
            logits, values = evaluate_tokens(texts.policy, batch, chosen, at)
            supports = None if batch.supports is None else batch.supports[at]
            log_probs = sampling.log_probs(logits, supports).gather(1, batch.actions[at, None]).squeeze(1)
            torch.testing.assert_close(log_probs, batch.log_probs[at], rtol=0, atol=1e-5)
            torch.testing.assert_close(values, batch.values[at], rtol=0, atol=1e-5)
            (log_probs * batch.advantages[at]).mean().backward()
            seen += at.tolist()
        assert sorted(seen) == list(range(13 * 8))
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("precision, near", [("float32", 1e-5), ("bfloat16", 0.05)])
def test_the_first_ratio_is_1_of_compiled_steps_and_in_bfloat16(precision, near, monkeypatch):
    widths = set()

    graph = torch.compile(Block.step, backend="eager", fullgraph=True, dynamic=True)

    def step(*arguments):
        widths.add(arguments[-1].shape[-1])
        return graph(*arguments)

    monkeypatch.setattr("agents.transformer.model.compiled", {Block.step: step}.get)
    env = gym.make_vec("textgym/Spelling-v0", num_envs=8, autoreset_mode="SameStep")
    policy = decoder(env.vocabulary.size, 1 + env.prompt_length + env.budget)
    with torch.no_grad():
        policy.embedding.weight.mul_(4)  # not nearly uniform
    policy.precision = getattr(torch, precision)
    policy.compile_step()
    texts = Writer(env, policy, Sampling(), torch.Generator().manual_seed(0), seed=0)
    assert all(each.dtype == policy.precision for each in texts.cache.keys)
    with torch.no_grad():
        texts.collect(9)
        rollout = texts.collect(13)
    batch = as_batch(rollout, rollout.values, rollout.values, env.prompt_length)
    logits, values = evaluate_tokens(policy, batch, torch.arange(len(batch.windows)), torch.arange(len(batch.parts)))
    log_probs = Sampling().log_probs(logits, None).gather(1, batch.actions[:, None]).squeeze(1)
    assert log_probs.dtype == batch.log_probs.dtype == values.dtype == torch.float32
    torch.testing.assert_close(log_probs, batch.log_probs, rtol=0, atol=near)
    torch.testing.assert_close(values, batch.values, rtol=0, atol=near)
    assert (log_probs - batch.log_probs).exp().mean().item() == pytest.approx(1.0, abs=near / 5)
    assert 1 < len(widths) <= 8


def test_only_what_has_a_step_can_be_compiled():
    with pytest.raises(ValueError, match="Recurrent has no step"):
        Recurrent(5).compile_step()


def test_rollouts_are_what_the_environment_saw():
    texts = writer("textgym/Spelling-v0", n=6, metrics=["cer"])
    again = gym.make_vec("textgym/Spelling-v0", num_envs=6, autoreset_mode="SameStep", metrics=["cer"])
    observations, _ = again.reset(seed=0)
    finished = 0
    for _ in range(4):
        with torch.no_grad():
            rollout = texts.collect(9)
        ends = []
        for step in range(9):
            observations, rewards, ended, _, infos = again.step(rollout.actions[step].numpy())
            np.testing.assert_allclose(rollout.rewards[step], rewards, atol=1e-6)
            np.testing.assert_array_equal(rollout.ended[step], ended)
            ends += [(infos["final_obs"][row], infos["final_info"], row) for row in np.flatnonzero(ended)]
        assert len(rollout.finished) == len(ends)
        for episode, window, (observation, info, row) in zip(rollout.finished, rollout.windows, ends, strict=False):
            np.testing.assert_array_equal(window[1:], observation)
            assert episode["score"] == info["score"][row] and episode["cer"] == info["cer"][row]
            assert episode["return"] == pytest.approx(sum(episode["terms"].values()), abs=1e-5)
            assert episode["length"] == (observation[again.prompt_length :] != again.vocabulary.pad).sum()
        finished += len(ends)
        np.testing.assert_array_equal(texts.windows[:, 1:], observations)
    assert finished > 3


def test_a_network_of_ones_own_writes_and_learns():
    env = textgym.TextGenVectorEnv("textgym.tasks.spelling:Spelling", 4, autoreset_mode="SameStep", copy=False)
    policy = Recurrent(env.vocabulary.size)
    texts = Writer(env, policy, Sampling(), torch.Generator().manual_seed(0), seed=0)
    with torch.no_grad():
        rollout = texts.collect(20)
    zeros = torch.zeros_like(rollout.values)
    batch = as_batch(rollout, zeros, zeros, env.prompt_length)
    every = torch.arange(len(batch.windows))
    logits, values = evaluate_tokens(policy, batch, every, torch.arange(len(batch.parts)))
    log_probs = Sampling().log_probs(logits, None).gather(1, batch.actions[:, None]).squeeze(1)
    torch.testing.assert_close(log_probs, batch.log_probs, rtol=0, atol=1e-5)
    torch.testing.assert_close(values, batch.values, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [5, 2 * BLOCK, 2 * BLOCK + 1, 1000])
def test_tokens_are_drawn_with_their_probabilities(size):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, size, generator=generator) * 2
    logits[0, size // 2 :: 3] = float("-inf")
    log_probs = logits.log_softmax(-1)
    n = 200_000
    counts = draw(log_probs.expand(n, -1), generator).bincount(minlength=size)
    expected = log_probs[0].exp() * n
    assert (counts[expected == 0] == 0).all()
    tested = expected > 20
    z = (counts - expected)[tested] / (expected[tested] * (1 - expected[tested] / n)).sqrt()
    assert z.abs().max() < 5.0


def test_truncation_keeps_the_likeliest():
    logits = torch.tensor([[0.0, 3.0, 2.0, 1.0], [5.0, 0.0, 0.0, 5.0]])
    legal = torch.tensor([[True, False, True, True], [True, True, True, True]])
    assert Sampling(top_k=2).support(logits, None).tolist() == [[False, True, True, False], [True, False, False, True]]
    assert Sampling(top_k=2).support(logits, legal).tolist()[0] == [False, False, True, True]
    assert Sampling(top_p=0.5).support(logits, None).tolist()[0] == [False, True, False, False]
    assert Sampling(top_p=1.0).support(logits, legal).tolist() == legal.tolist()
    assert Sampling().support(logits, None) is None
    log_probs = Sampling(2.0).log_probs(logits, legal)
    torch.testing.assert_close(log_probs[0, 2] - log_probs[0, 3], torch.tensor(0.5))
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(2))
    for wrong in ({"temperature": 0}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Sampling(**wrong)
