"""valid_prefix, visible_examples and hidden_cases: the metrics of texts that are expressions."""

import numpy as np
import pytest
from expressions_oracle import evaluated, is_expression, random_expression

from textgym import CasesPassed, Episode, ValidPrefix, make_metric
from textgym.expressions import BEGINNING, ending, extend
from textgym.testing import check_metric

DOUBLE = Episode(
    "double",
    ["[n*2 for n in x]"],
    {
        "parameters": ["x"],
        "visible_examples": [[[[1, 2]], [2, 4]], [[[3]], [6]], [[[0.5]], [1.0]]],
        "hidden_cases": [[[[]], []], [[["a"]], ["aa"]]],
    },
)
TEXTS = [
    "[n*2 for n in x]",
    "x+x",
    "[2,4]",
    "[n+n for n",
    "x)",
    "  x",
    "[n*2for n in x]",
    "[n*2 for n in x] ",
    "é",
    "'é",
]


@pytest.mark.parametrize("metric", ["valid_prefix", "visible_examples", "hidden_cases"])
def test_the_contract(metric):
    check_metric(metric)
    check_metric(metric, [DOUBLE, Episode("no cases", ["x"])], TEXTS)


def test_valid_prefix_at_every_character():
    def values(text):
        progress = ValidPrefix().start(Episode())
        return [progress.push(character) for character in text]

    assert values("[n for n in x]") == [1.0] * 14
    assert values("x)x") == [1.0, 0.0, 0.0]
    assert values("f(a=1, b)") == [1.0] * 8 + [0.0]
    assert values("lambda: 0") == [1.0] * 6 + [0.0] * 3
    assert ValidPrefix().score("", Episode()) == 1.0 and ValidPrefix().score("x[", Episode()) == 1.0


def test_valid_prefix_says_whether_python_can_still_be_pleased():
    rng, values = np.random.default_rng(0), []
    for _ in range(300):
        text = random_expression(rng)
        at = int(rng.integers(len(text)))
        changed = text[:at] + "()[]:,. '=a0+"[rng.integers(13)] + text[at + 1 :]
        progress = ValidPrefix().start(Episode())
        values += [progress.push(character) for character in changed]
        assert values[-1] or not is_expression(changed)
        alive = changed[: len(changed) - values[-len(changed) :].count(0.0)]
        assert is_expression(alive + ending(extend(BEGINNING, alive)))
    assert 0.1 < np.mean(values) < 0.95


@pytest.mark.parametrize(
    "text, visible, hidden",
    [
        ("[n*2 for n in x]", 1, 1),
        ("x", 0, 0.5),
        ("[2, 4]", 1 / 3, 0),
        ("[6]", 1 / 3, 0),
        ("[n+n for n in x]", 1, 1),
        ("[1.0]", 1 / 3, 0),
        ("[1]", 0, 0),  # 1 is not 1.0
        ("[n*2.0 for n in x]", 1 / 3, 0.5),  # 2.0 is not 2
        ("(n*2 for n in x)", 0, 0),
        ("[1//n*2*n for n in x if n<1 or n>1]", 0, 0.5),
        ("x[0]", 0, 0),
        ("y", 0, 0),
        ("[n*2 for n in x", 0, 0),
        ("9**9**9", 0, 0),
        ("", 0, 0),
    ],
)
def test_shares_of_cases(text, visible, hidden):
    for name, share in (("visible_examples", visible), ("hidden_cases", hidden)):
        assert make_metric(name).score(text, DOUBLE) == pytest.approx(share)


def test_shares_are_those_of_pythons_eval():
    rng, names = np.random.default_rng(0), ["x", "k", "s", "w", "d", "t"]
    inputs = [[[3, -1], k, "ab cab", ["cab", "a"], {"a": k}, (1, "a")] for k in (1, 2)]
    some = 0
    for _ in range(500):
        text = random_expression(rng, 5)
        values = [evaluated(text, dict(zip(names, arguments, strict=True))) for arguments in inputs]
        if "sum" in text or any(error or type(value) not in (int, str, list, bool) for value, error in values):
            continue
        cases = [[arguments, value] for arguments, (value, _) in zip(inputs, values, strict=True)]
        for wanted, share in ((cases, 1.0), ([cases[0], [inputs[1], "no"]], 0.5)):
            episode = Episode("", (), {"parameters": names, "visible_examples": wanted})
            assert CasesPassed("visible_examples").score(text, episode) == share, text
            some += 1
    assert some > 300


def test_which_cases_there_are():
    with pytest.raises(ValueError, match="Did you mean 'hidden_cases'"):
        CasesPassed("hidden")
    assert make_metric({"name": "hidden_cases"}).name == "hidden_cases"
