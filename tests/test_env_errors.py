"""Bad input: what was given, what is allowed, the nearest right name; and nothing is lost."""

import gymnasium as gym
import numpy as np
import pytest
from helpers import MODES, Lottery, Phrases, assert_same, shown, some_tokens, vector

from textgym import Delta, InvalidAction, ResetNeeded, TextGenEnv, TextGenVectorEnv

# -- actions ------------------------------------------------------------------------------------------

BAD_TOKENS = [
    -1,
    "V",
    10**6,
    2**63 - 1,
    2**70,
    1.0,
    np.float32(1),
    True,
    np.True_,
    "a",
    None,
    [1],
    np.zeros(1, int),
    [[1]],
    {},
]


@pytest.mark.parametrize("action", BAD_TOKENS, ids=shown)
def test_what_is_no_token_is_named_and_changes_nothing_in_a_single_env(action):
    env = TextGenEnv(Phrases, reward=[Lottery(), "delta"], mask={"name": "banned", "tokens": [1]})
    env.reset(seed=0)
    env.step(5)
    before = env.get_state()
    action = env.vocabulary.size if isinstance(action, str) and action == "V" else action
    with pytest.raises(InvalidAction) as error:
        env.step(action)
    assert_same(env.get_state(), before)
    if type(action) is int and action < 2**63:
        assert f"action {action} " in str(error.value) and f"0 .. {env.vocabulary.size - 1}" in str(error.value)
    else:
        assert repr(action) in str(error.value) and "one integer token id" in str(error.value)
    env.step(np.int64(5))


ROW_1, SHAPE = "row 1: action {} is no token id; allowed: 0 .. 8 (EOS is 8)", "integer token ids of shape (3,)"
BAD_BATCHES = [
    ([0, -1, 0], ROW_1.format(-1)),
    (np.array([0, 9, 0]), ROW_1.format(9)),
    *(([0, action, 0], ROW_1.format(action)) for action in (-9, -10, -18, -19, 17, 18, 19)),
    (np.array([0, 2**64 - 1, 0], np.uint64), "row 1"),
    ([0.0, 1.0, 2.0], SHAPE),
    ([True, False, True], SHAPE),
    ([0, 1], SHAPE),
    ([0, 1, 2, 3], SHAPE),
    ([[0], [1], [2]], SHAPE),
    ([0, [1, 2], 0], SHAPE),
    ([0, None, 0], SHAPE),
    (["a", "b", "c"], SHAPE),
    (1, SHAPE),
    (None, SHAPE),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("actions, words", BAD_BATCHES, ids=shown)
def test_what_are_no_tokens_is_named_and_changes_nothing_in_a_vector_env(actions, words, mode):
    env = vector("textgym/Copy-v0", 3, mode, reward=[Lottery(), "delta"])
    env.reset(seed=0)
    env.step(np.array([0, 1, 8 if mode == "NextStep" else 2]))  # under NextStep row 2 waits for its reset
    before = env.get_state()
    with pytest.raises(InvalidAction) as error:
        env.step(actions)
    assert words in str(error.value)
    assert_same(env.get_state(), before)
    env.step([0, 1, 2])


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.int8, np.uint64])
def test_next_step_ignores_the_action_of_a_row_that_is_reset_even_out_of_range(dtype):
    env = TextGenVectorEnv(Phrases, 2, reward=[Lottery(), "delta"])  # V does not fit 8 bits
    twin = TextGenVectorEnv(Phrases, 2, reward=[Lottery(), "delta"])
    for each in (env, twin):
        each.reset(seed=0)
        assert each.step([3, each.vocabulary.eos])[2].tolist() == [False, True]
    worst = np.iinfo(dtype).max if dtype is not np.int8 else -1
    results = env.step(np.array([5, worst], dtype))
    assert_same(results, twin.step([5, 0]))
    assert results[1][1] == 0.0 and not results[2][1]


@pytest.mark.parametrize("mode", ["single", "vector"])
def test_on_illegal_raise_names_the_token_and_changes_nothing(mode):
    kwargs = {"mask": {"name": "banned", "tokens": ["a"]}, "on_illegal": "raise", "reward": [Lottery(), "delta"]}
    env = (
        gym.make("textgym/Copy-v0", **kwargs).unwrapped if mode == "single" else vector("textgym/Copy-v0", 3, **kwargs)
    )
    env.reset(seed=0)
    env.step(2 if mode == "single" else np.array([2, 3, 4]))
    before = env.get_state()
    with pytest.raises(InvalidAction, match=r"row [01]: token 0 \(a\) is not legal after '[cd]'; legal: 1 \(b\)"):
        env.step(0 if mode == "single" else np.array([1, 0, 0]))
    assert_same(env.get_state(), before)
    rewards, terms = env.step(1 if mode == "single" else np.array([1, 1, 1]))[1], env.last_reward_terms
    assert terms["illegal"].tolist() == [0.0] * len(np.atleast_1d(rewards))


# -- order of calls -------------------------------------------------------------------------------------


def test_step_before_reset_asks_for_a_reset(env_id):
    for env in (gym.make(env_id).unwrapped, *(vector(env_id, 2, mode) for mode in MODES)):
        with pytest.raises(ResetNeeded, match="call reset before step"):
            env.step(env.action_space.sample())


def test_a_row_that_was_never_reset_is_named():
    for mode in MODES:
        env = vector("textgym/Copy-v0", 3, mode)
        env.reset(seed=0, options={"reset_mask": np.array([True, False, True])})
        with pytest.raises(ResetNeeded, match="row 1 has no episode"):
            env.step([0, 0, 0])
        env.reset(options={"reset_mask": np.array([False, True, False])})
        env.step([0, 0, 0])


def test_step_after_the_end_asks_for_a_reset_and_changes_nothing():
    single, batch = gym.make("textgym/Copy-v0").unwrapped, vector("textgym/Copy-v0", 2, "Disabled")
    for env, first, after in ((single, 8, 0), (batch, [0, 8], [0, 0])):
        env.reset(seed=0)
        env.step(first)
        before = env.get_state()
        with pytest.raises(ResetNeeded, match=f"row {np.size(first) - 1}: its episode has ended"):
            env.step(after)
        assert_same(env.get_state(), before)
        env.reset()
        env.step(after)


@pytest.mark.parametrize("mask", [[True, True], np.ones(3, bool), np.zeros(2, bool), np.ones(2, int), "yes"], ids=shown)
def test_a_bad_reset_mask_is_refused_and_changes_nothing(mask):
    env = vector("textgym/Copy-v0", 2)
    env.reset(seed=0)
    before = env.get_state()
    with pytest.raises((TypeError, ValueError), match="reset_mask"):
        env.reset(seed=4, options={"reset_mask": mask})
    assert_same(env.get_state(), before)


# -- options of reset ---------------------------------------------------------------------------------


BAD_OPTIONS = [
    ({"indx": 1}, ValueError, "'indx'. Did you mean 'index'?"),
    ({"index": 1, "prompt": "abc"}, ValueError, "not both"),
    ({"index": 1, "references": ["abc"]}, ValueError, "not both"),
    ({"index": 10**9}, IndexError, str(10**9)),
    ({"index": -1}, IndexError, "-1"),
    ({"index": 1.5}, ValueError, "1.5"),
    ({"index": True}, ValueError, "True"),
    ({"index": "1"}, ValueError, "'1'"),
    ({"references": ["abc"]}, ValueError, "prompt"),
    ({"prompt": "abcabcabc"}, ValueError, "9 tokens, the environment takes at most 5"),
    ({"prompt": "abz"}, ValueError, "'z'"),
    ({"prompt": 5}, ValueError, "5"),
    ({"prompt": "abc", "references": "abc"}, (TypeError, ValueError), "'abc'"),
    ({"prompt": ["abc"] * 5}, ValueError, "5"),
    ({"index": [1, 2, 3, 4, 5]}, ValueError, "5 items"),
    ({"prompt": "abc", "references": [["a"], ["b"], ["c"], ["d"], ["e"]]}, ValueError, "5 items"),
]


@pytest.mark.parametrize(
    "options, error, words", BAD_OPTIONS, ids=lambda value: repr(value) if isinstance(value, dict) else ""
)
@pytest.mark.parametrize("name", ["Copy-v0", "SpellingLong-v0"])
def test_bad_reset_options_are_refused_and_change_nothing(name, options, error, words):
    if name != "Copy-v0":
        options = {key: "\N{SNOWMAN}" if value == "abz" else value for key, value in options.items()}
        words = words.replace("9 tokens, the environment takes at most 5", "tokens").replace("'z'", "\N{SNOWMAN}")
        options = {key: "abc" * 20 if value == "abcabcabc" else value for key, value in options.items()}
    for env in (gym.make(f"textgym/{name}").unwrapped, vector(f"textgym/{name}", 3)):
        env.reset(seed=0)
        env.step(env.action_space.sample() * 0)
        before, rng = env.get_state(), env.np_random
        with pytest.raises(error) as raised:
            env.reset(seed=1, options=options)
        assert words in str(raised.value)
        assert_same(env.get_state(), before)
        assert env.np_random == rng if isinstance(rng, tuple) else env.np_random is rng
        env.step(env.action_space.sample() * 0)


def test_reset_mask_is_an_option_of_vector_environments_only():
    with pytest.raises(ValueError, match="(?s)^(?!.*Did you mean 'reset_mask').*'reset_mask'"):
        gym.make("textgym/Copy-v0").unwrapped.reset(options={"reset_mask": np.ones(1, bool)})


def test_prompts_and_references_can_be_given_for_all_rows_or_for_each():
    env = vector("textgym/Spelling-v0", 2)
    for options, expected in [
        ({"prompt": "a cat"}, [("a cat", ()), ("a cat", ())]),
        ({"prompt": "a cat", "references": ["the cat", "cat"]}, [("a cat", ("the cat", "cat"))] * 2),
        ({"prompt": ["a", "b"]}, [("a", ()), ("b", ())]),
        ({"prompt": np.array(["a", "b"]), "references": [["x"], []]}, [("a", ("x",)), ("b", ())]),
        ({"prompt": ["a", "b"], "references": ["x", "y"]}, [("a", ("x", "y")), ("b", ("x", "y"))]),
    ]:
        env.reset(options=options)
        assert [(e.prompt, e.references) for e in env.episodes] == expected
    env = gym.make("textgym/Copy-v0").unwrapped
    env.reset(options={"prompt": "abc"})
    assert env.episode.references == ("abc",)  # the task knows the answer
    env.reset(options={"prompt": "abc", "references": ["b"]})
    assert env.episode.references == ("b",)


def test_a_wrong_row_of_options_leaves_all_rows_alone():
    env = vector("textgym/Copy-v0", 3)
    observations, _ = env.reset(seed=0)
    env.step(some_tokens(np.random.default_rng(0), env, observations))
    before = env.get_state()
    for options in ({"prompt": ["ab", "abz", "b"]}, {"index": [0, 1, 10**9]}, {"prompt": ["a", "b", "abcabcabc"]}):
        with pytest.raises((ValueError, IndexError)):
            env.reset(seed=7, options=options)
        assert_same(env.get_state(), before)


# -- construction ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kwargs, error, words",
    [
        ({"rewrad": "delta"}, TypeError, "'rewrad'"),
        ({"lenght": 4}, TypeError, "Did you mean 'length'"),
        ({"split": "tran"}, ValueError, "Did you mean 'train'"),
        ({"tokenizer": "charcter"}, ValueError, "Did you mean 'character'"),
        ({"budget": 0}, ValueError, "budget"),
        ({"budget": 2.5}, ValueError, "2.5"),
        ({"mask": "tsk"}, ValueError, "Did you mean 'task'"),
        ({"mask": "task"}, ValueError, "no grammar"),
        ({"mask": {"name": "banned", "tokens": [99]}}, ValueError, "99"),
        ({"mask": {"name": "banned", "tokens": ["zz"]}}, ValueError, "'zz'"),
        ({"mask": {"name": "banned", "tokens": range(9)}}, ValueError, "every token is banned"),
        ({"mask": {"name": "top_k", "kk": 3}}, TypeError, "'kk'"),
        ({"mask": {"name": "top_k", "k": 10}}, ValueError, "10"),
        ({"observe_mask": True}, ValueError, "observe_mask"),
        ({"on_illegal": "rase"}, ValueError, "Did you mean 'raise'"),
        ({"on_illegal": float("nan")}, ValueError, "finite"),
        ({"on_illegal": True}, ValueError, "on_illegal"),
        ({"metrics": ["cerr"]}, ValueError, "Did you mean 'cer'"),
        ({"metrics": ["cer", "cer"]}, ValueError, "cer"),
        ({"metrics": ["delta:cer"]}, ValueError, "the metric alone is needed: 'cer'"),
        ({"metrics": [Delta("cer")]}, ValueError, "is a reward"),
        ({"render_mode": "ansii"}, ValueError, "Did you mean 'ansi'"),
        ({"reward": "detla"}, ValueError, "Did you mean 'delta'"),
        ({"reward": "delta:cerr"}, ValueError, "Did you mean 'cer'"),
    ],
    ids=shown,
)
@pytest.mark.filterwarnings("ignore:.*render_mode")
def test_bad_keywords_are_refused_with_the_nearest_right_name(kwargs, error, words):
    for make in (gym.make, gym.make_vec):
        with pytest.raises(error) as raised:
            make("textgym/Copy-v0", **kwargs)
        assert words in str(raised.value)


def test_an_unknown_keyword_is_refused_by_every_id(env_id):
    for make in (gym.make, gym.make_vec):
        with pytest.raises(TypeError, match="splitt.*split"):
            make(env_id, splitt="train")


@pytest.mark.parametrize("n", [0, -1, 1.5, "2", True])
def test_a_number_of_rows_that_is_none_is_refused(n):
    with pytest.raises(ValueError, match="num_envs"):
        TextGenVectorEnv(Phrases, n)
