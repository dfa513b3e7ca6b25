"""Masked actor-critic policy and Double DQN."""

from __future__ import annotations

from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from gymnasium import spaces  # noqa: E402
from stable_baselines3 import A2C, DQN, PPO  # noqa: E402
from stable_baselines3.common.env_util import make_vec_env  # noqa: E402
from stable_baselines3.common.logger import configure  # noqa: E402
from torch.distributions import Categorical  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from textgym.sb3.double_dqn import DoubleDQN  # noqa: E402
from textgym.sb3.encoders import policy_kwargs  # noqa: E402
from textgym.sb3.policies import MaskedActorCriticPolicy  # noqa: E402

V, WINDOW = 6, 5


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


class MaskedEnv(gym.Env):
    """Stand-in: five tokens, a fresh random mask at each; counts the illegal ones."""

    def __init__(self, masked: bool = True):
        self.masked, self.steps, self.illegal = masked, 0, 0
        self.action_space = spaces.Discrete(V)
        tokens = spaces.Box(0, V, (WINDOW,), np.int32)
        mask = spaces.MultiBinary(V)
        self.observation_space = spaces.Dict(tokens=tokens, action_mask=mask) if masked else tokens

    def observation(self):
        if not self.masked:
            return self.window.copy()
        self.mask = (self.np_random.random(V) < 0.4).astype(np.int8)
        self.mask[self.np_random.integers(V)] = 1
        return {"tokens": self.window.copy(), "action_mask": self.mask.copy()}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.window, self.t = np.full(WINDOW, V, np.int32), 0
        return self.observation(), {}

    def step(self, action):
        self.steps += 1
        self.illegal += self.masked and not self.mask[action]
        self.window[self.t] = action
        self.t += 1
        return self.observation(), float(action == 2), self.t == WINDOW, False, {}


def masked_agent(algorithm=PPO, env=None, **kwargs):
    kwargs = {
        "n_steps": 32,
        "seed": 0,
        "device": "cpu",
        "policy_kwargs": policy_kwargs("bag", features_dim=16),
        **kwargs,
    }
    return algorithm(MaskedActorCriticPolicy, env or make_vec_env(MaskedEnv, 16, seed=0), **kwargs)


def observations(n: int = 64):
    mask = torch.rand(n, V) < 0.4
    mask[:, 0] |= ~mask.any(1)
    mask[0] = torch.arange(V) == 3  # a single legal token
    mask[1] = True
    return {"tokens": torch.randint(0, V + 1, (n, WINDOW)), "action_mask": mask.to(torch.int8)}


@pytest.mark.parametrize("algorithm", [PPO, A2C])
def test_no_illegal_token_of_thousands(algorithm):
    agent = masked_agent(algorithm)
    agent.learn(3000)
    env = agent.get_env()
    obs = env.reset()
    for deterministic in [False, True] * 25:
        obs, *_ = env.step(agent.predict(obs, deterministic=deterministic)[0])
    assert sum(env.get_attr("steps")) >= 3800 and sum(env.get_attr("illegal")) == 0
    assert all(p.isfinite().all() for p in agent.policy.parameters())


@pytest.mark.parametrize("share", [True, False])
def test_evaluate_actions_is_the_categorical_over_legal_tokens(share):
    agent = masked_agent(policy_kwargs={**policy_kwargs("bag"), "share_features_extractor": share})
    policy, obs = agent.policy, observations()
    actions = Categorical(obs["action_mask"].float()).sample()
    values, log_probs, entropies = policy.evaluate_actions(obs, actions)
    features = policy.extract_features(obs)
    logits = policy.action_net(features if share else features[0])
    for i, mask in enumerate(obs["action_mask"].bool()):
        legal = mask.nonzero().flatten()
        exact = Categorical(logits=logits[i, legal])
        torch.testing.assert_close(log_probs[i], exact.log_prob((legal == actions[i]).nonzero()[0, 0]))
        torch.testing.assert_close(entropies[i], exact.entropy())
    assert entropies[0] == 0 and log_probs[0] == 0
    torch.testing.assert_close(values, policy.predict_values(obs))
    (log_probs.sum() + entropies.sum() + values.sum()).backward()
    assert all(p.grad.isfinite().all() for p in policy.parameters() if p.grad is not None)


def test_forward_agrees_with_evaluate_actions_and_get_distribution():
    agent, obs = masked_agent(), observations()
    actions, values, log_probs = agent.policy(obs)
    again = agent.policy.evaluate_actions(obs, actions)
    torch.testing.assert_close((values, log_probs), again[:2])
    distribution = agent.policy.get_distribution(obs).distribution
    assert (distribution.probs[obs["action_mask"] == 0] == 0).all()
    torch.testing.assert_close(distribution.log_prob(actions), log_probs)
    torch.testing.assert_close(agent.policy(obs, deterministic=True)[0], distribution.probs.argmax(1))


def test_peaked_logits_stay_finite():
    agent, obs = masked_agent(), observations()
    torch.nn.init.constant_(agent.policy.action_net.bias, 1e4)
    torch.nn.init.constant_(agent.policy.action_net.bias[0], -1e4)
    _, log_probs, entropies = agent.policy.evaluate_actions(obs, agent.policy(obs)[0])
    assert log_probs.isfinite().all() and entropies.isfinite().all()


def test_masked_policy_saves_and_loads(tmp_path):
    agent, obs = masked_agent(), {k: v.numpy() for k, v in observations().items()}
    agent.save(tmp_path / "agent")
    loaded = PPO.load(tmp_path / "agent", device="cpu")
    assert isinstance(loaded.policy, MaskedActorCriticPolicy)
    assert (agent.predict(obs, deterministic=True)[0] == loaded.predict(obs, deterministic=True)[0]).all()


def test_masked_policy_needs_the_mask():
    with pytest.raises(ValueError, match="observe_mask=True"):
        masked_agent(env=MaskedEnv(masked=False))


# ---- Double DQN


def hand_made(algorithm):
    """Online values (1, 3, 2, 0, 0, 0), target values (9, 5, 7, 0, 0, 0) in every state; r = 1, gamma = 0.5."""
    agent = algorithm("MlpPolicy", MaskedEnv(masked=False), gamma=0.5, policy_kwargs=policy_kwargs("bag", algo="dqn"))
    for network, values in ((agent.q_net, (1.0, 3, 2, 0, 0, 0)), (agent.q_net_target, (9.0, 5, 7, 0, 0, 0))):
        torch.nn.init.zeros_(network.q_net[0].weight)
        network.q_net[0].bias.data = torch.tensor(values)
    windows = torch.full((2, WINDOW), V)
    batch = SimpleNamespace(
        observations=windows,
        next_observations=windows,
        actions=torch.tensor([[2], [0]]),
        rewards=torch.ones(2, 1),
        dones=torch.tensor([[0.0], [1.0]]),
        discounts=None,
    )
    agent.replay_buffer = SimpleNamespace(sample=lambda *args, **kwargs: batch)
    agent.set_logger(configure(None, []))
    return agent, batch


@pytest.mark.parametrize(("algorithm", "next_value"), [(DQN, 9.0), (DoubleDQN, 5.0)])
def test_the_target_is_the_target_networks_value_of_the_online_choice(algorithm, next_value):
    agent, _ = hand_made(algorithm)
    agent.train(1)
    target = torch.tensor([1 + 0.5 * next_value, 1.0])  # nothing follows a terminal step
    loss = F.smooth_l1_loss(torch.tensor([2.0, 1.0]), target)  # Q(s, 2) and Q(s, 0)
    assert agent.logger.name_to_value["train/loss"] == pytest.approx(loss.item())


def test_n_step_discounts_are_used():
    agent, batch = hand_made(DoubleDQN)
    batch.discounts = torch.tensor([[0.25], [0.25]])
    agent.train(1)
    loss = F.smooth_l1_loss(torch.tensor([2.0, 1.0]), torch.tensor([1 + 0.25 * 5, 1.0]))
    assert agent.logger.name_to_value["train/loss"] == pytest.approx(loss.item())


def test_equal_networks_make_double_dqn_the_same_as_dqn():
    states = []
    for algorithm in (DQN, DoubleDQN):
        agent, _ = hand_made(algorithm)
        agent.q_net_target.load_state_dict(agent.q_net.state_dict())
        torch.manual_seed(0)
        agent.train(1)
        states.append(agent.q_net.q_net[0].bias.detach())
    assert torch.equal(*states)


def test_double_dqn_trains_saves_and_loads(tmp_path):
    env = MaskedEnv(masked=False)
    kwargs = policy_kwargs("bag", algo="double_dqn", features_dim=16)
    agent = DoubleDQN("MlpPolicy", env, learning_starts=50, policy_kwargs=kwargs, seed=0, device="cpu")
    agent.learn(150)
    agent.save(tmp_path / "agent")
    loaded = DoubleDQN.load(tmp_path / "agent", env=env, device="cpu")
    windows = observations()["tokens"].numpy()
    assert (agent.predict(windows, deterministic=True)[0] == loaded.predict(windows, deterministic=True)[0]).all()
    loaded.learn(100)
    assert loaded._n_updates > 0
