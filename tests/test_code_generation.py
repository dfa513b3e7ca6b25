"""CodeGeneration: references, cases that tell, splits, prompts of users, the mask, instant terms."""

import itertools
import json
import os
import pickle
import subprocess
import sys
from functools import lru_cache

import gymnasium as gym
import numpy as np
import pytest
from helpers import play, write

from textgym.episode import Episode
from textgym.expressions import BEGINNING, Expression, ExpressionError, ending, extend, identical, is_complete
from textgym.tasks.code_generation import CodeGeneration
from textgym.tasks.program_steps import STEPS
from textgym.tasks.programs import draw_inputs, draw_program

SIZES = [{"steps": 2}, {"steps": 4, "arguments": 2}]
SPLITS = ("train", "validation", "test")


@lru_cache
def built(steps=2, arguments=1, **other):
    return CodeGeneration(steps, arguments, **other)


@lru_cache
def episodes(steps=2, arguments=1, split="train", count=500):
    task, rng = built(steps, arguments, split=split), np.random.default_rng(0)
    return [task.sample(rng) for _ in range(count)]


# Programs


def test_a_program_is_the_same_in_words_in_python_and_as_a_function():
    rng, steps, values = np.random.default_rng(0), set(), 0
    for _ in range(1500):
        program = draw_program(rng, 4, 2)
        steps.update(step.words for step, _, _ in program.plan)
        for arguments in draw_inputs(program, rng, 2):
            names = dict(zip(program.parameters, arguments, strict=True))
            for text in program.references():
                try:
                    value = Expression(text).evaluate(names)
                except ExpressionError:
                    with pytest.raises((ValueError, IndexError)):
                        program.value(*arguments)
                else:
                    assert identical(value, program.value(*arguments)), (program.sentence, text)
                    values += 1
    assert steps == {step.words for several in STEPS.values() for step in several} and values > 2000


def test_sentences():
    rng = np.random.default_rng(3)
    sentences = {draw_program(rng, 3, 2).sentence for _ in range(3000)}
    assert "sort the words" in sentences
    assert any(s.count(", ") == 1 and s.count(" and ") == 1 and " k" in s for s in sentences)
    assert not any("{" in s or "}" in s for s in sentences)


# Episodes


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_references_score_1_and_fit(size):
    for split in SPLITS:
        task = built(**size, split=split)
        for episode in episodes(**size, split=split):
            assert len(episode.prompt) <= task.prompt_length and episode.references
            for text in episode.references:
                assert len(text) < task.budget and task.score(text, episode) == 1.0
    assert not task.dropped


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_prompt_says_what_the_cases_are(size):
    for episode in episodes(**size):
        meta = json.loads(json.dumps(dict(episode.meta)))
        assert meta == episode.meta and meta["parameters"] in (["x"], ["x", "k"])
        examples, hidden = meta["visible_examples"], meta["hidden_cases"]
        sentence, *lines = episode.prompt.split("\n")
        assert len(lines) == len(examples) == 3 and len(hidden) == 8 and sentence.isprintable()
        for line, (arguments, value) in zip(lines, examples, strict=True):
            call, wanted = line.split(" -> ")
            assert identical(eval(wanted), value) and identical(list(eval(f"({call[2:-1]},)")), arguments)
        assert not any(case in examples for case in hidden)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_guessing_does_not_pay(size):
    task, found = built(**size), episodes(**size)
    for episode in found:
        for text in ("", "x", "k", "0", "''", "[]", "None", "x)"):
            assert task.score(text, episode) == 0
        for _, value in episode.meta["visible_examples"]:
            assert task.score(repr(value), episode) == 0
        for _, value in episode.meta["hidden_cases"]:
            assert task.score(repr(value), episode) <= 2 / 8
        visible = " else ".join(f"{v!r} if x=={a[0]!r}" for a, v in episode.meta["visible_examples"]) + " else 0"
        assert task.score(visible, episode) == 0
    for text in ("1", "x[0]", "x[::-1]", "len(x)", "sorted(x)", "x.upper()", "[n*2 for n in x]"):
        assert np.mean([task.score(text, episode) for episode in found]) < 0.06


def test_a_program_without_one_of_its_steps_passes_half_of_the_cases_at_most():
    task, rng = built(4, 2), np.random.default_rng(0)
    shorter = 0
    while shorter < 300:
        program = draw_program(rng, 4, 2)
        examples, hidden = task._cases_of(program, rng)
        for i, (step, _, _) in enumerate(program.plan if hidden else ()):
            if step.takes != step.gives:
                continue
            shorter += 1
            for cases, most in ((examples, len(examples) - 1), (hidden, len(hidden) / 2)):
                passed = 0
                for arguments, value in cases:
                    try:
                        passed += program.value(*arguments, without=i) == value
                    except (ValueError, IndexError):
                        pass
                assert passed <= most, program.sentence


def test_hostile_and_wrong_texts_score_0():
    episode = built().episode(0)
    texts = [
        "9**9**9",
        "[0]*10**9",
        "x.__class__",
        "__import__('os')",
        "(" * 40,
        "x.sort()",
        "lambda x: x",
        "while 1: 0",
    ]
    assert not any(built().score(text, episode) for text in texts)


def test_values_of_another_type_do_not_count():
    episode = built().from_prompt("count the numbers\nf([5,6]) -> 2\nf([4]) -> 1")
    for text, score in {"len(x)": 1, "len(x)*1.0": 0, "len(x)/1": 0, "True+len(x)-1": 1, "len(x)>1 or 2": 0}.items():
        assert built().score(text, episode) == score


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_splits_share_no_sentence_and_stand_8_1_1(size):
    sentences = [{e.prompt.split("\n")[0] for e in episodes(**size, split=split)} for split in SPLITS]
    assert all(len(each) > 50 for each in sentences)
    assert not any(a & b for a, b in itertools.combinations(sentences, 2))
    rng = np.random.default_rng(0)
    drawn = {draw_program(rng, size["steps"], 1).sentence for _ in range(8000)}
    found = list(map(built(**size)._split_of, drawn))
    assert [found.count(split) / len(found) for split in SPLITS] == pytest.approx([0.8, 0.1, 0.1], abs=0.03)


def test_the_same_episodes_in_every_process():
    code = """
from textgym.tasks.code_generation import CodeGeneration
for size in ({"steps": 2}, {"steps": 4, "arguments": 2}):
    print(CodeGeneration(**size, split="test").fingerprint)
"""
    told = [
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout.split()
        for seed in ("1", "2")
    ]
    ours = [built(**size, split="test").fingerprint.encode() for size in SIZES]
    assert told == [ours, ours]


def test_fixed_episodes_are_the_same_on_every_machine():
    episode = CodeGeneration().episode(1)
    assert episode.prompt.startswith("keep the words without e and take the words from last to first\nf(['ed','db',")
    assert episode.references[0] == "[w for w in x if 'e' not in w][::-1]"
    again = pickle.loads(pickle.dumps(built()))
    assert [again.episode(i) for i in range(20)] == [built().episode(i) for i in range(20)]
    for index in (-1, 10_000):
        with pytest.raises(IndexError, match="9999"):
            built().episode(index)


def test_byte_bpe():
    task = CodeGeneration(tokenizer={"name": "byte_bpe", "size": 400})
    for i in range(50):
        episode = task.episode(i)
        text = task.vocabulary.decode(task.vocabulary.encode(episode.references[0]))
        assert task.score(text, episode) == 1 and len(task.vocabulary.encode(episode.prompt)) <= task.prompt_length


@pytest.mark.parametrize(
    "arguments", [{"steps": 0}, {"steps": 7}, {"arguments": 3}, {"examples": 0}, {"cases": 1}, {"budget": 0}], ids=str
)
def test_arguments_out_of_range(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        CodeGeneration(**arguments)


def test_a_budget_too_short_for_the_programs():
    assert CodeGeneration(budget=12).dropped["reference too long"] > 20
    with pytest.raises(ValueError, match="use a larger budget"):
        CodeGeneration(budget=2)


# Prompts of users


def test_the_prompt_of_a_user_is_scored_by_its_examples():
    env = gym.make("textgym/CodeGenerationLarge-v0").unwrapped
    prompt = "add k to the last number\nf([1,2],3) -> 5\nf([4],1) -> 5\nf([0,9],2) -> 11"
    _, *steps = write(env, "x[-1]+k", options={"prompt": prompt})
    assert sum(reward for _, reward, *_ in steps) == steps[-1][4]["score"] == 1.0
    assert write(env, "5", options={"prompt": prompt})[-1][4]["score"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "prompt",
    ["", "double", "double\n", "a\nf(1)", "a\nf(1) -> ", "a\nf(y) -> 1", "a\nf() -> 1", "a\nf(1) -> 1\nf(1,2) -> 1"],
)
def test_a_prompt_without_examples(prompt):
    with pytest.raises(ValueError, match=r"a line for each example.*got"):
        built().from_prompt(prompt)


# The mask


class Short(CodeGeneration):
    """One with a budget that no reference fits."""

    def __init__(self, budget):
        super().__init__()
        self.budget = budget


def by_definition(task, text):
    """Where an expression can still be written in the tokens that are left."""
    room = task.budget - len(text)
    legal = np.zeros(task.vocabulary.size, bool)
    for id in np.flatnonzero(task.vocabulary.legal):
        longer = extend(BEGINNING, text + task.vocabulary.decode([id]))
        legal[id] = longer is not None and len(ending(longer)) <= room - 1
    legal[task.vocabulary.eos] = is_complete(extend(BEGINNING, text)) or not legal.any()
    return legal


@pytest.mark.parametrize("budget", [1, 2, 5, 14, 49])
def test_under_the_mask_every_text_is_an_expression(budget):
    task, rng, lengths = Short(budget), np.random.default_rng(0), set()
    for episode in range(60):
        text, ids = "", np.full((1, task.prompt_length + budget), task.vocabulary.pad, np.int32)
        for t in range(budget):
            (legal,) = task.legal_tokens(ids, np.array([t]), [Episode()])
            if episode < 20:
                np.testing.assert_array_equal(legal, by_definition(task, text))
            id = rng.choice(np.flatnonzero(legal))
            if id == task.vocabulary.eos:
                break
            ids[0, task.prompt_length + t] = id
            text += task.vocabulary.decode([id])
        lengths.add(len(text))
        assert is_complete(extend(BEGINNING, text)), text
    assert max(lengths) == budget  # the last one may be no EOS


def test_where_nothing_can_be_legal_eos_is():
    task = built()
    ids = np.full((1, task.prompt_length + task.budget), task.vocabulary.pad, np.int32)
    ids[0, task.prompt_length] = task.vocabulary.encode(")")[0]  # written without a mask
    (legal,) = task.legal_tokens(ids, np.array([1]), [Episode()])
    assert np.flatnonzero(legal).tolist() == [task.vocabulary.eos]


def test_the_mask_lets_references_pass():
    env = gym.make("textgym/CodeGenerationLarge-v0", mask="task", on_illegal="raise").unwrapped
    for i in range(30):
        episode = env.task.episode(i)
        assert write(env, episode.references[0], options={"index": i})[-1][4]["score"] == 1.0


def test_the_mask_in_bytes():
    tokenizer = {"name": "byte_bpe", "size": 300}
    env = gym.make(
        "textgym/CodeGeneration-v0", mask="task", tokenizer=tokenizer, budget=20, on_illegal="raise"
    ).unwrapped
    rng = np.random.default_rng(0)
    for seed in range(5):
        _, info = env.reset(seed=seed)
        over = False
        while not over:
            _, _, over, _, info = env.step(rng.choice(np.flatnonzero(info["action_mask"])))
        assert is_complete(extend(BEGINNING, info["text"])), info["text"]
    write(env, "x[1:]", options={"index": 0})


# Instant terms


def test_instant_terms_are_paid_as_the_text_grows():
    reward = ["terminal", {"name": "delta", "metric": "valid_prefix", "weight": 0.1}, "delta:visible_examples"]
    env = gym.make("textgym/CodeGeneration-v0", reward=reward).unwrapped
    episode = env.task.episode(3)
    _, *steps = write(env, episode.references[0], options={"index": 3})
    assert sum(reward for _, reward, *_ in steps) == pytest.approx(2.1) and steps[0][1] == pytest.approx(0.1)
    last = steps[-2][4]["reward_terms"]  # the last character: the examples are passed
    assert [name for name in last if "visible" in name] and steps[-2][1] == pytest.approx(1.0)
    env.reset(options={"index": 3})
    paid = [env.step(int(id))[1] for id in env.vocabulary.encode("x)x")]
    assert paid == pytest.approx([0.1, -0.1, 0.0])


def test_a_text_that_ends_with_the_budget_is_scored():
    env = gym.make("textgym/CodeGeneration-v0", budget=49).unwrapped
    episode = env.task.episode(0)
    text = episode.references[0].rjust(49)
    assert play(env, env.vocabulary.encode(text), options={"index": 0})[-1][4]["score"] == 1.0
