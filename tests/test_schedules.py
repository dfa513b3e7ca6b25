"""Every schedule in every face of the environment: paid alike, saved and restored, after faults, by any spelling."""

import copy
import json
import pickle

import gymnasium as gym
import numpy as np
import pytest
from helpers import MODES, Lottery, Phrases, Vowels, assert_same, play, scribble_over
from test_reward_errors import FAULTS, Faulty

from textgym import (
    AtWordEnds,
    Clipped,
    Constant,
    Delayed,
    Delta,
    EveryStep,
    Noisy,
    Normalised,
    Potential,
    ResetNeeded,
    RewardError,
    Scaled,
    TextGenEnv,
    TextGenVectorEnv,
    make_reward,
)
from textgym.rewards import SCHEDULES, spelt_out

VOCABULARIES = {kind: Phrases(tokenizer=kind, lossy=True).vocabulary for kind in ("byte_bpe", "character", "word")}
NEEDED = {  # the arguments without which a schedule cannot be made
    "noisy": {"reward": "delta", "std": 0.5},
    "dropout": {"reward": ["delta", "every_step:cer"], "p": 0.5},
    "scaled": {"reward": {"name": "delayed", "k": 3}, "scale": -2},
    "clipped": {"reward": ["delta:cer", {"name": "terminal", "weight": 3}], "low": -0.1, "high": 0.2},
    "normalised": {"reward": {"name": "at_word_ends", "reward": "delta:cer"}},
}
SPECS = {name: {"name": name, **NEEDED.get(name, {})} for name in SCHEDULES}
SPECS["nested"] = {
    "name": "delayed",
    "k": 3,
    "weight": 2,
    "reward": [
        {"name": "at_word_ends", "reward": {"name": "noisy", "std": 0.1, "reward": "delta:cer"}},
        {"name": "potential", "metric": "wer", "gamma": 0.9, "base": {"name": "dropout", "reward": "delta", "p": 0.5}},
    ],
}
ALONE = sorted(SPECS.keys() - {"normalised"})  # rows do not depend on each other


def make(reward, mode="single", n=3, kind="byte_bpe", **kwargs):
    """A single env, or one of n rows with ``mode`` of autoreset."""
    kwargs |= {"tokenizer": VOCABULARIES[kind], "lossy": True, "reward": reward}
    if mode == "single":
        return TextGenEnv(Phrases, **kwargs)
    return TextGenVectorEnv(Phrases, n, autoreset_mode=mode, **kwargs)


def some(env, count, seed=0):
    """Token ids (count, ...): letters, spaces, parts of characters, and now and then EOS."""
    likely = [*env.vocabulary.encode("我爱你 the cat 😀"), *env.vocabulary.encode("a b c "), env.vocabulary.eos]
    return np.random.default_rng(seed).choice(likely, (count, *np.shape(env.action_space.sample())))


def go_on(env, mode, actions):
    """(rewards, terms, ended) of each step; episodes that have ended are followed by others."""
    results = []
    for action in actions:
        if mode in ("single", "Disabled") and env.state.over.any():
            env.reset(**({} if mode == "single" else {"options": {"reset_mask": env.state.over.copy()}}))
        _, rewards, ended, *_ = env.step(action)
        results.append((rewards, env.last_reward_terms, ended))
    return results


def payments(reward, tokens, kind="byte_bpe", **kwargs):
    """What each token of one episode is paid, and the terms: name -> what each token is paid."""
    options = {"prompt": "", "references": ["the cat 我", "a b"]}
    results = play(make(reward, kind=kind, **kwargs), tokens, options=options)[1:]
    terms = [info["reward_terms"] for *_, info in results]
    return [paid for _, paid, *_ in results], {name: [each[name] for each in terms] for name in terms[0]}


# -- every schedule, in every face -----------------------------------------------------------------------


def test_every_id_takes_every_schedule_as_json(env_id):
    spec = list(SPECS.values())
    saved = gym.make(env_id, reward=spec).spec.to_json()
    envs = [gym.make(env_id, reward=spec), gym.make(gym.envs.registration.EnvSpec.from_json(saved))]
    batch = gym.make_vec(env_id, num_envs=2, reward=json.loads(json.dumps(spec)), autoreset_mode="SameStep")
    for env in (*envs, batch):
        env.reset(seed=0)
    vocabulary = envs[0].unwrapped.vocabulary
    for token in (*np.flatnonzero(vocabulary.legal)[:2].tolist(), vocabulary.eos):
        results = [env.step(token) for env in envs]
        assert_same(*results)
        _, paid, _, _, infos = batch.step([token, token])
        terms = infos.get("final_info", infos)["reward_terms"]
        names = {name for name in terms if not name.startswith("_")}
        assert names == results[0][4]["reward_terms"].keys() and len(names) >= len(spec)
        assert paid == pytest.approx(sum(terms[name] for name in names))
        if results[0][2]:
            break


@pytest.mark.parametrize("name", SPECS)
def test_a_single_env_is_paid_as_a_batch_of_one(name):
    single, batch = make(SPECS[name]), make(SPECS[name], "Disabled", 1)
    single.reset(seed=3)
    batch.reset(seed=3)
    tokens = some(single, 60)
    for one, of_batch in zip(go_on(single, "single", tokens), go_on(batch, "Disabled", tokens[:, None]), strict=True):
        assert one[0] == of_batch[0][0] and one[2] == of_batch[2][0]
        assert_same(one[1], of_batch[1])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ALONE)
def test_rows_are_paid_as_if_each_were_alone(name, mode):
    batch, singles = make(SPECS[name], mode), [make(SPECS[name]) for _ in range(3)]
    batch.reset(seed=5)
    for row, env in enumerate(singles):
        env.reset(seed=5 + row)
    waiting = np.zeros(3, bool)
    ends = 0
    for action in some(batch, 60):
        if mode == "Disabled" and waiting.any():
            batch.reset(options={"reset_mask": waiting})
        _, rewards, ended, *_ = batch.step(action)
        for row, env in enumerate(singles):
            if waiting[row]:
                env.reset()
            if waiting[row] and mode == "NextStep":
                assert rewards[row] == 0.0 and not ended[row]
                continue
            _, paid, over, *_ = env.step(action[row])
            assert rewards[row] == pytest.approx(paid, abs=1e-12) and ended[row] == over
        waiting, ends = ended, ends + ended.sum()
    assert ends > 5


@pytest.mark.parametrize("mode", ["single", *MODES])
@pytest.mark.parametrize("name", SPECS)
def test_a_saved_state_has_the_same_future_twice_and_in_a_fresh_env(name, mode):
    env = make(SPECS[name], mode)
    env.reset(seed=0)
    go_on(env, mode, some(env, 25, seed=1))
    saved = pickle.loads(pickle.dumps(env.get_state()))
    fresh, actions = make(SPECS[name], mode), some(env, 30, seed=2)
    copied = copy.deepcopy(env)
    expected = go_on(env, mode, actions)
    assert_same(go_on(copied, mode, actions), expected)
    for other in (env, fresh, env):
        other.set_state(saved)
        assert_same(go_on(other, mode, actions), expected)


@pytest.mark.parametrize("mode", ["single", *MODES])
@pytest.mark.parametrize("name", SPECS)
def test_terms_sum_to_the_reward_and_what_is_returned_is_the_callers(name, mode):
    quiet, loud = make(SPECS[name], mode), make(SPECS[name], mode)
    for env in (quiet, loud):
        env.reset(seed=0)
    for actions in some(quiet, 40)[:, None]:
        for ours, theirs in zip(go_on(loud, mode, actions), go_on(quiet, mode, actions), strict=True):
            assert_same(ours, theirs)
            rewards, terms, _ = ours
            np.testing.assert_allclose(sum(terms.values()), np.atleast_1d(rewards), atol=1e-12)
            scribble_over([rewards, terms])


def test_an_episode_that_is_broken_off_leaves_nothing_behind():
    for name in ALONE:
        broken, other = make(SPECS[name], "SameStep"), make(SPECS[name], "SameStep")
        broken.reset(seed=1)
        go_on(broken, "SameStep", some(broken, 4)[:, :1] * [1, 1, 1])
        for env in (broken, other):
            env.reset(seed=0)
        actions = some(broken, 20, seed=4)
        assert_same(go_on(broken, "SameStep", actions), go_on(other, "SameStep", actions))


@pytest.mark.parametrize("mode", ["single", "SameStep"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", [*NEEDED, "delayed", "at_word_ends"])
def test_a_faulty_inner_reward_stops_the_env_until_it_is_reset(name, fault, mode):
    wrong, words = FAULTS[fault]
    env = make({**SPECS[name], "reward": Faulty(wrong)}, mode)
    token = 60 if mode == "single" else [60] * 3
    for _ in range(2):
        env.reset(seed=0)
        env.step(token)
        with pytest.raises(RewardError) as error:
            env.step(token)
        assert "'faulty'" in str(error.value) and words in str(error.value)
        with pytest.raises(ResetNeeded):
            env.step(token)
    env.reset(seed=0)
    assert np.isfinite(env.step(token)[1]).all()


# -- names, specs, errors --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec, name",
    [
        ("potential:wer", "potential:wer"),
        ("delayed", "delayed:delta"),
        ("delayed:delta:cer", "delayed:delta:cer"),
        ("at_word_ends:delayed:every_step:cer", "at_word_ends:delayed:every_step:cer"),
        ({"name": "delayed", "k": 4, "reward": ["delta", "terminal:wer"]}, "delayed:(delta + terminal:wer)"),
        ({"name": "delayed:delta:cer", "k": 4, "weight": 2}, "2*delayed:delta:cer"),
        ({"name": "potential:wer", "gamma": 0.5, "base": Lottery()}, "potential:wer"),
        ({"name": "noisy", "std": 1, "reward": {"name": "helpers:Lottery"}}, "noisy:lottery"),
        (Clipped(2 * Delta("cer")), "clipped:2*delta:cer"),
        ("constant", "constant"),
    ],
)
def test_inner_rewards_are_any_spec_and_names_show_them(spec, name):
    assert make_reward(spec).name == name


def test_inner_rewards_are_resolved_and_followed_once():
    reward = Delayed(Normalised(Potential(None, 0.9, AtWordEnds())), 2) + Delta() + EveryStep("character_accuracy")
    env = make(reward, "SameStep")
    resolved = env.state.reward.parts[0][1]
    assert resolved.k == 2 and resolved.reward.name == "normalised:potential:character_accuracy"
    assert resolved.reward.reward.gamma == 0.9
    assert resolved.reward.reward.base.name == "at_word_ends:delta:character_accuracy"
    assert reward.parts[0][1].reward.reward.base.reward.metric is None  # the recipe is what it was
    followed = [each.metric for each in env.state.paying.metrics.followed]
    assert len(followed) == len(set(followed)) == 2
    named = Clipped("delta:cer")
    assert named.resolve(env.task) is named


def test_text_is_read_where_somebody_needs_it_only():
    for reward, needs in (
        (Delayed("terminal:cer"), False),
        (Noisy("delta:token_match", 1), False),
        (Clipped(Vowels()), True),
        (AtWordEnds("terminal:cer"), True),
        (Potential("token_match"), False),
        (Potential("token_match", base=Scaled(Vowels(), 2)), True),
        (Constant(), False),
    ):
        assert make(reward).state.paying.needs_text is needs


def test_spelt_out_names_the_first_argument_of_a_schedule():
    assert spelt_out("delta") == {"name": "delta"}
    assert spelt_out("delta:cer") == {"name": "delta", "metric": "cer"}
    assert spelt_out({"name": "delayed:delta:cer", "k": 2}) == {"name": "delayed", "reward": "delta:cer", "k": 2}
    assert spelt_out("helpers:Lottery") == {"name": "helpers:Lottery"}


@pytest.mark.parametrize(
    "spec, error, words",
    [
        ("noisy", TypeError, "it takes reward, std"),
        ("noisy:delta", TypeError, "needs std"),
        ("delayed:cer", ValueError, "'cer' is a metric"),
        ("constant:0.5", ValueError, "value must be a finite number, got '0.5'"),
        ("potential:ter", ValueError, "cannot be followed"),
        ({"name": "potential", "gama": 0.9}, TypeError, "Did you mean 'gamma'"),
        ({"name": "potential", "gamma": 0.0}, ValueError, "above 0 and at most 1, got 0.0"),
        ({"name": "potential", "gamma": 1.01}, ValueError, "above 0 and at most 1, got 1.01"),
        ({"name": "potential", "base": "detla"}, ValueError, "Did you mean 'delta'"),
        ({"name": "delayed:delta", "reward": "delta"}, TypeError, "given twice"),
        ({"name": "delayed", "k": 0}, ValueError, "k must be a whole number, at least 1, got 0"),
        ({"name": "delayed", "k": 1.5}, ValueError, "got 1.5"),
        ({"name": "delayed", "reward": None}, TypeError, "got None"),
        ({"name": "noisy", "reward": "delta", "std": -1}, ValueError, "at least 0, got -1"),
        ({"name": "dropout", "reward": "delta", "p": 0}, ValueError, "above 0 and at most 1, got 0"),
        ({"name": "dropout", "reward": "delta", "p": 1.1}, ValueError, "got 1.1"),
        ({"name": "scaled", "reward": "delta", "scale": "2"}, ValueError, "finite number, got '2'"),
        ({"name": "scaled", "reward": "delta", "scale": True}, ValueError, "got True"),
        ({"name": "scaled", "reward": "delta", "scale": float("nan")}, ValueError, "got nan"),
        ({"name": "clipped", "reward": "delta", "low": 1, "high": 1}, ValueError, "low must be below high"),
        ({"name": "clipped", "reward": "delta", "low": float("nan")}, ValueError, "got nan"),
        ({"name": "normalised", "reward": "delta", "clip": 0}, ValueError, "above 0, got 0"),
        ({"name": "normalised", "reward": "delta", "epsilon": 0}, ValueError, "above 0, got 0"),
        ({"name": "normalised", "reward": "delta", "gamma": 2}, ValueError, "got 2"),
        ({"name": "constant", "value": None}, ValueError, "got None"),
    ],
)
def test_wrong_arguments_are_named_with_what_is_allowed(spec, error, words):
    with pytest.raises(error) as raised:
        make_reward(spec)
    assert words in str(raised.value)
