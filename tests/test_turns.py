"""Turns and tokens: a text written at once pays what its tokens do, environments of texts are played by tokens."""

import copy
import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from helpers import Phrases, assert_same, play, write

from textgym import InvalidAction, ResetNeeded, TextGenEnv, TokenWrapper, TurnWrapper, Vocabulary

IDS = ["Copy-v0", "Addition-v0", "Brackets-v0", "CoupletZh-v0", "Keywords-v0", "Dates-v0"]
REWARDS = ["delta", "terminal", [{"name": "delta", "metric": "cer", "weight": -1}, "constant"]]


class Guess:
    """A game of a user's own: find the number in four turns."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def reset(self, seed=None):
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.number, self.left = int(self.rng.integers(1, 10)), 4
        return "Guess a number from 1 to 9", {"left": self.left}

    def step(self, action):
        self.left -= 1
        right = action.strip() == str(self.number)
        hint = f"{action!r} is {'right' if right else 'wrong'}"
        return hint, float(right), right, not right and self.left == 0, {"left": self.left}


def texts_for(env, rng):
    """Right, unfinished, wrong and too long ones."""
    vocabulary = env.unwrapped.vocabulary
    right = (*env.unwrapped.episode.references, "")[0]
    legal = [id for id in np.flatnonzero(vocabulary.legal).tolist() if id != vocabulary.eos]
    gap = " " * (" " in right)  # between words only: a part of one may have no token
    parts = right.split() if gap else right
    yield from ("", right, gap.join(parts[: len(parts) // 2]), gap.join([right] * 9))
    for _ in range(3):
        yield vocabulary.decode(rng.choice(legal, size=int(rng.integers(1, env.unwrapped.budget + 2))))


def encoded(env, text):
    return [*env.vocabulary.encode(text).tolist(), env.vocabulary.eos]


# Turns


@pytest.mark.parametrize("reward", REWARDS, ids=str)
@pytest.mark.parametrize("name", IDS)
def test_a_turn_pays_what_its_tokens_pay(name, reward):
    env, turns = (gym.make(f"textgym/{name}", reward=reward) for _ in range(2))
    env, turns = env.unwrapped, TurnWrapper(turns)
    rng = np.random.default_rng(0)
    for seed in range(4):
        env.reset(seed=seed)
        for text in texts_for(env, rng):
            prompt, _ = turns.reset(seed=seed)
            assert prompt == turns.unwrapped.episode.prompt
            observation, total, *over, info = turns.step(text)
            _, *steps = write(env, text, seed=seed)
            assert env.episode == turns.unwrapped.episode
            assert info["payments"].tolist() == [step[1] for step in steps]
            assert total == sum(step[1] for step in steps) and observation == ""
            assert over == [steps[-1][2], steps[-1][3]] == [True, False]
            assert sum(info["reward_terms"].values()) == pytest.approx(total)
            assert_same(
                {key: info[key] for key in steps[-1][4]} | {"reward_terms": 0}, steps[-1][4] | {"reward_terms": 0}
            )
            chosen = encoded(env, text)
            assert info["tokens"].tolist() == chosen[: len(steps)]
            assert info["cut"] == max(0, len(chosen) - 1 - env.budget)


def test_a_text_that_cannot_be_written_is_refused_or_ends_the_episode():
    turns = TurnWrapper(gym.make("textgym/Copy-v0"))
    prompt, _ = turns.reset(seed=0)
    with pytest.raises(InvalidAction, match="no tokens for all of 'Zürich'"):
        turns.step("Zürich")
    assert turns.step(prompt)[1] == 1.0, "another text may be tried"
    with pytest.raises(InvalidAction, match="no tokens"):  # a word vocabulary has <unk>, which is no action
        words = TurnWrapper(gym.make("textgym/Keywords-v0"))
        words.reset(seed=0)
        words.step("the zebra")
    turns = TurnWrapper(gym.make("textgym/Copy-v0"), on_unwritable="end")
    turns.reset(seed=0)
    observation, total, *over, info = turns.step("Zürich")
    assert (observation, total, over) == ("", 0.0, [True, False])
    assert info["end_reason"] == "unwritable" and info["score"] == 0.0 and not len(info["payments"])
    with pytest.raises(ResetNeeded):
        turns.step("a")
    anything = TurnWrapper(gym.make("textgym/Copy-v0", tokenizer="byte_bpe"))
    anything.reset(seed=0)
    assert anything.step("Z\u00fc")[4]["text"] == "Zü"


def test_turns_come_after_a_reset_and_are_texts():
    turns = TurnWrapper(gym.make("textgym/Copy-v0"))
    with pytest.raises(ResetNeeded):
        turns.step("a")
    turns.reset()
    with pytest.raises(InvalidAction, match="an action is a text, got 3"):
        turns.step(3)
    turns.step("a")
    with pytest.raises(ResetNeeded):
        turns.step("a")
    with pytest.raises(TypeError, match="TurnWrapper takes a TextGenEnv"):
        TurnWrapper(gym.make("CartPole-v1"))
    with pytest.raises(ValueError, match="Did you mean 'raise'"):
        TurnWrapper(gym.make("textgym/Copy-v0"), on_unwritable="raises")


def test_a_turn_that_is_refused_in_the_middle_needs_a_reset():
    banned = {"name": "banned", "tokens": [1]}
    turns = TurnWrapper(gym.make("textgym/Copy-v0", mask=banned, on_illegal="raise"))
    turns.reset(seed=0)
    with pytest.raises(InvalidAction, match="not legal"):
        turns.step("aab")
    with pytest.raises(ResetNeeded):
        turns.step("aa")


def test_options_seeds_and_other_wrappers_go_through():
    turns = TurnWrapper(gym.wrappers.RecordEpisodeStatistics(gym.make("textgym/Copy-v0")))
    assert turns.reset(options={"prompt": "abc", "references": ["cba"]})[0] == "abc"
    total, info = turns.step("cba")[1::3]
    assert total == 1.0 and info["episode"]["r"] == 1.0
    assert turns.reset(7)[0] == turns.reset(seed=7)[0], "GEM's wrappers give the seed by its place"
    short = TurnWrapper(gym.wrappers.TimeLimit(gym.make("textgym/Copy-v0"), 2))
    short.reset(seed=0)
    assert short.step("abc")[2:4] == (False, True)


def test_a_turn_environment_is_made_again_from_its_spec():
    env = TurnWrapper(gym.make("textgym/Copy-v0"), on_unwritable="end")
    again = gym.make(env.spec)
    assert type(again) is TurnWrapper and again.on_unwritable == "end"
    assert again.reset(seed=3) == env.reset(seed=3)


@pytest.mark.parametrize("tokenizer", [None, "byte_bpe", "word"])
def test_turn_spaces_hold_what_is_written_and_shown(tokenizer):
    env = TurnWrapper(gym.make("textgym/Keywords-v0", tokenizer=tokenizer))
    env.action_space.seed(0)
    samples = [env.action_space.sample() for _ in range(100)]
    assert all(sample in env.action_space for sample in samples) and len(set(samples)) > 50
    prompt, _ = env.reset(seed=0)
    assert prompt in env.observation_space and "" in env.observation_space and 3 not in env.action_space
    assert ("the zebra" in env.action_space) == (tokenizer == "byte_bpe")
    assert isinstance(env.action_space, gym.spaces.Text) and isinstance(env.observation_space, gym.spaces.Text)
    for sample in samples[:10]:
        env.reset()
        assert env.step(sample)[2]


# Tokens


def test_a_game_is_played_token_by_token_over_several_turns():
    env, game = TokenWrapper(Guess(), prompt_length=30, budget=4), Guess()
    for seed in range(10):
        observation, info = env.reset(seed=seed)
        question, _ = game.reset(seed=seed)
        assert info == {"left": 4, "observation": question}
        for guess in ("5", "12", "x 777", "3"):  # the third is cut by the budget
            assert env.vocabulary.decode(observation[:30]) == question
            assert (observation[30:] == env.vocabulary.pad).all()
            tokens = encoded(env, guess)[:4]
            for token in tokens[:-1]:
                observation, reward, terminated, truncated, info = env.step(token)
                assert (reward, terminated, truncated, info) == (0.0, False, False, {})
            assert env.vocabulary.decode(observation[30:]) == guess[: len(tokens) - 1]
            observation, *rest, info = env.step(tokens[-1])
            question, *expected, inner = game.step(guess[:4])
            assert rest == expected and info == {**inner, "action": guess[:4], "observation": question}
            if rest[1] or rest[2]:
                assert observation[30 : 30 + len(tokens)].tolist() == tokens, "the last turn is still shown"
                break
        with pytest.raises(ResetNeeded):
            env.step(0)


def test_long_answers_lose_their_beginning():
    env = TokenWrapper(Guess(), prompt_length=6, budget=4)
    assert env.vocabulary.decode(env.reset()[0][:6]) == "1 to 9"
    none = TokenWrapper(Guess(), prompt_length=0, budget=4)
    assert none.reset()[0].tolist() == [none.vocabulary.pad] * 4


class Seedless(Guess):
    def reset(self):
        return super().reset()


class Broken(Guess):
    def reset(self):
        return 3, {}


def test_mistakes_of_the_inner_environment_are_told():
    assert TokenWrapper(Seedless()).reset(options={})[1]["left"] == 4
    with pytest.raises(TypeError, match="seed"):
        TokenWrapper(Seedless()).reset(seed=3)
    with pytest.raises(TypeError, match="whose observations are texts, got 3"):
        TokenWrapper(Broken()).reset()
    env = TokenWrapper(Guess(), Vocabulary.characters(["abc"]))
    with pytest.raises(ValueError, match="character 'G'"):
        env.reset()
    with pytest.raises(ResetNeeded):
        env.step(0)
    env = TokenWrapper(Guess())
    env.reset()
    with pytest.raises(InvalidAction, match="no token id"):
        env.step(env.vocabulary.size)


@pytest.mark.parametrize("inner", [Guess, lambda: TurnWrapper(gym.make("textgym/Addition-v0", tokenizer="byte_bpe"))])
def test_checkers_find_nothing_to_complain_about(inner):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version.*")
        env = inner()
        if isinstance(env, gym.Env):
            check_env(env, skip_render_check=True)
        check_env(TokenWrapper(inner(), budget=9), skip_render_check=True)
        checker = pytest.importorskip("stable_baselines3.common.env_checker")
        checker.check_env(TokenWrapper(inner(), budget=9), skip_render_check=True)


@pytest.mark.parametrize("tokenizer", [None, {"name": "byte_bpe", "size": 300}])
@pytest.mark.parametrize("name", IDS)
def test_turns_of_tokens_and_back_are_the_environment_itself(name, tokenizer):
    env = gym.make(f"textgym/{name}", tokenizer=tokenizer).unwrapped
    inner = TurnWrapper(gym.make(f"textgym/{name}", tokenizer=tokenizer))
    back = TokenWrapper(inner, env.vocabulary, prompt_length=env.prompt_length, budget=env.budget)
    assert back.observation_space == env.observation_space and back.action_space == env.action_space
    rng = np.random.default_rng(0)
    for seed in range(6):
        env.reset(seed=seed)
        for text in texts_for(env, rng):
            if "\ufffd" in text:  # half a character, which has no tokens of its own
                continue
            ours, theirs = play(back, encoded(env, text), seed), play(env, encoded(env, text), seed)
            assert [o[0].tolist() for o in ours] == [t[0].tolist() for t in theirs]
            assert [step[2:4] for step in ours[1:]] == [step[2:4] for step in theirs[1:]]
            assert sum(step[1] for step in ours[1:]) == pytest.approx(sum(step[1] for step in theirs[1:]))
            for key in ("score", "text", "is_success"):
                assert ours[-1][-1][key] == theirs[-1][-1][key]


def test_terminal_payments_come_at_the_same_token():
    env = TextGenEnv(Phrases, reward="terminal")
    back = TokenWrapper(
        TurnWrapper(TextGenEnv(Phrases, reward="terminal")), env.vocabulary, prompt_length=14, budget=env.budget
    )
    for index, (_, references) in enumerate(Phrases.ITEMS):
        for text in (*references, "naïve"):
            tokens, options = encoded(env, text), {"index": index}
            ours, theirs = play(back, tokens, options=options), play(env, tokens, options=options)
            assert [step[1] for step in ours[1:]] == [step[1] for step in theirs[1:]]


def test_an_illegal_token_ends_the_episode():
    env = gym.make("textgym/Keywords-v0", reward="delta:chrf").unwrapped
    back = TokenWrapper(TurnWrapper(env), env.vocabulary, prompt_length=env.prompt_length, budget=env.budget)
    (unknown,) = np.flatnonzero(~back.action_masks())
    for tokens in ([unknown], [5, 6, unknown]):
        ours, theirs = play(back, tokens), play(copy.deepcopy(env), tokens)
        assert [o[0].tolist() for o in ours] == [t[0].tolist() for t in theirs]
        assert ours[-1][1:4] == (0.0, True, False) and ours[-1][4] == {"end_reason": "illegal"}
        assert sum(step[1] for step in theirs[1:]) == pytest.approx(0.0) and theirs[-1][4]["end_reason"] == "illegal"
        with pytest.raises(ResetNeeded):
            back.step(5)


def test_copies_go_on_alike():
    env = TokenWrapper(Guess(), budget=5)
    env.reset(seed=1)
    env.step(env.vocabulary.encode("4")[0])
    others = [copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
    for token in (*encoded(env, "2"), *encoded(env, "7")):
        expected = env.step(token)
        for other in others:
            assert_same(other.step(token), expected)
    assert expected[4]["action"] == "7"


def test_many_games_at_once():
    vector = gym.vector.SyncVectorEnv([lambda: TokenWrapper(Guess(), prompt_length=30, budget=3)] * 3)
    vector.reset(seed=0)
    ended = 0
    for _ in range(100):
        _, rewards, terminated, truncated, _ = vector.step(vector.action_space.sample())
        ended += int((terminated | truncated).sum())
    assert ended > 5
