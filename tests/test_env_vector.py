"""TextGenVectorEnv is n single environments, exactly, infos and dtypes included: SyncVectorEnv is the oracle."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from helpers import MODES, Lottery, Phrases, Vowels, assert_same, some_tokens

from textgym import TextGenEnv, TextGenVectorEnv

N = 4
ALL_KINDS = [  # of rewards: text and ids, random, a user's own, two of one name
    {"name": "delta", "weight": 2},
    {"name": "every_step", "metric": "token_match", "weight": -0.5},
    {"name": "terminal", "metric": "wer"},
    {"name": "terminal", "metric": "wer", "weight": 0.1},
    Lottery(),
    Vowels(),
]
SETTINGS = {
    "plain": {},
    "masked": {"mask": {"name": "banned", "tokens": [0, 2]}, "on_illegal": -0.25, "metrics": ["cer", "token_match"]},
    "everything": {
        "reward": ALL_KINDS,
        "mask": {"name": "banned", "tokens": [1]},
        "observe_mask": True,
        "metrics": ["exact_match", "character_match", "token_match", "wer"],
    },
}


def both(make_single, make_vector, mode, n=N):
    mode = next(m for m in AutoresetMode if m.value == mode)
    theirs = SyncVectorEnv([make_single] * n, autoreset_mode=mode)
    ours = make_vector(num_envs=n, autoreset_mode=mode)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.single_observation_space == theirs.single_observation_space
    assert ours.metadata["autoreset_mode"] == theirs.metadata["autoreset_mode"]
    return ours, theirs


def run_both(ours, theirs, steps, seed=0):
    """Same seeds, actions and resets of some rows in mid-episode; all results are compared. The end reasons met."""
    rng = np.random.default_rng(seed)
    n, disabled = ours.num_envs, ours.autoreset_mode is AutoresetMode.DISABLED
    observations, infos = ours.reset(seed=seed)
    assert_same((observations, infos), theirs.reset(seed=seed))
    over, reasons = np.zeros(n, bool), []
    for t in range(steps):
        if disabled and over.any() or rng.random() < 0.03:
            chosen = over | (rng.random(n) < 0.2)
            chosen[0] |= not chosen.any()
            options = {"reset_mask": chosen}
            if rng.random() < 0.3:
                options["index"] = int(rng.integers(len(ours.task)))
            new_seed = int(rng.integers(1000)) if rng.random() < 0.3 else None
            observations, infos = ours.reset(seed=new_seed, options=options)
            assert options["reset_mask"] is chosen  # SyncVectorEnv takes it out of the caller's dict
            assert_same((observations, infos), theirs.reset(seed=new_seed, options=options), f"reset {t}")
        actions = some_tokens(rng, ours, observations)
        results = ours.step(actions)
        assert_same(results, theirs.step(actions), f"step {t}")
        assert all(ours.single_observation_space.contains(row) for row in rows_of(results[0]))
        observations, over = results[0], results[2]
        ends = results[4].get("final_info", results[4])
        reasons += [reason for reason in ends.get("end_reason", []) if reason is not None]
    return reasons


def rows_of(observations):
    if isinstance(observations, dict):
        return [dict(zip(observations, row, strict=True)) for row in zip(*observations.values(), strict=True)]
    return list(observations)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("mode", MODES)
def test_every_id_equals_sync_vector_env(env_id, mode, settings):
    kwargs = SETTINGS[settings]
    ours, theirs = both(
        lambda: gym.make(env_id, disable_env_checker=True, **kwargs).unwrapped,
        lambda **vector: gym.make_vec(env_id, **vector, **kwargs),
        mode,
    )
    reasons = run_both(ours, theirs, steps=min(3 * ours.task.budget, 45), seed=len(env_id))
    assert len(reasons) >= 2


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "kwargs",
    [
        {"reward": ALL_KINDS},
        {
            "reward": ALL_KINDS,
            "tokenizer": "word",
            "lossy": True,
            "metrics": ["token_match"],
        },  # <unk> turns the mask on
        {"reward": "every_step", "tokenizer": "character", "observe_mask": True, "mask": {"name": "top_k", "k": 3}},
        {"reward": ["delta:token_match", "every_step:token_match"]},  # nothing asks for text
    ],
)
def test_texts_of_many_scripts_and_several_references_equal_sync_vector_env(mode, kwargs):
    ours, theirs = both(
        lambda: TextGenEnv(Phrases, **kwargs), lambda **vector: TextGenVectorEnv(Phrases, **vector, **kwargs), mode
    )
    assert len(run_both(ours, theirs, steps=90)) > 10
