"""Contract checks of rewards: of what is wrong they say what is wrong with it."""

import warnings

import numpy as np
import pytest
from helpers import Lottery, Phrases, Vowels

from textgym import Delta, RewardFunction, RewardState, make_task
from textgym.registration import IDS
from textgym.rewards import SCHEDULES
from textgym.rewards.trl import from_trl
from textgym.testing import ContractError, check_reward

TASK = Phrases()


class Steps(RewardFunction):
    """Pays a right reward: a tenth more for each token. Others have one defect each."""

    name = "steps"

    def start(self, n, rngs, metrics):
        return self.state(n, rngs)


class _Steps(RewardState):
    def __init__(self, n, rngs):
        self.rngs = rngs
        self.count = np.zeros(n)

    def reset(self, rows, episodes):
        self.count[rows] = 0

    def step(self, step):
        self.count[step.rows] += 1
        paid = self.count[step.rows] / 10
        self.terms = {"steps": paid}
        return paid


Steps.state = _Steps


class TermsDoNotSum(Steps):
    class state(_Steps):
        def step(self, step):
            paid = super().step(step)
            self.terms = {"one": paid / 2, "two": paid / 3}
            return paid


class TermOfAnotherShape(Steps):
    class state(_Steps):
        def step(self, step):
            paid = super().step(step)
            self.terms = {"steps": float(paid[0])}
            return paid


class PaysAList(Steps):
    class state(_Steps):
        def step(self, step):
            return super().step(step).tolist()


class PaysFloat32(Steps):
    class state(_Steps):
        def step(self, step):
            return super().step(step).astype(np.float32)


class PaysTheSameArray(Steps):
    class state(_Steps):
        def __init__(self, n, rngs):
            super().__init__(n, rngs)
            self.paid = np.zeros(n)

        def step(self, step):
            self.paid[: len(step.rows)] = super().step(step)
            self.terms = {"steps": self.paid[: len(step.rows)]}
            return self.paid[: len(step.rows)]


class PaysMinusInfinity(Steps):
    class state(_Steps):
        def step(self, step):
            paid = np.where(step.lengths > 3, -np.inf, super().step(step))
            self.terms = {"steps": paid}
            return paid


class ComparesRows(Steps):
    class state(_Steps):
        def step(self, step):
            paid = super().step(step)
            paid = paid - paid.mean()
            self.terms = {"steps": paid}
            return paid


class SaysItComparesRows(Steps):
    couples_rows = True


class ForgetsNothing(Steps):
    class state(_Steps):
        def reset(self, rows, episodes):
            pass


class SavesNoCopy(Steps):
    class state(_Steps):
        def get_state(self):
            return {"count": self.count}

        def set_state(self, saved):
            self.count = saved["count"]


class RestoresNoCopy(Steps):
    class state(_Steps):
        def set_state(self, saved):
            self.count = saved["count"]


class SavesTheWrongThing(Steps):
    class state(_Steps):
        def get_state(self):
            return {"count": np.zeros_like(self.count)}


class KeepsGenerators(Steps):
    class state(_Steps):
        mine = None
        not_saved = frozenset({"mine"})

        def step(self, step):
            self.mine = self.mine or list(self.rngs)
            paid = np.array([self.mine[row].random() if self.mine[row] else 0.0 for row in step.rows.tolist()])
            self.terms = {"steps": paid}
            return paid


class CountsInTheRecipe(Steps):
    def __init__(self):
        self.counted = np.zeros(9)

    def start(self, n, rngs, metrics):
        state = _Steps(n, rngs)
        state.count = self.counted
        return state


class ChangesActions(Steps):
    class state(_Steps):
        def step(self, step):
            step.actions[:] = 0
            return super().step(step)


class ReadsTextItDidNotAskFor(Steps):
    needs_text = False

    class state(_Steps):
        def step(self, step):
            return super().step(step) + list(map(len, step.pieces))


class Raises(Steps):
    class state(_Steps):
        def step(self, step):
            raise KeyError("my mistake")


BROKEN_REWARDS = [
    (TermsDoNotSum, "its terms .*'one'.* do not sum to what it pays"),
    (TermOfAnotherShape, "its term 'steps' is float 0.1 instead of an array"),
    (PaysAList, r"what it pays is list \[0.1\] instead of an array of float64 with shape \(1,\)"),
    (PaysFloat32, "float32"),
    (PaysTheSameArray, "an earlier result is changed"),
    (PaysMinusInfinity, "finite numbers are needed, always"),
    (ComparesRows, "rows are not independent.*declare couples_rows = True"),
    (ForgetsNothing, r"reset\(\) does not forget"),
    (SavesNoCopy, "the saved state is changed by going on"),
    (RestoresNoCopy, "can be restored only once"),
    (SavesTheWrongThing, r"set_state\(\) does not go back"),
    (KeepsGenerators, r"keeps an item of rngs"),
    (CountsInTheRecipe, "belongs in the state"),
    (ChangesActions, "changes step.actions"),
    (ReadsTextItDidNotAskFor, "'steps' raised TypeError"),
    (Raises, "KeyError: 'my mistake'"),
]


@pytest.mark.parametrize("reward, words", BROKEN_REWARDS)
def test_a_reward_with_a_defect_is_told_what_it_is(reward, words):
    with pytest.raises(ContractError, match=f"(?s)reward 'steps': .*{words}"):
        check_reward(reward())


def test_coupled_rows_are_declared_and_there():
    class Declared(ComparesRows):
        couples_rows = True

    with pytest.raises(ContractError, match="pickled"):  # a class inside a function
        check_reward(Declared())
    with pytest.warns(UserWarning, match="'steps' says couples_rows, but no row was seen to depend"):
        check_reward(SaysItComparesRows())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_reward("normalised:delta")


SPECS = {
    "scaled": {"name": "scaled", "scale": 2.0},
    "dropout": {"name": "dropout", "p": 0.5},
    "noisy": {"name": "noisy", "std": 1.0},
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_keeps_its_contract(name):
    spec = {"name": name, **SPECS.get(name, {})}
    if name in ("scaled", "dropout", "noisy", "clipped", "normalised", "delayed", "at_word_ends"):
        spec["reward"] = "delta:cer"
    check_reward(spec)


@pytest.mark.parametrize("reward", [Vowels(), Lottery(), Vowels() + 0.5 * Delta("cer") - Lottery(), Steps()])
def test_rewards_of_other_kinds(reward):
    check_reward(reward)


def test_rewards_are_tried_on_a_task_of_ones_own():
    check_reward("delta", Phrases(tokenizer="character"))
    path, arguments, reward = IDS["Brackets-v0"]
    check_reward(reward, make_task(f"textgym.tasks.{path}", **arguments))


def lengths(completions, **kwargs):
    return [len(completion) / 9 for completion in completions]


@pytest.mark.parametrize("when", ["terminal", "delta"])
def test_rewards_from_trl_keep_the_contract(when):
    check_reward(from_trl(lengths, when=when))


def test_a_reward_that_cannot_be_pickled_is_told_to_move():
    with pytest.raises(ContractError, match="cannot be pickled.*lambda.*top of a module"):
        check_reward(Delta(lambda text, references: 1.0))


def test_what_is_no_reward():
    with pytest.raises(ContractError, match="Did you mean 'delta'"):
        check_reward("detla")
