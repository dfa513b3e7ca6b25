"""Randomness: streams of rows, fixed indices, groups that meet the same episodes."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from helpers import MODES, Lottery, Phrases, assert_same, some_tokens, vector

from textgym import TextGenEnv, TextGenVectorEnv


def episodes_met(env, steps, rng, seed=None, tokens=some_tokens):
    """For each row, the (episode, observation at its start, id) it meets, in order, from a reset on (SAME_STEP)."""
    observations, infos = env.reset(seed=seed)
    met = [[] for _ in range(env.num_envs)]
    begun = np.ones(env.num_envs, bool)
    for _ in range(steps):
        ids = infos.get("episode_id", np.full(env.num_envs, -1))
        for row in np.flatnonzero(begun):
            met[row].append((env.episodes[row], tuple(observations[row].tolist()), int(ids[row])))
        observations, _, begun, _, infos = env.step(tokens(rng, env, observations))
    return met


def shortest(met):
    return min(map(len, met))


def test_row_i_is_a_single_environment_seeded_s_plus_i(env_id):
    observations, _ = vector(env_id, 3).reset(seed=40)
    for i in range(3):
        assert_same(observations[i], gym.make(env_id).reset(seed=40 + i)[0])


def test_neither_reward_nor_policy_changes_the_sequence_of_episodes(env_id):
    rng = np.random.default_rng(0)
    budget = vector(env_id, 1).task.budget
    first = episodes_met(vector(env_id, 3, reward=[Lottery(), "delta"]), 3 * budget, rng, seed=7)
    others = [
        episodes_met(vector(env_id, 3, reward="terminal"), 3 * budget, rng, seed=7),
        episodes_met(vector(env_id, 3), 4, rng, seed=7, tokens=lambda rng, env, _: np.full(3, env.vocabulary.eos)),
        episodes_met(vector(env_id, 3, mask={"name": "banned", "tokens": [0]}), 8, rng, seed=7),
    ]
    for other in others:
        for ours, theirs in zip(first, other, strict=True):
            together = min(len(ours), len(theirs))
            assert ours[:together] == theirs[:together]
    assert shortest(first) >= 3 and shortest(others[1]) == 4


def test_random_rewards_have_a_stream_of_their_own_in_each_row():
    paid = [[], []]
    for n, taken in zip((3, 1), paid, strict=True):  # row 2 alone, then with others
        env = TextGenVectorEnv(Phrases, n, reward=Lottery(), autoreset_mode="SameStep")
        env.reset(seed=3 - n)
        taken += [env.step(np.full(n, env.vocabulary.eos if t % 3 == 2 else 0))[1][-1] for t in range(9)]
    assert_same(*paid)
    assert len(set(paid[0])) == 9


def test_reset_without_a_seed_goes_on_with_the_stream():
    env = TextGenEnv(Phrases)
    begun = [env.reset(seed=5)[0], *(env.reset()[0] for _ in range(8))]
    assert_same([env.reset(seed=5)[0], *(env.reset()[0] for _ in range(8))], begun)
    assert len({tuple(o) for o in begun}) > 3

    batch = TextGenVectorEnv(Phrases, 2)
    begun = [batch.reset(seed=[5, None])[0][0], *(batch.reset()[0][0] for _ in range(8))]
    assert_same(begun, [env.reset(seed=5)[0], *(env.reset()[0] for _ in range(8))])


def test_unseeded_environments_differ():
    begun = [tuple(gym.make("textgym/CopyLarge-v0").reset()[0]) for _ in range(3)]
    begun += [tuple(row) for row in vector("textgym/CopyLarge-v0", 3).reset()[0]]
    assert len(set(begun)) == 6


def test_np_random_is_the_generator_of_the_episodes():
    env = TextGenEnv(Phrases)
    env.reset(seed=1)
    env.np_random = np.random.default_rng(11)
    begun = [env.reset()[0] for _ in range(6)]
    twin = TextGenEnv(Phrases)
    twin.np_random = np.random.default_rng(11)
    assert_same([twin.reset()[0] for _ in range(6)], begun)

    batch, sync = TextGenVectorEnv(Phrases, 3), SyncVectorEnv([lambda: TextGenEnv(Phrases)] * 3)
    for each in (batch, sync):
        each.reset(seed=2)
        each.reset()
    assert_same(*(tuple(rng.bit_generator.state for rng in each.np_random) for each in (batch, sync)))


def test_fixed_indices_are_the_same_for_every_seed_and_reward(env_id):
    env, other = gym.make(env_id, reward="delta"), gym.make(env_id, reward="terminal")
    for index in (0, 1, 7):
        begun = env.reset(seed=index, options={"index": index})[0]
        assert_same(other.reset(options={"index": index})[0], begun)
        assert env.unwrapped.episode == other.unwrapped.episode == env.unwrapped.task.episode(index)
    indices = [3, 0, 5]
    batch = vector(env_id, 3)
    observations, _ = batch.reset(options={"index": np.array(indices)})
    assert batch.episodes == [batch.task.episode(i) for i in indices]
    assert_same(list(observations), [env.reset(options={"index": i})[0] for i in indices])


def test_fixed_indices_leave_the_stream_alone():
    env = TextGenEnv(Phrases)
    begun = [env.reset(seed=9)[0], env.reset()[0], env.reset()[0]]
    env.reset(seed=9, options={"index": 3})
    assert_same([env.reset()[0] for _ in range(3)], begun)


@pytest.mark.parametrize("seed", [0, None])
@pytest.mark.parametrize("groups, size", [(1, 4), (3, 2), (2, 3), (4, 1)])
def test_the_rows_of_a_group_meet_the_same_episodes_in_the_same_order(groups, size, seed):
    env = vector("textgym/Reverse-v0", groups * size, group_size=size)
    met = episodes_met(env, 60, np.random.default_rng(1), seed=seed)
    assert len({len(row) for row in met}) > 1  # they ended at different times
    for first in range(0, groups * size, size):
        for row in range(first, first + size):
            together = min(len(met[first]), len(met[row]))
            assert met[row][:together] == met[first][:together]
    named = {}
    for row, episodes in enumerate(met):
        for count, (_, _, id) in enumerate(episodes):
            assert named.setdefault(id, (row // size, count)) == (
                row // size,
                count,
            )  # one id, one episode of one group
        assert len({id for _, _, id in episodes}) == len(episodes)
    if seed is not None:
        plain = episodes_met(vector("textgym/Reverse-v0", groups), 60, np.random.default_rng(1), seed=seed)
        for group, episodes in enumerate(plain):
            together = min(len(episodes), len(met[group * size]))
            assert [e[:2] for e in episodes[:together]] == [e[:2] for e in met[group * size][:together]]


@pytest.mark.parametrize("mode", MODES)
def test_episode_id_is_in_every_info_of_a_grouped_env_and_of_no_other(mode):
    env = vector("textgym/Copy-v0", 4, mode, group_size=2)
    _, infos = env.reset(seed=0)
    assert_same(infos["episode_id"], np.array([0, 0, 1, 1]))
    assert_same(infos["_episode_id"], np.ones(4, bool))
    eos, other = env.vocabulary.eos, 0
    ends = env.step(np.array([eos, other, other, eos]))[4]
    if mode == "SameStep":
        assert_same(ends["final_info"]["episode_id"][[0, 3]], np.array([0, 1]))
        assert_same(ends["final_info"]["_episode_id"], np.array([True, False, False, True]))
        assert_same(ends["episode_id"], np.array([2, 0, 1, 3]))
    else:
        assert_same(ends["episode_id"], np.array([0, 0, 1, 1]))
    if mode == "NextStep":
        assert_same(env.step(np.full(4, other))[4]["episode_id"], np.array([2, 0, 1, 3]))
    assert "episode_id" not in vector("textgym/Copy-v0", 4, mode).reset()[1]


@pytest.mark.parametrize("size", [0, 3, -2, 1.0, "2", True])
def test_a_group_size_that_does_not_divide_the_rows_is_refused(size):
    with pytest.raises(ValueError, match="group_size"):
        vector("textgym/Copy-v0", 4, group_size=size)


def test_what_would_tear_a_group_apart_is_refused_and_changes_nothing():
    env = vector("textgym/Copy-v0", 4, "Disabled", group_size=2)
    first = np.array([True, False, False, False])
    with pytest.raises(ValueError, match="all rows of group 0"):
        env.reset(options={"reset_mask": first})  # row 1 could not have the stream of row 0
    env.reset(seed=[3, 3, 5, 5], options={"index": [1, 1, 2, 2]})
    before = env.get_state()
    for kwargs in (
        {"seed": [3, 4, 5, 5]},
        {"options": {"index": [1, 1, 1, 2]}},
        {"options": {"prompt": ["a", "a", "a", "b"]}},
        {"seed": 3, "options": {"reset_mask": first}},
        {"options": {"reset_mask": first, "index": 7}},
    ):
        with pytest.raises(ValueError, match="all rows of group [01]"):
            env.reset(**kwargs)
        assert_same(env.get_state(), before)
    env.reset(options={"reset_mask": first})  # goes on with the stream: its group will follow
    env.reset(options={"reset_mask": ~first})
    assert env.episodes[0] == env.episodes[1] and env.episodes[2] == env.episodes[3]
    env.reset(options={"reset_mask": first | np.roll(first, 1), "index": 7})


def test_a_seed_that_is_none_changes_nothing():
    env = vector("textgym/Copy-v0", 3)
    env.reset(seed=0)
    before = env.get_state()
    for seed in ([1, 2, -1], -5, [1, 2, "3"], [1, 2, 3.5]):
        with pytest.raises(gym.error.Error):
            env.reset(seed=seed)
        assert_same(env.get_state(), before)


def test_seeds_of_the_wrong_number_are_refused():
    env = TextGenVectorEnv(Phrases, 3)
    with pytest.raises(ValueError, match="3 rows, got 2"):
        env.reset(seed=[1, 2])


def test_autoreset_modes_have_many_spellings_and_unknown_ones_name_the_nearest():
    for mode in AutoresetMode:
        for spelling in (mode, mode.value, mode.name, mode.name.lower()):
            assert vector("textgym/Copy-v0", 1, spelling).metadata["autoreset_mode"] is mode
    assert gym.make_vec("textgym/Copy-v0").metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    with pytest.raises(ValueError, match="'SameSteps'.*'SameStep'"):
        vector("textgym/Copy-v0", 1, "SameSteps")
