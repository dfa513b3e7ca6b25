"""An update is the one that Stable-Baselines3 makes of the same rollout, one forward a text instead of one a token."""

import copy
import math

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from torch import nn

from agents.evaluation import evaluate
from agents.transformer.advantages import gae
from agents.transformer.agent import PolicyAgent
from agents.transformer.batch import as_batch
from agents.transformer.groups import Groups, joined, split, stacked
from agents.transformer.model import Decoder, DecoderConfig
from agents.transformer.pretrain import likelihood_loss, pretrain, reference_windows
from agents.transformer.redistribution import sums
from agents.transformer.rollout import Writer
from agents.transformer.sampling import Sampling
from agents.transformer.schedules import DECAYS, learning_rate
from agents.transformer.settings import ALGORITHMS, TrainArgs
from agents.transformer.trainer import Trainer
from agents.transformer.update import Objective, update
from experiments.benchmarks.agents import LastColumn
from textgym.sb3 import make_vec_env

ID, STEPS, N = "textgym/Spelling-v0", 24, 4


class Untied(Decoder):
    """Heads of their own, as SB3's policies have them."""

    def __init__(self, config):
        super().__init__(config)
        self.action = nn.Linear(config.width, config.vocabulary_size)

    def heads(self, hidden):
        return self.action(hidden), self.value(hidden).squeeze(-1)


def make_env(n=N, **kwargs):
    return gym.make_vec(ID, num_envs=n, autoreset_mode="SameStep", **kwargs)


def make_policy(env, kind=Decoder, seed=0, width=32):
    torch.manual_seed(seed)
    return kind(DecoderConfig(env.vocabulary.size, 1 + env.prompt_length + env.budget, width=width))


def test_one_ppo_update_is_that_of_stable_baselines3():
    env, again = make_env(), make_env()
    policy = make_policy(env, Untied)
    with torch.no_grad():
        policy.action.weight.mul_(20)  # not nearly uniform
        rollout = Writer(env, policy, Sampling(), torch.Generator().manual_seed(0), seed=0).collect(STEPS)
    theirs = PPO(
        "MlpPolicy",
        make_vec_env(ID, N, seed=0),
        n_steps=STEPS,
        batch_size=STEPS * N,
        n_epochs=1,
        gamma=1.0,
        ent_coef=0.01,
        learning_rate=1e-3,
        policy_kwargs={
            "features_extractor_class": LastColumn,
            "features_extractor_kwargs": {"trunk": copy.deepcopy(policy), "prompt_length": env.prompt_length},
            "net_arch": [],
            "ortho_init": False,
        },
    )
    theirs.policy.action_net.load_state_dict(policy.action.state_dict())
    theirs.policy.value_net.load_state_dict(policy.value.state_dict())
    theirs.set_logger(Logger(None, []))
    observations, _ = again.reset(seed=0)
    begun, buffer = np.zeros(N, bool), theirs.rollout_buffer
    buffer.reset()
    for t in range(STEPS):
        actions = rollout.actions[t]
        with torch.no_grad():
            values, log_probs, _ = theirs.policy.evaluate_actions(torch.from_numpy(observations), actions)
        torch.testing.assert_close(log_probs, rollout.log_probs[t], rtol=0, atol=1e-5)
        torch.testing.assert_close(values.flatten(), rollout.values[t], rtol=0, atol=1e-5)
        buffer.add(observations, actions[:, None].numpy(), rollout.rewards[t].numpy(), begun, values, log_probs)
        observations, _, begun, _, _ = again.step(actions.numpy())
    buffer.compute_returns_and_advantage(rollout.last_values, begun)
    theirs.train()

    advantages = gae(rollout.rewards, rollout.values, rollout.ended, rollout.last_values, 1.0, 0.95)
    batch = as_batch(rollout, advantages, advantages + rollout.values, env.prompt_length)
    before = copy.deepcopy(policy.state_dict())
    seen = update(
        policy,
        torch.optim.Adam(policy.parameters(), 1e-3, eps=1e-5),
        batch,
        Objective(entropy_weight=0.01),
        Sampling(),
        epochs=1,
        minibatch=STEPS * N,
        generator=torch.Generator().manual_seed(0),
        longest=env.budget,
    )
    assert seen["ratio"] == pytest.approx(1.0, abs=1e-5) and seen["clipped"] == 0.0
    trunk = theirs.policy.features_extractor.trunk.state_dict()
    heads = {"action": theirs.policy.action_net, "value": theirs.policy.value_net}
    moved = 0.0
    for name, ours in policy.state_dict().items():
        head, _, kind = name.partition(".")
        other = heads[head].state_dict()[kind] if head in heads else trunk[name]
        moved = max(moved, float((ours - before[name]).abs().max()))
        # Adam's first step is nearly the sign of the gradient: what is nearly 0 may go either way
        assert ((ours - other).abs() < 1e-4).float().mean() > 0.999
    assert moved > 5e-4


@pytest.mark.parametrize("minibatch", [STEPS * N, 30, 7])
@pytest.mark.parametrize("how", ["token", "sequence", "constant"])
def test_every_token_is_used_once_an_epoch(minibatch, how):
    env = make_env()
    policy = make_policy(env)
    with torch.no_grad():
        rollout = Writer(env, policy, Sampling(), torch.Generator().manual_seed(0), seed=0).collect(STEPS)
    ones = torch.ones_like(rollout.values)
    batch = as_batch(rollout, ones, ones, env.prompt_length)
    steps = rollout.starts[batch.parts] + torch.cat([torch.arange(n) for n in (rollout.last - rollout.first).tolist()])
    assert sorted(zip(steps.tolist(), rollout.rows[batch.parts].tolist(), strict=True)) == [
        (t, row) for t in range(STEPS) for row in range(N)
    ]
    optimizer = torch.optim.SGD(policy.parameters(), 0.0)
    arguments = {"epochs": 2, "minibatch": minibatch, "generator": torch.Generator().manual_seed(0), "longest": 11}
    seen = update(policy, optimizer, batch, Objective(aggregation=how), Sampling(), **arguments)
    assert seen["kl_to_old"] == pytest.approx(0.0, abs=1e-6)


def test_a_loss_that_is_no_number_stops_before_the_policy_changes():
    env = make_env()
    policy = make_policy(env)
    with torch.no_grad():
        rollout = Writer(env, policy, Sampling(), torch.Generator().manual_seed(0), seed=0).collect(STEPS)
    advantages = torch.full_like(rollout.values, float("nan"))
    batch = as_batch(rollout, advantages, rollout.values, env.prompt_length)
    before = copy.deepcopy(policy.state_dict())
    arguments = {"epochs": 1, "minibatch": 50, "generator": torch.Generator(), "longest": 11}
    with pytest.raises(FloatingPointError, match="minibatch 0 of epoch 0: policy_loss nan"):
        update(policy, torch.optim.SGD(policy.parameters(), 1.0), batch, Objective(), Sampling(), **arguments)
    assert all(torch.equal(before[name], now) for name, now in policy.state_dict().items())


def test_parts_of_texts_are_joined():
    env = make_env(n=4, group_size=2)
    policy = make_policy(env)
    writer, groups = Writer(env, policy, Sampling(), torch.Generator().manual_seed(0), seed=0), Groups(2)
    ends, texts = [], 0
    for _ in range(12):
        with torch.no_grad():
            rollout = writer.collect(5)
        ends += rollout.finished
        batch = as_batch(rollout, rollout.values, rollout.values, env.prompt_length)
        whole = groups.add(rollout, batch)
        if whole is None:
            continue
        batch, names = whole
        returns = sums(batch.rewards, batch.parts)
        assert names.tolist() == [name for name in names.tolist()[::2] for _ in range(2)]  # pairs
        texts += len(returns)
        sizes = batch.parts.bincount().tolist()
        for i, (window, size) in enumerate(zip(batch.windows, sizes, strict=True)):
            written = window[1 + env.prompt_length :][:size]
            assert batch.actions[batch.parts == i].tolist() == written.tolist()
            found = [e for e in ends if e["length"] == size and e["return"] == pytest.approx(float(returns[i]))]
            assert any(e["text"] == env.vocabulary.decode(written) and e["episode_id"] == names[i] for e in found)
        prompts = batch.windows[:, 1 : 1 + env.prompt_length]
        assert torch.equal(prompts[::2], prompts[1::2])
        again = stacked([joined([part]) for part in split(batch)])
        assert torch.equal(again.parts, batch.parts) and torch.equal(again.columns, batch.columns)
    assert texts > 4 and all(len(each) < 2 for each in groups.waiting.values())


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_a_restored_trainer_goes_on_bit_for_bit(algo):
    args = TrainArgs(algo=algo, n_envs=8, group_size=4, kl_weight=0.1, steps=1000, minibatch=64, env=ID, top_k=20)

    def trainer():
        env = make_env(8, group_size=4 if args.grouped else None, reward="delta:cer", copy=False)
        return Trainer(args, env, make_policy(env))

    first = trainer()
    for _ in range(2):
        first.step()
    saved = copy.deepcopy(first.state_dict())
    went_on = [first.step() for _ in range(3)]
    second = trainer()
    second.load_state_dict(saved)
    assert [second.step() for _ in range(3)] == went_on
    assert second.tokens == 5 * 8 * 11 and "entropy" in went_on[-1]
    assert all(torch.equal(a, b) for a, b in zip(first.policy.parameters(), second.policy.parameters(), strict=True))


def test_pretraining_learns_the_references_and_the_agent_writes_them():
    env = gym.make_vec("textgym/Copy-v0", num_envs=4, autoreset_mode="SameStep")
    policy = make_policy(env)
    tokens, lengths = reference_windows(env.task, np.random.default_rng(0), 50)
    assert tokens.shape == (50, 1 + env.prompt_length + env.budget) and (lengths == 6).all()
    assert (tokens[:, 1:6] == tokens[:, 6:11]).all() and (tokens[:, 11] == env.vocabulary.eos).all()
    start = likelihood_loss(policy, tokens, lengths, env.prompt_length)
    assert start.item() == pytest.approx(math.log(env.vocabulary.size), abs=0.1)
    end = pretrain(policy, env.task, 300, rate=3e-3)
    assert end < 0.2 and policy.training
    greedy = evaluate(PolicyAgent(policy, env.prompt_length), "textgym/Copy-v0", 200)
    sampled = evaluate(PolicyAgent(policy, env.prompt_length, Sampling(2.0)), "textgym/Copy-v0", 200)
    assert greedy.mean_score > 0.9 > sampled.mean_score


def test_learning_rates_by_hand():
    rates = [[learning_rate(2.0, i, 8, decay, 4) for i in range(8)] for decay in DECAYS]
    assert all(each[:4] == [0.5, 1.0, 1.5, 2.0] and each[4] == 2.0 for each in rates)
    assert [each[6] for each in rates] == pytest.approx([2.0, 1.0, 1.0, 0.2])
    with pytest.raises(ValueError, match="cosine"):
        learning_rate(1.0, 0, 1, "cosin")
