"""SB3VecEnv is n single environments as Stable-Baselines3 sees them, DummyVecEnv the oracle; algorithms run on it."""

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
from helpers import MASKED, Lottery, Phrases, Vowels, assert_same, scribble_over, some_tokens, vector

pytest.importorskip("stable_baselines3")
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from textgym import ResetNeeded, TextGenEnv, TextGenVectorEnv
from textgym.sb3 import SB3VecEnv, make_vec_env

N = 3
SETTINGS = {
    "plain": {},
    "everything": {
        **MASKED,
        "observe_mask": True,
        "reward": ["delta", Lottery(), Vowels(), "terminal:token_match"],
        "metrics": ["cer", "token_match"],
        "on_illegal": -0.3,
    },
}


def step_both(ours, theirs, rng, observations, count):
    """The same tokens to both; all that they return is compared. How many episodes ended."""
    ends = 0
    for _ in range(count):
        actions = some_tokens(rng, ours.envs, observations)
        observations, rewards, dones, infos = ours.step(actions)
        expected = theirs.step(actions)
        assert_same(observations, type(observations)(expected[0]) if isinstance(observations, dict) else expected[0])
        assert_same(rewards, expected[1])
        assert rewards.dtype == np.float32 and rewards.flags.writeable
        assert_same(dones, expected[2])
        for done, info, other in zip(dones, infos, expected[3], strict=True):
            assert_same(info, plain(other) if done else {})  # of rows that go on there is nothing to say
        ends += dones.sum()
    return ends


def plain(info):
    return {key: dict(value) if isinstance(value, dict) else value for key, value in info.items()}


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_id_equals_dummy_vec_env_step_by_step(env_id, settings):
    kwargs = SETTINGS[settings]
    ours = make_vec_env(env_id, N, monitor=False, **kwargs)
    theirs = DummyVecEnv([lambda: gym.make(env_id, disable_env_checker=True, **kwargs).unwrapped] * N)
    assert ours.observation_space == theirs.observation_space and ours.action_space == theirs.action_space
    rng, ends = np.random.default_rng(0), 0
    for seed in (5, None):
        if seed is not None:
            ours.seed(seed), theirs.seed(seed)
        observations, expected = ours.reset(), theirs.reset()
        assert_same(observations, dict(expected) if isinstance(observations, dict) else expected)
        assert_same(ours.reset_infos, theirs.reset_infos)
        ends += step_both(ours, theirs, rng, observations, 25)
    assert ends


def test_seeds_and_options_are_used_once():
    ours, theirs = (
        make_vec_env("textgym/Copy-v0", N, seed=3, monitor=False),
        DummyVecEnv([lambda: gym.make("textgym/Copy-v0")] * N),
    )
    theirs.seed(3)
    indices = [{"index": i} for i in (4, 0, 2)]
    for options in (
        None,
        indices,
        {"prompt": "abc"},
        [{"prompt": p, "references": [p, "a"]} for p in ("a", "ba", "")],
        None,
    ):
        if options is not None:
            ours.set_options(options), theirs.set_options(options)
        assert_same(ours.reset(), theirs.reset())
    ours.set_options({"index": np.array([4, 0, 2])})  # an array has an item for each row
    theirs.set_options(indices)
    assert_same(ours.reset(), theirs.reset())
    ours.set_options([{"index": 1}, {}, {"index": 2}])
    with pytest.raises(ValueError, match="same reset options"):
        ours.reset()


def test_seeds_go_by_groups_where_there_are_groups():
    ours, single = make_vec_env("textgym/Copy-v0", 4, seed=9, group_size=2, monitor=False), gym.make("textgym/Copy-v0")
    assert_same(list(ours.reset()), [single.reset(seed=seed)[0] for seed in (9, 9, 10, 10)])


def test_what_callers_do_to_returned_arrays_changes_nothing():
    kwargs = {**SETTINGS["everything"], "autoreset_mode": "SameStep"}
    ours, twin = (SB3VecEnv(TextGenVectorEnv(Phrases, N, **kwargs)) for _ in range(2))
    rng, kept = np.random.default_rng(0), []
    for each in (ours, twin):
        each.seed(0)
    scribble_over(ours.reset())
    observations = twin.reset()
    for _ in range(60):
        actions = some_tokens(rng, twin.envs, observations)
        given = actions.copy()
        results, expected = ours.step(given), twin.step(actions)
        assert_same(given, actions)
        assert_same(results, expected)
        kept.append((expected, copy.deepcopy(expected)))
        scribble_over([results, given])
        observations = expected[0]
    for now, then in kept:
        assert_same(now, then)


def test_attributes_and_methods_of_rows():
    env = make_vec_env("textgym/Copy-v0", N, monitor=False, render_mode="rgb_array", **MASKED)
    env.reset()
    assert env.get_attr("render_mode") == ["rgb_array"] * N == env.get_attr("render_mode", [0, 1, 2])
    assert env.get_attr("vocabulary", indices=1) == [env.envs.vocabulary]
    with pytest.raises(AttributeError, match="no_such_thing"):
        env.get_attr("no_such_thing")
    assert env.has_attr("action_masks") and not env.has_attr("no_such_thing")
    assert env.env_is_wrapped(gym.Wrapper) == [False] * N and env.env_is_wrapped(gym.Wrapper, [0]) == [False]
    assert [image.shape for image in env.get_images()] == [env.envs.render()[0].shape] * N
    env.set_attr("note", 7)
    assert env.get_attr("note") == [7] * N
    with pytest.raises(ValueError, match="all rows"):
        env.set_attr("note", 8, indices=[1])
    with pytest.raises(AttributeError):
        env.env_method("no_such_method")
    env.close()


def test_masks_are_computed_once_for_all_rows(monkeypatch):
    env = make_vec_env("textgym/Copy-v0", N, **MASKED)
    env.reset()
    expected, calls = env.unwrapped.envs.action_masks(), []
    original = TextGenVectorEnv.action_masks
    monkeypatch.setattr(TextGenVectorEnv, "action_masks", lambda self: calls.append(1) or original(self))
    masks = env.env_method("action_masks")
    assert len(calls) == 1 and len(masks) == N
    assert_same(np.stack(masks), expected)
    assert_same(env.env_method("action_masks", indices=[2])[0], expected[2])
    assert expected.dtype == bool


def test_step_before_reset_asks_for_one():
    with pytest.raises(ResetNeeded):
        make_vec_env("textgym/Copy-v0", 2).step(np.zeros(2, int))


def test_what_stable_baselines3_cannot_use_is_refused():
    for kwargs in ({"mode": "NextStep"}, {"mode": "Disabled"}, {"copy": False}):
        with pytest.raises(ValueError, match="autoreset_mode='SameStep' and copy=True"):
            SB3VecEnv(vector("textgym/Copy-v0", 2, **kwargs))
    with pytest.raises(TypeError, match="SyncVectorEnv"):
        SB3VecEnv(gym.make_vec("textgym/Copy-v0", num_envs=2, vectorization_mode="sync"))
    for name in ("autoreset_mode", "copy"):
        with pytest.raises(TypeError, match=name):
            make_vec_env("textgym/Copy-v0", 2, **{name: True})


# -- algorithms -----------------------------------------------------------------------------------------

SMALL = {"policy_kwargs": {"net_arch": [8]}, "device": "cpu", "seed": 0}
ALGORITHMS = {
    "PPO": lambda policy, env: PPO(policy, env, n_steps=16, batch_size=32, n_epochs=1, **SMALL),
    "A2C": lambda policy, env: A2C(policy, env, n_steps=8, **SMALL),
    "DQN": lambda policy, env: DQN(policy, env, learning_starts=20, batch_size=8, buffer_size=500, **SMALL),
    "MaskablePPO": lambda policy, env: pytest.importorskip("sb3_contrib").MaskablePPO(
        policy, env, n_steps=16, batch_size=32, n_epochs=1, **SMALL
    ),
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("observe_mask", [False, True])
def test_algorithms_learn_log_the_score_save_and_load(algorithm, observe_mask, tmp_path):
    env = make_vec_env("textgym/Copy-v0", 4, seed=0, metrics=["cer"], observe_mask=observe_mask, **MASKED)
    assert isinstance(env, VecMonitor)
    model = ALGORITHMS[algorithm]("MultiInputPolicy" if observe_mask else "MlpPolicy", env)
    model.learn(200)
    assert model.num_timesteps >= 200 and len(model.ep_info_buffer) > 10
    for info in model.ep_info_buffer:
        assert 0 <= info["score"] <= 1 and info["cer"] >= 0 and 1 <= info["l"] <= env.get_attr("task")[0].budget
    model.save(tmp_path / "model")
    loaded = type(model).load(
        tmp_path / "model", env=make_vec_env("textgym/Copy-v0", 2, observe_mask=observe_mask, **MASKED)
    )
    env.seed(1)
    observations = env.reset()
    assert_same(*(each.predict(observations, deterministic=True)[0] for each in (model, loaded)))


def test_masked_agents_write_legal_tokens_only():
    contrib = pytest.importorskip("sb3_contrib")
    env = make_vec_env("textgym/Brackets-v0", 4, seed=0, mask="task", on_illegal="raise")
    contrib.MaskablePPO("MlpPolicy", env, n_steps=16, batch_size=32, n_epochs=1, **SMALL).learn(200)


def test_scores_of_the_monitor_are_those_of_the_environment():
    env = make_vec_env("textgym/Copy-v0", 2, seed=0)
    env.reset()
    eos, returns = env.get_attr("vocabulary")[0].eos, np.zeros(2)
    for actions in ([0, 1], [2, 3], [eos, 4], [1, eos]):
        _, rewards, dones, infos = env.step(np.array(actions))
        returns += rewards
        for row in np.flatnonzero(dones):
            episode = infos[row]["episode"]
            assert episode["r"] == pytest.approx(returns[row], abs=1e-5) and episode["score"] == infos[row]["score"]
            returns[row] = 0


def test_wrappers_and_evaluation_run_on_it():
    env = VecNormalize(make_vec_env("textgym/Copy-v0", 2, seed=0), norm_obs=False)
    model = PPO("MlpPolicy", env, n_steps=8, batch_size=16, n_epochs=1, **SMALL).learn(32)
    mean, _ = evaluate_policy(model, make_vec_env("textgym/Copy-v0", 2, seed=1), n_eval_episodes=4)
    assert 0 <= mean <= 1


def test_the_adapter_can_be_copied_and_pickled_in_mid_episode():
    env = make_vec_env("textgym/Copy-v0", 2, seed=0, monitor=False)
    env.reset()
    env.step(np.array([1, 2]))
    copies = [copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
    for _ in range(8):
        expected = env.step(np.array([1, 8]))
        for each in copies:
            ours = each.step(np.array([1, 8]))
            assert_same(ours, expected)


def test_a_single_environment_of_the_users_own_task_works_too():
    env = DummyVecEnv([lambda: TextGenEnv(Phrases)])
    PPO("MlpPolicy", env, n_steps=16, batch_size=16, n_epochs=1, **SMALL).learn(16)
