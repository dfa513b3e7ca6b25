"""Rewards as reward functions of TRL: the same completion, the same number, there and back."""

import math
import pickle

import numpy as np
import pytest
from helpers import Lottery, Phrases, play, some_tokens
from hypothesis import given, settings
from hypothesis import strategies as st
from trl_functions import FUNCTIONS, accuracy, as_trl_calls

from textgym import Delta, Episode, RewardError, Terminal, TextGenEnv, TextGenVectorEnv, make_reward
from textgym.rewards.trl import from_trl
from textgym.rewards.trl_export import to_trl

VOCABULARIES = {kind: Phrases(tokenizer=kind).vocabulary for kind in ("character", "byte_bpe")}


texts = st.text("ab 我é\n", max_size=8)
REWARDS = ["terminal:cer", "delta:character_match", "every_step:wer", ["delta:exact_match", {"name": "constant"}]]


def replayed(reward, vocabulary, episode, tokens):
    """The oracle: the episode in an environment."""
    env = TextGenEnv(Phrases, tokenizer=vocabulary, reward=reward, budget=200)
    options = {"prompt": episode.prompt, "references": list(episode.references)}
    return sum(result[1] for result in play(env, tokens, options=options)[1:])


@settings(deadline=None, max_examples=60)
@given(st.data(), st.sampled_from(REWARDS))
def test_what_trl_gets_is_the_episode_sum(data, spec):
    vocabulary, reward = VOCABULARIES["byte_bpe"], make_reward(spec)
    completions = data.draw(st.lists(texts, min_size=1, max_size=4))
    references = [data.draw(st.lists(texts, max_size=2)) for _ in completions]
    prompts = ["words"] * len(completions)
    ids = [[*vocabulary.encode(text).tolist(), vocabulary.eos] for text in completions]
    oracle = [replayed(reward, vocabulary, Episode("words", r), each) for r, each in zip(references, ids, strict=True)]
    f = to_trl(reward, vocabulary)
    assert f(prompts=prompts, completions=completions, completion_ids=ids, references=references) == pytest.approx(
        oracle
    )
    assert f(prompts, completions, references=references) == pytest.approx(oracle)
    chat = [[{"role": "assistant", "content": text}] for text in completions]
    assert f(chat, chat, ids, references=references) == pytest.approx(oracle)
    for row, text in enumerate(completions):  # alone as in a batch
        assert f(["words"], [text], references=[references[row]]) == pytest.approx([oracle[row]])
    if spec != "every_step:wer":  # what it pays depends on the tokens
        assert to_trl(reward)(prompts, completions, references=references) == pytest.approx(oracle)


def test_truncated_completions_end_with_their_last_token():
    vocabulary = VOCABULARIES["character"]
    ids = vocabulary.encode("a cat").tolist()
    f = to_trl("every_step:character_match", vocabulary)
    assert f(["words"], ["a cat"], [ids], references=[["a cat"]]) == pytest.approx([sum(range(1, 6)) / 5])
    assert f(["words"], ["a cat"], [[*ids, vocabulary.eos]], references=[["a cat"]]) == pytest.approx([4.0])
    assert f(["words"], [""], [[]], references=[[""]]) == [1.0]


@settings(deadline=None, max_examples=60)
@given(st.data(), st.sampled_from(sorted(FUNCTIONS)))
def test_there_and_back_is_the_function_itself(data, name):
    fn, arguments = FUNCTIONS[name]
    vocabulary = VOCABULARIES["byte_bpe"]
    completions = data.draw(st.lists(st.text("ab 我", max_size=5), min_size=1, max_size=4))
    solutions = [data.draw(st.sampled_from(["", "a", "ab"])) for _ in completions]
    ids = [[*vocabulary.encode(text).tolist(), vocabulary.eos] for text in completions]
    episodes = [Episode("p", (), {"solution": solution}) for solution in solutions]
    expected = as_trl_calls(fn, episodes, completions, ids, **arguments)
    for when in ("terminal", "delta"):
        back = to_trl(from_trl(fn, **arguments, when=when), vocabulary)
        inputs = {"prompts": ["p"] * len(ids), "completions": completions, "solution": solutions}
        if arguments.get("chat"):
            inputs["completions"] = [[{"role": "assistant", "content": text}] for text in completions]
        assert back(**inputs, completion_ids=ids, trainer_state=object()) == pytest.approx(expected)


@pytest.mark.parametrize("mode", ["single", "SameStep"])
@pytest.mark.parametrize("spec", REWARDS)
def test_a_reward_that_went_to_trl_and_back_pays_its_sum_at_the_end(spec, mode):
    vocabulary = VOCABULARIES["byte_bpe"]
    back = from_trl(to_trl(spec, vocabulary, name="back"), columns=["references"])
    reward = [make_reward(spec), back]
    if mode == "single":
        env = TextGenEnv(Phrases, tokenizer=vocabulary, reward=reward)
    else:
        env = TextGenVectorEnv(Phrases, 3, tokenizer=vocabulary, reward=reward, autoreset_mode=mode)
    observations, _ = env.reset(seed=0)
    rng, sums, ends = np.random.default_rng(0), np.zeros(3), 0
    for _ in range(60):
        tokens = int(rng.integers(70)) if mode == "single" else some_tokens(rng, env, observations)
        observations, _, over, _, info = env.step(tokens)
        terms = info["reward_terms"] if mode == "single" else env.last_reward_terms
        paid_back = np.atleast_1d(terms["terminal:back"])
        over, ends = np.atleast_1d(over), ends + np.sum(over)
        sums = sums[: len(over)] + sum(terms.values()) - paid_back
        assert paid_back == pytest.approx(np.where(over, sums, 0.0), abs=1e-9)
        sums[over] = 0.0
        if mode == "single" and over:
            env.reset()
    assert ends > 1


def test_references_come_from_the_column_that_has_them():
    inputs = {"prompts": ["", ""], "completions": ["ab", "cd"]}
    match = to_trl("terminal:exact_match")
    assert match(**inputs, references=[["x", "ab"], []]) == [1.0, 0.0]
    assert match(**inputs, answer=["ab", "cd"]) == [1.0, 1.0]
    assert match(**inputs, answer=[3, 4], target=["ab", ""]) == [1.0, 0.0]
    assert match(**inputs, reference=["ab", None]) == [1.0, 0.0]
    assert match(**inputs, reference=[None, None], target=["ab", "cd"]) == [0.0, 0.0]
    assert to_trl("terminal:length")(**inputs) == [2.0, 2.0], "needs no references"
    assert to_trl("terminal:exact_match", references="gold")(**inputs, gold=["ab", "x"], answer=["x", "x"]) == [
        1.0,
        0.0,
    ]
    assert match(["", ""], ["", ""], answer=["", "x"]) == [1.0, 0.0], "an empty reference is one"
    assert match([], []) == []


def test_random_rewards_draw_anew_for_each_completion():
    f = to_trl(Lottery())
    assert len({*f([""] * 3, ["aa"] * 3), *f([""] * 3, ["aa"] * 3)}) == 6
    assert to_trl(Lottery())([""] * 3, ["aa"] * 3) == to_trl(Lottery())([""] * 3, ["aa"] * 3)


def test_names_and_pickles():
    f = to_trl("delta:cer")
    assert f.__name__ == "delta:cer" and to_trl("delta:cer", name="cer").__name__ == "cer"
    again = pickle.loads(pickle.dumps(f))
    assert again.__name__ == f.__name__ and again([""], ["我"], answer=["我爱"]) == [0.5]


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: to_trl("delta"), "pays the task's own score"),
        (lambda: to_trl(accuracy), "when it is paid"),
        (lambda: to_trl("delta:cer")([""], ["a", "b"]), "1 prompts for 2 completions"),
        (lambda: to_trl("delta:cer")([""], ["a"], answer=["a", "b"]), "column 'answer' has 2 values for 1"),
        (lambda: to_trl("delta:cer", references="gold")([""], ["a"], glod=["a"]), "Did you mean 'glod'"),
        (lambda: to_trl("delta:cer", references="gold")([""], ["a"], gold=[3]), "'gold' must hold texts.*3"),
        (lambda: to_trl("delta:cer")([""], ["a"]), "'delta:cer' compares with references.*given: no columns"),
        (lambda: to_trl("delta:cer")([""], ["a"], refrences=["a"]), "given: refrences. Did you mean 'references'"),
        (lambda: to_trl("delta:cer")([""], ["a"], gold=["a"], answer=[3]), "given: gold, answer.*references='...'"),
        (lambda: to_trl(["constant", from_trl(accuracy, columns={"solution": "reference"})])([""], ["a"]), "given: no"),
        (lambda: to_trl("delta:length", VOCABULARIES["character"])([""], ["a"], [[1, 2]]), "not those of .* 'a'"),
        (lambda: to_trl("delta:length", VOCABULARIES["character"])([""], ["a"], [[10**6]]), "vocabulary has"),
    ],
)  # fmt: skip
def test_what_cannot_be_replayed_is_explained(call, words):
    with pytest.raises((TypeError, ValueError), match=words):
        call()


def test_a_reward_that_fails_in_trl_names_itself():
    with pytest.raises(RewardError, match="nan"):
        to_trl(Terminal(lambda text, references: math.nan))([""], ["a"])
    with pytest.raises(RewardError, match="ZeroDivisionError"):
        to_trl(Delta(lambda text, references: 1 / len(references)))([""], ["a"])
