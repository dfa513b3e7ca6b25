"""What one episode looks like from outside: layout of observations, ends, texts, types, terms."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import RecordEpisodeStatistics
from helpers import MASKED, MODES, Lottery, Phrases, Vowels, a_word, assert_same, play, some_tokens, vector, write
from tokenizers import Tokenizer, models

import textgym
from textgym import TextGenEnv, TextGenVectorEnv, Vocabulary


def test_prompts_stand_at_the_left_padded_on_the_left_and_token_t_in_column_prompt_length_plus_t():
    env = gym.make("textgym/Copy-v0", length=5, symbols=8).unwrapped
    pad, eos = env.vocabulary.pad, env.vocabulary.eos
    assert (pad, eos) == (9, 8) and not env.action_space.contains(pad)
    results = write(env, "ab", options={"prompt": "cab"})
    prompt = [pad, pad, 2, 0, 1]
    empty = [pad] * 6
    shown = [prompt + empty, prompt + [0] + empty[1:], prompt + [0, 1] + empty[2:], prompt + [0, 1, eos] + empty[3:]]
    assert_same([r[0] for r in results], [np.array(row, np.int32) for row in shown])
    assert env.observation_space == gym.spaces.Box(0, pad, (11,), np.int32)


def test_every_observation_shows_prompt_position_and_budget(env_id):
    env, rng = gym.make(env_id).unwrapped, np.random.default_rng(0)
    start, pad = env.task.prompt_length, env.vocabulary.pad
    assert env.observation_space.shape == (start + env.task.budget,)
    observation, _ = env.reset(seed=0)
    prompt = env.vocabulary.encode(env.episode.prompt)
    tokens, terminated = [], False
    while True:
        assert (observation[: start - len(prompt)] == pad).all()
        assert (observation[start - len(prompt) : start] == prompt).all()
        assert observation[start : start + len(tokens)].tolist() == tokens
        assert (observation[start + len(tokens) :] == pad).all()
        assert env.observation_space.contains(observation)
        if terminated:
            break
        tokens.append(int(rng.choice(np.flatnonzero(env.vocabulary.legal))))
        observation, _, terminated, truncated, info = env.step(tokens[-1])
        assert truncated is False
    assert info["end_reason"] == ("eos" if tokens[-1] == env.vocabulary.eos else "budget")
    assert info["text"] == env.vocabulary.decode(tokens)


def test_the_budget_counts_eos_and_ends_the_episode(env_id):
    budget = gym.make(env_id).unwrapped.task.budget + 3
    env = gym.make(env_id, budget=budget, disable_env_checker=True).unwrapped
    assert env.task.budget == budget and env.observation_space.shape == (env.task.prompt_length + budget,)
    word = a_word(env)
    results = play(env, [word] * (budget + 10))
    assert len(results) == 1 + budget and results[-1][4]["end_reason"] == "budget"
    results = play(env, [word] * (budget - 1) + [env.vocabulary.eos])
    assert len(results) == 1 + budget and results[-1][4]["end_reason"] == "eos"
    assert len(play(env, [env.vocabulary.eos])) == 2


def test_the_right_text_ends_with_score_1_and_success(env_id):
    env = gym.make(env_id, metrics=["exact_match", "token_match"], disable_env_checker=True).unwrapped
    env.reset(seed=3)
    reference = env.episode.references[0]
    *_, (_, _, terminated, _, info) = write(env, reference, seed=3)
    assert terminated is True
    assert info["score"] == 1.0 and info["is_success"] is True and info["end_reason"] == "eos"
    assert info["text"] == reference and info["exact_match"] == info["token_match"] == 1.0


def test_types_are_python_ones_in_the_single_env(env_id):
    for kwargs in ({}, {**MASKED, "metrics": ["cer", "token_match"], "reward": [Lottery(), "delta"]}):
        env = gym.make(env_id, disable_env_checker=True, **kwargs).unwrapped
        for _, reward, terminated, truncated, info in play(env, [1, 1, 1, env.vocabulary.eos])[1:]:
            assert type(reward) is float and type(terminated) is bool and type(truncated) is bool
            assert all(type(paid) is float for paid in info["reward_terms"].values())
            assert "episode" not in info
        outcome = {name: type(info[name]) for name in ("score", "is_success", "text", "end_reason")}
        assert outcome == {"score": float, "is_success": bool, "text": str, "end_reason": str}
        assert all(type(info[name]) is float for name in ("cer", "token_match") if kwargs)
        assert 0 <= info["score"] <= 1


def test_outcomes_are_in_the_last_info_only(env_id):
    env = gym.make(env_id, disable_env_checker=True, metrics=["cer"]).unwrapped
    results = play(env, [a_word(env)] * env.task.budget)
    always = set() if env.vocabulary.legal.all() else {"action_mask"}
    assert set(results[0][1]) == always
    assert all(set(info) == {"reward_terms"} | always for *_, info in results[1:-1])
    outcomes = {"score", "is_success", "text", "end_reason", "cer"}
    assert set(results[-1][4]) == {"reward_terms"} | always | outcomes


@pytest.mark.parametrize(
    "reward", ["terminal", "every_step:cer", [Lottery(), Vowels()], {"name": "delta", "weight": -3}]
)
def test_the_score_is_the_same_whatever_the_reward(env_id, reward):
    one = gym.make(env_id, disable_env_checker=True).unwrapped
    other = gym.make(env_id, reward=reward, disable_env_checker=True).unwrapped
    one.reset(seed=1)
    tokens = [*one.vocabulary.encode(one.episode.references[0])[:3], a_word(one), one.vocabulary.eos]
    ours, theirs = play(one, tokens, seed=1)[-1][4], play(other, tokens, seed=1)[-1][4]
    for name in ("score", "is_success", "text", "end_reason"):
        assert ours[name] == theirs[name]
    assert ours["score"] == one.task.score(ours["text"], one.episode)


def test_the_text_excludes_eos_and_what_is_unfinished_becomes_final_before_it_is_paid():
    env = TextGenEnv(Phrases, reward=["delta", "terminal"], metrics=["cer"])
    byte = env.vocabulary.tokenizer.token_to_id("æ")  # the first byte of 我
    for end in ([env.vocabulary.eos], [0] * 40):
        results = play(env, [byte, *end], options={"prompt": "x", "references": ["\ufffd"]})
        text = results[-1][4]["text"]
        assert text == "\ufffd" + "!" * (env.task.budget - 1) * (len(end) > 1)
        assert results[-1][4]["score"] == env.task.score(text, env.episode)
        assert sum(r[4]["reward_terms"]["delta:character_accuracy"] for r in results[1:]) == pytest.approx(
            results[-1][4]["score"]
        )
        assert results[-1][4]["reward_terms"]["terminal:character_accuracy"] == results[-1][4]["score"]
    last = play(env, [0] * 27 + [byte], options={"prompt": "x", "references": ["!" * 27 + "\ufffd"]})[-1]
    assert last[4]["end_reason"] == "budget" and last[4]["score"] == 1.0


@pytest.mark.parametrize("mode", MODES)
def test_last_reward_terms_cover_every_row_in_every_mode(mode):
    kwargs = {"reward": [{"name": "delta", "weight": 0.5}, Lottery()], "mask": {"name": "banned", "tokens": [1]}}
    env, rng = vector("textgym/Copy-v0", 3, mode, **kwargs), np.random.default_rng(0)
    observations, _ = env.reset(seed=0)
    over = np.zeros(3, bool)
    for _ in range(60):
        waiting = over if mode == "NextStep" else np.zeros(3, bool)
        observations, rewards, over, _, infos = env.step(some_tokens(rng, env, observations))
        terms = env.last_reward_terms
        assert set(terms) == {"delta:character_match", "lottery", "illegal"}
        for name, paid in terms.items():
            assert paid.dtype == np.float64 and paid.shape == (3,)
            for row in range(3):
                source = infos["final_info"] if mode == "SameStep" and over[row] else infos
                if waiting[row]:
                    assert paid[row] == 0.0  # the row was reset, not paid
                else:
                    assert paid[row] == source["reward_terms"][name][row]
        assert sum(terms.values()) == pytest.approx(rewards, abs=1e-12)
        if mode == "Disabled" and over.any():
            observations, _ = env.reset(options={"reset_mask": over})


def test_last_reward_terms_of_the_single_env():
    env = TextGenEnv(Phrases, reward=["delta", Vowels()])
    assert env.last_reward_terms == {}
    info = write(env, "a cat")[2][4]
    env.reset()
    env.step(int(env.vocabulary.encode("a")[0]))
    assert set(env.last_reward_terms) == set(info["reward_terms"])
    assert_same(env.last_reward_terms["many"], np.array([0.1]))


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_gymnasium_statistics_work_on_both_faces(mode):
    env, rng = RecordEpisodeStatistics(gym.make("textgym/Copy-v0")), np.random.default_rng(0)
    env.reset(seed=0)
    while True:
        *_, over, _, info = env.step(int(rng.integers(9)))
        if over:
            break
    assert info["episode"]["l"] <= 6
    batch = gym.wrappers.vector.RecordEpisodeStatistics(vector("textgym/Copy-v0", 3, mode))
    batch.reset(seed=0)
    for _ in range(20):
        batch.step(batch.action_space.sample())
    assert batch.episode_count > 3


def test_outer_time_limits_truncate():
    env = gym.make("textgym/Copy-v0", max_episode_steps=2)
    env.reset(seed=0)
    assert [env.step(0)[2:4] for _ in range(2)] == [(False, False), (False, True)]


def test_v_is_one_more_than_the_largest_id_and_unused_and_special_tokens_are_never_legal(tmp_path):
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 3, "c": 6, "[UNK]": 7}, unk_token="[UNK]"))
    tokenizer.add_special_tokens(["[UNK]", "[PAD]", "</s>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    vocabulary = Vocabulary.load(tmp_path, eos="</s>")
    assert len(vocabulary) == vocabulary.size == 1 + max(tokenizer.get_vocab().values())
    assert set(np.flatnonzero(vocabulary.legal)) == {0, 3, 6, vocabulary.eos}
    env = TextGenEnv(Letters, tokenizer=vocabulary)
    _, info = env.reset(seed=0)
    assert env.action_space.n == vocabulary.size
    assert_same(info["action_mask"], vocabulary.legal.astype(np.int8))  # nobody asked for a mask
    assert env.step(1)[4]["end_reason"] == "illegal"
    batch = TextGenVectorEnv(Letters, 2, tokenizer=vocabulary)
    assert_same(batch.reset(seed=0)[1]["action_mask"], np.array([vocabulary.legal] * 2, np.int8))


class Letters(textgym.DatasetTask):
    metric = textgym.ExactMatch()

    def __init__(self, split="train", tokenizer="word", budget=4, lossy=False):
        items = [textgym.Episode("a", ("b",)), textgym.Episode("b", ("c",))]
        vocabulary = textgym.make_vocabulary(tokenizer, lambda: ["a b c"])
        super().__init__(items, vocabulary=vocabulary, prompt_length=1, budget=budget, split=split, lossy=lossy)


def test_references_that_the_vocabulary_cannot_write_are_refused_unless_lossy():
    for make in (TextGenEnv, TextGenVectorEnv):
        with pytest.raises(ValueError, match="lossy=True"):
            make(Phrases, tokenizer=Vocabulary.words(["a cat sits on the"]))
        make(Phrases, tokenizer=Vocabulary.words(["a cat sits on the"]), lossy=True).reset(seed=0)


def test_items_that_do_not_fit_are_dropped_and_counted_and_never_cut():
    task = Phrases(tokenizer="character", budget=8)
    assert len(task) + task.dropped.total() == len(Phrases.ITEMS) and task.dropped["reference too long"] > 0
    kept = {(episode.prompt, episode.references) for episode in map(task.episode, range(len(task)))}
    fits = [(p, refs) for p, refs in Phrases.ITEMS if all(task.vocabulary.count(r) < 8 for r in refs)]
    assert kept == set(fits)
    with pytest.raises(ValueError, match="'train' is empty"):
        TextGenEnv(BigPhrases)


class BigPhrases(Phrases):
    ITEMS = Phrases.ITEMS[:1]

    def __init__(self, **kwargs):
        super().__init__(tokenizer="character", budget=2, **kwargs)
