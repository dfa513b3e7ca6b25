"""Contract checks of potential-based shaping."""

import math

import numpy as np
import pytest
from helpers import Phrases

from textgym import Delta, EveryStep, ExactMatch, Schedule, Terminal
from textgym.rewards import Potential
from textgym.testing import ContractError, check_potential

TASK = Phrases()


class OnlyAtEnd(ExactMatch):
    only_at_end = True


@pytest.mark.parametrize("gamma", [1.0, 0.9, 0.5])
@pytest.mark.parametrize("name", ["cer", "bleu", "character_match", "optimistic_edit_distance", "token_match"])
def test_every_metric_is_a_potential(name, gamma):
    check_potential(name, gamma)
    check_potential(Potential(name, gamma, base=Terminal("cer")), gamma)
    check_potential(-0.5 * Potential(name, gamma, base=None), gamma, TASK)


class Forgetful(Schedule):
    """A potential that is not 0 at the end."""

    schedule = "forgetful"

    def pay(self, value, before, step):
        return 0.9 * value - before


class BonusAtEos(Schedule):
    schedule = "bonus"

    def pay(self, value, before, step):
        return np.where(step.ended, 0.0, value) - before + 0.1 * step.finished


def fails_on_long_texts(text, references):
    return math.nan if len(text) > 3 else 0.0


@pytest.mark.parametrize(
    "given, gamma, words",
    [
        (Delta("cer"), 1.0, "makes one text better than another"),
        (Terminal("character_match"), 1.0, "no potential-based shaping at gamma = 1"),
        (EveryStep("cer"), 1.0, "no potential-based shaping"),
        (Forgetful("cer"), 0.9, "gamma = 0.9"),
        (BonusAtEos("cer"), 1.0, "no potential-based shaping"),
        (Potential("cer", 0.9), 1.0, "no potential-based shaping at gamma = 1"),
        (Potential("cer", 1.0), 0.9, "no potential-based shaping at gamma = 0.9"),
        (fails_on_long_texts, 1.0, "nan"),
    ],
)
def test_what_is_no_potential(given, gamma, words):
    with pytest.raises(ContractError, match=words):
        check_potential(given, gamma)


def test_arguments_of_potentials():
    with pytest.raises(ValueError, match="gamma"):
        check_potential("cer", 1.1)
    with pytest.raises(ValueError, match="cannot be followed token by token"):
        check_potential(OnlyAtEnd())
