"""What is paid is what the task and the metric say: own scores, error rates, subclasses, groups, splits."""

import gymnasium as gym
import numpy as np
import pytest

import textgym
from textgym.ngram import NGramModel
from textgym.tasks import make_task
from textgym.tasks.symbolic import Copy


class HalfCopy(Copy):
    """A task with a score of its own, which is not its metric's."""

    def score(self, text, episode):
        return 0.5 * super().score(text, episode)


class Bonus(textgym.Delta):
    """Written for arrays, as a user would."""

    schedule = "bonus"

    def pay(self, value, before, step):
        paid = super().pay(value, before, step)
        paid[step.ended] += 1.0
        return paid


def write(env, text):
    """Write a text and EOS; the rewards and the last info."""
    paid = []
    for token in [*env.vocabulary.encode(text), env.vocabulary.eos]:
        _, reward, ended, _, info = env.step(int(token))
        paid.append(reward)
        if ended:
            return paid, info
    raise AssertionError("the episode goes on")


@pytest.mark.parametrize("reward", ["delta", "terminal"])
def test_a_task_that_computes_its_score_is_paid_that(reward):
    env = textgym.TextGenEnv(HalfCopy(), reward=reward)
    env.reset(seed=0)
    paid, info = write(env, env.episode.references[0])
    assert info["score"] == 0.5 and sum(paid) == pytest.approx(0.5)


@pytest.mark.parametrize("make", [lambda: textgym.TextGenEnv(Copy(), reward=Bonus())])
def test_a_schedule_derived_from_a_built_in_one_pays_a_single_env_as_a_batch(make):
    single = make()
    batch = textgym.TextGenVectorEnv(Copy(), 1, reward=Bonus(), autoreset_mode="Disabled")
    single.reset(seed=0)
    batch.reset(seed=0)
    paid, _ = write(single, single.episode.references[0])
    actions = [*single.vocabulary.encode(single.episode.references[0]), single.vocabulary.eos]
    assert paid == [batch.step(np.array([a]))[1][0] for a in actions] and sum(paid) == pytest.approx(2.0)


def test_an_illegal_end_is_no_way_to_a_low_error_rate():
    banned = {"name": "banned", "tokens": [0]}
    env = textgym.TextGenEnv(Copy(), reward=-1.0 * textgym.Delta("cer"), mask=banned, metrics=["cer"])
    env.reset(seed=0)
    first = env.step(1)[1]
    _, last, ended, _, info = env.step(0)
    assert ended and info["end_reason"] == "illegal" and info["cer"] == 1.0
    assert first + last == pytest.approx(-1.0)


def test_a_mask_that_learns_learns_from_the_train_split_whatever_is_evaluated():
    mask = {"name": "top_k", "k": 3, "order": 6}
    masks = [gym.make("textgym/Copy-v0", mask=mask, split=split).unwrapped.state.mask for split in ("train", "test")]
    assert masks[0].model.counts == masks[1].model.counts
    with pytest.raises(ValueError, match="split 'test'"):
        NGramModel.of_task(make_task(Copy, split="test"))


def test_episode_ids_tell_episodes_apart_when_rows_are_out_of_step_and_episodes_are_given():
    env = gym.make_vec("textgym/Copy-v0", num_envs=2, autoreset_mode="SameStep", group_size=2)
    env.reset(seed=0)
    seen = {}

    def check(infos):
        for row, number in enumerate(infos["episode_id"].tolist()):
            assert seen.setdefault(number, env.episodes[row]) == env.episodes[row]

    eos = env.vocabulary.eos
    check(env.step(np.array([eos, 0]))[4])  # one row ends, the other goes on
    check(env.reset(options={"index": 5})[1])
    assert env.reset(options={"index": 5})[1]["episode_id"].tolist()[0] < 0
    rng = np.random.default_rng(0)
    for _ in range(40):
        check(env.step(np.where(rng.random(2) < 0.4, eos, 0))[4])
    assert len(seen) > 10


def test_the_terms_sum_to_the_reward_also_where_rows_are_reset():
    env = gym.make_vec("textgym/Copy-v0", num_envs=3, reward=["delta", {"name": "terminal", "weight": 0.5}])
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(60):
        _, rewards, *_ = env.step(rng.integers(0, 9, 3))
        np.testing.assert_allclose(sum(env.last_reward_terms.values()), rewards, atol=1e-12)
    env.reset()
    assert all((paid == 0).all() for paid in env.last_reward_terms.values())


def test_a_metric_has_a_form_in_json():
    spec = {"name": "delta", "metric": {"name": "edit_distance", "unit": "word", "form": "rate"}}
    assert gym.make("textgym/Copy-v0", reward=spec).unwrapped.state.reward.name == "delta:wer"
    with pytest.raises(TypeError, match="Did you mean 'unit'"):
        textgym.make_metric({"name": "edit_distance", "unti": "word"})
    with pytest.raises(ValueError, match="Did you mean 'edit_distance'"):
        textgym.make_metric({"name": "edit_distanc"})


def test_rewards_can_be_summed_with_sum():
    reward = sum([textgym.Delta("cer"), textgym.Terminal("wer")])
    assert reward.name == "delta:cer + terminal:wer"
