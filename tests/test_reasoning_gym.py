"""Reasoning Gym's tasks as environments: questions, splits, scores, what is refused."""

import json
import math
import pickle
import re
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import pytest
from helpers import write

from textgym.tasks.reasoning_gym import EVALUATING, ReasoningGym

reasoning_gym = pytest.importorskip("reasoning_gym")
ROOT = Path(__file__).parent.parent
SPLITS = ("train", "validation", "test")
# of every category of the package but arc and code, which are large
NAMES = """
chain_sum gcd lcm prime_factorization complex_arithmetic simple_equations base_conversion spell_backward
number_sorting caesar_cipher ab mini_sudoku tower_of_hanoi rush_hour simple_geometry family_relationships
course_schedule list_functions propositional_logic syllogism coin_flip time_intervals
""".split()


@pytest.mark.parametrize("name", NAMES)
def test_tasks_are_played_and_scored_by_their_own_scorer(name):
    env = gym.make("textgym/ReasoningGym-v0", name=name, size=30).unwrapped
    made = reasoning_gym.create_dataset(name, size=30, seed=0)
    for index in range(5):
        env.reset(options={"index": index})
        question = made[env.episode.meta["question"]]
        assert env.episode.prompt == question["question"]
        for text in [*env.episode.references, "7", ""]:
            _, *_, last = write(env, text, options={"index": index})
            theirs = 0.0
            try:
                theirs = made.score_answer(text, question)
            except Exception:
                assert name == "prime_factorization" and text == ""
            assert last[4]["text"] == text and last[4]["score"] == theirs == last[1]
        if env.episode.references:
            assert env.episode.references == (question["answer"],) and env.task.optimum == 1.0
            assert env.task.score(question["answer"], env.episode) == 1.0


def test_settings_are_those_of_the_package():
    made = ReasoningGym("chain_sum", {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}, 200)
    assert not any(re.search("[0-9]{2}", episode.prompt) for episode in made.items)
    asked = [made.questions[i]["question"] for i in made.questions]
    assert len(set(asked)) == len(asked) < 200, "questions that occur again are left out"
    other = ReasoningGym("chain_sum", size=50, data_seed=1000)
    assert not {e.prompt for e in other.items} & {e.prompt for e in ReasoningGym("chain_sum", size=50).items}
    parts = [{"name": name, "weight": 1, "config": {}} for name in ("gcd", "lcm")]
    mixed = ReasoningGym("composite", {"datasets": parts}, 40)
    assert {"Divisor" in episode.prompt for episode in mixed.items} == {True, False}


def test_splits_share_no_question_and_nothing_is_lost():
    made = {split: ReasoningGym("gcd", size=300, split=split) for split in SPLITS}
    asked = {split: {episode.prompt for episode in task.items} for split, task in made.items()}
    dropped = sum(sum(task.dropped.values()) for task in made.values())
    assert (
        sum(map(len, asked.values())) + dropped
        == len(made["train"].questions)
        == len(set.union(*asked.values())) + dropped
    )
    assert [len(asked[split]) > 20 for split in SPLITS] == [True] * 3
    assert len({(t.vocabulary.fingerprint, t.prompt_length, t.budget) for t in made.values()}) == 1


def test_characters_and_sizes_can_be_chosen():
    made = ReasoningGym("spell_backward", size=100, tokenizer="character", split="test")
    assert made.vocabulary.kind == "character"
    short = ReasoningGym("spell_backward", size=100, prompt_length=made.prompt_length - 1, tokenizer="character")
    assert short.dropped["prompt too long"] > 0 and ReasoningGym("gcd", size=30, budget=12).budget == 12


def test_scores_stay_in_range_whatever_the_scorer_does(monkeypatch):
    made = ReasoningGym("gcd", size=20)
    episode = made.episode(0)
    for said, score in ((2.5, 1.0), (-1, 0.0), (math.nan, 0.0), (True, 1.0), (None, 0.0), ("x", 0.0)):
        monkeypatch.setattr(made.dataset, "score_answer", lambda text, entry, said=said: said)
        assert made.score("7", episode) == score

    def raises(text, entry):
        raise RecursionError

    monkeypatch.setattr(made.dataset, "score_answer", raises)
    assert made.score("7", episode) == 0.0


def test_a_users_question_is_compared_with_his_references():
    env = gym.make("textgym/ReasoningGym-v0")
    options = {"prompt": "6 * 7 =", "references": ["42"]}
    assert write(env.unwrapped, "42", options=options)[-1][1] == 1.0
    assert write(env.unwrapped, "41", options=options)[-1][1] == 0.0


def test_scorers_that_run_the_text_are_refused():
    for name in sorted(EVALUATING):
        with pytest.raises(ValueError, match=f"{name} gives the text to Python's eval.*allow_eval=True"):
            ReasoningGym(name, size=2)
    parts = {"datasets": [{"name": "n_queens", "weight": 1, "config": {}}]}
    with pytest.raises(ValueError, match="n_queens gives the text"):
        ReasoningGym("composite", parts)
    with pytest.raises(ValueError, match="does not make composite"):  # nor one that is hidden in another
        ReasoningGym("composite", {"datasets": [{"name": "composite", "weight": 1, "config": parts}]})
    made = ReasoningGym("binary_matrix", size=10, allow_eval=True)
    assert made.score(made.episode(0).references[0], made.episode(0)) == 1.0


def test_mistakes_are_told_with_what_is_right():
    with pytest.raises(ValueError, match="Did you mean 'chain_sum'"):
        ReasoningGym("chainsum")
    with pytest.raises(ValueError, match="Did you mean 'max_terms'"):
        ReasoningGym("chain_sum", {"max_term": 3})
    with pytest.raises(ValueError, match="setting in config of chain_sum 'seed'"):
        ReasoningGym("chain_sum", {"seed": 3})
    with pytest.raises(ValueError, match="does not make chain_sum of config"):
        ReasoningGym("chain_sum", {"min_terms": 0})
    with pytest.raises(ValueError, match="does not make composite"):
        ReasoningGym("composite")
    with pytest.raises(ValueError, match="larger size|is empty"):
        ReasoningGym("chain_sum", size=1, split="test")


@pytest.mark.parametrize("name", ["string_manipulation", "arc_1d"])
def test_tasks_whose_data_set_cannot_be_pickled_can(name):
    made = ReasoningGym(name, size=10)
    again = pickle.loads(pickle.dumps(made))
    episode = again.episode(1)
    assert episode == made.episode(1) and again.score(episode.references[0], episode) == 1.0


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "reasoning_gym.composite", None)
    with pytest.raises(ImportError, match=r'pip install "textgym\[reasoning\]"'):
        ReasoningGym("chain_sum", size=17)


def test_the_spec_is_json():
    env = gym.make("textgym/ReasoningGym-v0", name="gcd", config={"max_value": 50}, size=40)
    assert json.loads(env.spec.to_json())["kwargs"]["config"] == {"max_value": 50}


def test_questions_drawn_from_the_global_generator_are_the_same_and_leave_it_alone():
    code = """
import random, reasoning_gym
from textgym.tasks.reasoning_gym import ReasoningGym
random.seed(5)
print(ReasoningGym("list_functions", size=60).fingerprint, random.random() == random.Random(5).random())
"""
    run = [sys.executable, "-c", code]
    first, second = (subprocess.run(run, capture_output=True, text=True, check=True, cwd=ROOT).stdout for _ in range(2))
    assert first == second and first.split()[1] == "True"
