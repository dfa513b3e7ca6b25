"""Every registered id keeps the contracts of Gymnasium and Stable-Baselines3: a new id is tested by existing."""

import contextlib
import inspect
import itertools
import json
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from helpers import MASKED, a_word, assert_same, play, vector

from textgym import TextGenEnv, TextGenVectorEnv
from textgym.registration import register, register_all
from textgym.tasks import SPLITS

SECTIONS = [
    "Description",
    "Action space",
    "Observation space",
    "Rewards",
    "Starting state",
    "Episode end",
    "Arguments",
    "Version history",
]


@contextlib.contextmanager
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        yield


def observing_masks(env_id):
    return gym.make(env_id, observe_mask=True, metrics=["cer"], reward=["delta", "terminal:token_match"], **MASKED)


def test_gymnasium_finds_nothing_to_complain_about(env_id, capsys):
    with no_warnings():
        check_env(gym.make(env_id).unwrapped)
        check_env(observing_masks(env_id).unwrapped, skip_render_check=True)


def test_stable_baselines3_finds_nothing_to_complain_about(env_id):
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    with no_warnings():
        checker.check_env(gym.make(env_id).unwrapped, skip_render_check=True)
        checker.check_env(observing_masks(env_id).unwrapped, skip_render_check=True)


def test_stable_baselines3_makes_the_id_by_its_name(env_id):
    env_util = pytest.importorskip("stable_baselines3.common.env_util")
    assert env_util.make_vec_env(env_id, n_envs=2).reset().shape[0] == 2  # with render_mode="rgb_array"


def test_the_wrapped_environment_plays_without_a_warning(env_id):
    with no_warnings():
        env = gym.make(f"textgym:{env_id}")
        assert len(play(env, [a_word(env)] * 100)) > 2
        env.close()


def test_the_spec_survives_json(env_id):
    spec = gym.spec(env_id)
    json.dumps(spec.kwargs)
    assert spec.max_episode_steps is None  # Gymnasium would hand it to the vector env's constructor
    saved = gym.make(env_id, reward={"name": "delta", "metric": "cer", "weight": 2}).spec.to_json()
    again = gym.make(gym.envs.registration.EnvSpec.from_json(saved))
    plain = gym.make(env_id, reward="delta:cer")
    assert_same(again.reset(seed=1), plain.reset(seed=1))
    paid = again.step(a_word(plain))[1]
    assert paid == 2 * plain.step(a_word(plain))[1] != 0


def test_both_faces_are_made_by_gymnasium(env_id):
    assert type(gym.make(env_id).unwrapped) is TextGenEnv
    with no_warnings():
        native = gym.make_vec(env_id, num_envs=2)
        assert type(native) is TextGenVectorEnv and native.spec.id == env_id
        sync = gym.make_vec(env_id, num_envs=2, vectorization_mode="sync")
    assert_same(native.reset(seed=0), sync.reset(seed=0))
    actions = np.zeros(2, int)
    assert_same(native.step(actions), sync.step(actions))


def test_every_render_mode_works(env_id, capsys):
    for mode, kind in (("ansi", str), ("rgb_array", np.ndarray), ("human", type(None))):
        env = gym.make(env_id, render_mode=mode)
        env.reset(seed=0)
        env.step(0)
        frame = env.render()
        assert type(frame) is kind
        if mode == "rgb_array":
            assert frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3
        batch = vector(env_id, 2, render_mode=mode)
        batch.reset(seed=0)
        batch.step(np.zeros(2, int))
        frames = batch.render()
        assert frames is None if mode == "human" else [type(frame) for frame in frames] == [kind] * 2
    assert capsys.readouterr().out.strip()
    assert gym.make(env_id).unwrapped.render_mode is None and vector(env_id, 2).render() is None


def test_every_id_takes_the_same_keywords(env_id):
    common = {
        "reward": [{"name": "delta", "metric": "cer", "weight": -1}, "terminal"],
        "split": "validation",
        "tokenizer": {"name": "byte_bpe", "size": 300},
        "budget": 400,
        "mask": {"name": "banned", "tokens": [5]},
        "observe_mask": True,
        "on_illegal": -1,
        "metrics": ["wer", "exact_match"],
        "render_mode": "ansi",
    }
    env = gym.make(env_id, **common).unwrapped
    batched = {"autoreset_mode": "SameStep", "copy": False, "group_size": 2}
    batch = gym.make_vec(env_id, num_envs=4, **common, **batched)
    for each in (env, batch):
        json.loads(each.spec.to_json())
        assert each.task.split == "validation" and each.task.budget == 400 and each.vocabulary.kind == "byte_bpe"
        each.reset(seed=0)
    _, reward, over, _, info = env.step(5)
    assert over and info["end_reason"] == "illegal" and info["reward_terms"]["illegal"] == -1.0 and info["wer"] == 1.0
    assert batch.step([5, 4, 4, 4])[2].tolist() == [True, False, False, False]
    names = {"observation_space", "action_space"}
    assert names <= set(dir(env)) and env.observation_space["tokens"].shape[0] == env.task.prompt_length + 400
    assert set(inspect.signature(TextGenEnv).parameters) - {"task", "task_arguments"} == common.keys()
    parameters = set(inspect.signature(TextGenVectorEnv).parameters)
    assert parameters - {"task", "task_arguments", "num_envs"} == common.keys() | batched.keys()


def test_every_split_has_episodes_of_its_own_in_the_same_spaces(env_id):
    spaces, found = set(), {}
    for split in SPLITS:
        env = gym.make(env_id, split=split).unwrapped
        spaces.add((str(env.observation_space), str(env.action_space), env.vocabulary.fingerprint))
        episodes = map(env.task.episode, range(30))
        found[split] = {(episode.prompt, episode.references) for episode in episodes}
    assert len(spaces) == 1
    if not getattr(env.task, "one_prompt", False):
        assert not any(found[a] & found[b] for a, b in itertools.combinations(SPLITS, 2))


def test_no_attribute_that_other_libraries_take_for_something_else(env_id):
    env, batch = gym.make(env_id).unwrapped, vector(env_id, 2)
    assert not hasattr(env, "compute_reward")  # SB3 would take it for a GoalEnv
    for each in (env, batch):
        assert "torch" not in each.metadata and each.metadata["render_fps"] > 0
        assert each.metadata["render_modes"] == ["ansi", "human", "rgb_array"]


def test_environments_share_one_task(env_id):
    assert gym.make(env_id).unwrapped.task is vector(env_id, 2).task


def test_the_docstring_of_the_task_is_a_page(env_id):
    page = inspect.getdoc(type(gym.make(env_id).unwrapped.task))
    titles = [line.removeprefix("## ") for line in page.splitlines() if line.startswith("## ")]
    assert [title for title in titles if title in SECTIONS] == SECTIONS


def test_registering_again_changes_nothing():
    before = dict(gym.registry)
    with no_warnings():
        register_all()
    assert gym.registry == before


def test_a_users_task_gets_an_id_in_one_line():
    with no_warnings():
        register("helpers/Phrases-v0", "helpers:Phrases", reward="terminal:wer", budget=28)
    try:
        env = gym.make("helpers/Phrases-v0")
        check_env(env.unwrapped, skip_render_check=True)
        assert gym.make_vec("helpers/Phrases-v0", num_envs=3).reset(seed=0)[0].shape == (3, 42)
        json.loads(env.spec.to_json())
    finally:
        del gym.registry["helpers/Phrases-v0"]
