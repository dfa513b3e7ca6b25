"""Advantages by going on from saved states are those of dynamic programming, and credit is what it is said to be."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents.evaluation import evaluation_env
from agents.tabular.mdp import action_values, enumerated, key_of, policy_evaluation, shown
from agents.transformer.agent import PolicyAgent
from agents.transformer.critic import fit_values
from agents.transformer.model import Decoder, DecoderConfig
from agents.transformer.policy import windows
from agents.transformer.settings import TrainArgs
from agents.transformer.trainer import Trainer
from experiments import credit
from experiments.statistics import rank_correlation

ID, TINY = "textgym/Copy-v0", {"length": 2, "symbols": 4}  # 1 + 4 + 16 states a prompt


def make_env(rows, reward="terminal"):
    return credit.rows(ID, rows, reward, **TINY)


@pytest.fixture(scope="module")
def policy():
    env = make_env(1)
    torch.manual_seed(0)
    policy = Decoder(DecoderConfig(env.vocabulary.size, 1 + env.prompt_length + env.budget, width=16)).eval()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(3)  # not nearly uniform
    return policy


def exact(policy, env, texts):
    """V of what follows each token less V of what is before it, by enumeration: float64 (n, T)."""
    n, reward = env.num_envs, env.state.reward
    mdp = enumerated(evaluation_env(ID, num_envs=64, reward=reward, **TINY), range(n))
    tokens = np.array([np.frombuffer(key, np.int32) for key in mdp.states])
    probabilities = np.zeros_like(mdp.rewards)
    agent = PolicyAgent(policy, env.prompt_length)
    with torch.no_grad():
        logits, _ = policy.heads(agent._read(torch.from_numpy(tokens)))
        probabilities[:] = logits.double().masked_fill(~torch.from_numpy(mdp.legal), -np.inf).softmax(-1)
    values = policy_evaluation(mdp, probabilities)
    q = action_values(mdp, values, 1.0)
    found = np.zeros(texts.actions.shape)
    observations, _ = env.reset(seed=0, options={"index": np.arange(n)})
    for t, actions in enumerate(texts.actions.T):
        for row in np.flatnonzero(texts.there[:, t]):
            state = mdp.states[key_of(shown(observations)[row])]
            found[row, t] = q[state, actions[row]] - values[state]
        observations = env.step(actions)[0]
    return found


def test_advantages_are_those_of_dynamic_programming(policy):
    n, copies = 2, 400
    texts = credit.sampled(policy, make_env(n), seed=1)
    expected = exact(policy, make_env(n), texts)
    found = credit.advantages(policy, make_env(n * copies), texts, copies, seed=1)
    error = found.std(0) / copies**0.5
    assert np.abs(expected).max() > 0.05
    assert (np.abs(found.mean(0) - expected) <= 4.5 * error + 1e-9).all()
    assert not found[:, ~texts.there].any()


def test_delta_and_terminal_have_the_same_advantages(policy):
    n = 2
    texts = credit.sampled(policy, make_env(n), seed=2)
    sparse, dense = (exact(policy, make_env(n, reward), texts) for reward in ("terminal", "delta"))
    np.testing.assert_allclose(sparse, dense, atol=1e-12)


def test_payments_add_up_and_gae_without_its_critic_is_what_is_paid_from_the_token_on(policy):
    env = gym.make_vec("textgym/Spelling-v0", num_envs=20, autoreset_mode="SameStep", copy=False, reward="delta")
    torch.manual_seed(1)
    writer = Decoder(DecoderConfig(env.vocabulary.size, 1 + env.prompt_length + env.budget, width=16)).eval()
    trainer = Trainer(TrainArgs(env="Spelling-v0"), env, writer)
    fit_values(trainer, 400)
    rows = credit.rows("textgym/Spelling-v0", 20, "delta")
    texts = credit.sampled(writer.eval(), rows, seed=0)
    payment, to_go, lam_1, one_step = (
        credit.credit(name, rows, texts, writer, lam=1.0) for name in ("payment", "to_go", "gae", "one_step")
    )
    for each in (payment, to_go, lam_1, one_step):
        assert each.shape == texts.actions.shape and not each[~texts.there].any()
    np.testing.assert_allclose(payment.sum(1), to_go[:, 0], atol=1e-12)
    # both differ from what is paid by values of the same texts: V = to_go - lam_1, and the error of a step is made of V
    values = to_go - lam_1
    following = np.pad(values[:, 1:], ((0, 0), (0, 1)))
    following[np.arange(20), texts.lengths - 1] = 0.0
    np.testing.assert_allclose(one_step, (payment + following - values) * texts.there, atol=1e-9)
    observations, _ = rows.reset(seed=0, options={"index": np.arange(20)})
    with torch.no_grad():
        read = writer.hidden(windows(torch.from_numpy(observations), writer.vocabulary_size))
        first = writer.heads(read[:, rows.prompt_length])[1]
    np.testing.assert_allclose(values[:, 0], first, atol=1e-5)


def test_rank_correlation_by_hand():
    assert rank_correlation([1, 2, 3], [10, 100, 1000]) == pytest.approx(1.0)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    assert rank_correlation([1, 1, 1], [3, 2, 1]) == 0.0
    # ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4
    assert rank_correlation([0, 5, 5, 9], [1, 3, 2, 4]) == pytest.approx(4.5 / (4.5 * 5.0) ** 0.5)
