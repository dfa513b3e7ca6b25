"""Slot accuracy at every prefix against its definition, spelt out; what counts as a value that is realised."""

import collections
import re

import gymnasium as gym
import pytest
from helpers import write
from hypothesis import example, given, settings
from hypothesis import strategies as st

from textgym import Episode, SlotAccuracy, TextGenEnv
from textgym.tasks.symbolic import Copy
from textgym.testing import check_metric

ONTOLOGY = {
    "time": {"7 pm": ["7 pm", "19:00"], "7:30 pm": ["7:30 pm"], "晚上7点": ["晚上7点"], "晚上7点半": ["晚上7点半"]},
    "people": {"7": ["7 people", "seven people"], "4": ["4 people"], "四": ["四位"]},
    "from": {"oslo": ["from Oslo"], "new york": ["from New York"]},
    "to": {"oslo": ["to Oslo"]},
    "name": {"straße": ["Straße"], "a b a": ["a b a"], "a b": ["a b"]},
    "act": {"confirm": ["booked"], "refuse": ["fully booked", "not free"]},
}
FORMS = {form: (slot, value) for slot, values in ONTOLOGY.items() for value, forms in values.items() for form in forms}
PARTS = [*FORMS, "7", "19", "pm", "fully", "to", "from", "new", "a", "b", "people", "晚上", "半", "STRASSE", "x_1", "ﬁ"]
SIGNS = [" ", " ", " ", ".", ":", ", ", "-", "|", "\n", "\u3000", "。", "\u0301"]


def units(text):
    found = []
    for run in re.findall(r"\w+", text.casefold()):
        found += [part for part in re.split("([\u4e00-\u9fa5])", run) if part]
    return found


def values(text):
    """Leftmost first, of those the longest."""
    left, found = units(text), []
    while left:
        fits = [form for form in FORMS if units(form) == left[: len(units(form))]]
        longest = max(fits, key=lambda form: len(units(form)), default=None)
        if longest:
            found.append(FORMS[longest])
        left = left[len(units(longest)) if longest else 1 :]
    return found


def accuracy(text, references):
    best = 0.0
    for reference in references:
        wanted, realised = collections.Counter(values(reference)), collections.Counter(values(text))
        errors = sum((wanted - realised).values()) + sum((realised - wanted).values())
        best = max(best, 1 - errors / max(1, sum(wanted.values())))
    return best


def texts(most):
    return st.lists(st.sampled_from(PARTS) | st.sampled_from(SIGNS) | st.characters(), max_size=most).map("".join)


@settings(deadline=None, max_examples=500)
@given(
    references=st.lists(texts(9), max_size=3), pushed=st.lists(st.tuples(texts(4), texts(3)), min_size=1, max_size=6)
)
@example(["fully booked"], [("fully", ""), (" book", "ed"), ("ed", " 7"), ("", "")])
@example(["a b a b", "a b a a b"], [("a b", " a"), (" a", " b"), (" b", "")])
@example(["7:30 pm", "7 pm"], [("7", " pm"), (":3", "0 pm"), ("0", ""), (" pm", "")])
@example(["晚上7点半 四位"], [("晚上", "7点"), ("7点", ""), ("", "半"), ("半四", "位")])
def test_it_is_its_definition_at_every_prefix(references, pushed):
    metric, episode = SlotAccuracy(ONTOLOGY), Episode("", references)
    progress, written = metric.start(episode), ""
    for piece, provisional in pushed:
        written += piece
        expected = accuracy(written + provisional, references)
        assert progress.push(piece, provisional) == pytest.approx(expected, abs=1e-12)
        assert metric.score(written + provisional, episode) == pytest.approx(expected, abs=1e-12)


def test_it_keeps_the_contract():
    episodes = [Episode("", references) for references in (["booked 7 pm", "19:00 booked"], ["hi"], [""], [])]
    tried = ["Booked for 4 people at 7 PM!", "fully booked", "7 pm 7 pm booked", "7", "", "booked 19:00", "晚上7点"]
    check_metric(SlotAccuracy(ONTOLOGY), episodes, tried, reference=accuracy)


def test_examples():
    def of(text):
        return SlotAccuracy(ONTOLOGY).score(text, Episode("", ["booked for 4 people at 7 pm from oslo"]))

    assert of("From OSLO, at 19:00: 4 people. Booked!") == of("booked 7 pm 4 people from oslo") == 1
    assert of("booked for 4 people from oslo") == of("booked for 4 people at 7 pm from oslo to oslo") == 3 / 4
    assert of("booked for 4 people at 7 pm to oslo") == 1 / 2  # one is missing, one is invented
    assert of("fully booked for 4 people at 7 pm from oslo") == 1 / 2
    assert of("booked booked for 4 people at 7 pm from oslo") == 3 / 4
    assert of("") == of(" ".join(FORMS)) == of("oslo") == 0


@pytest.mark.parametrize(
    "ontology, words",
    [
        (
            {"day": {"friday": ["friday"]}, "name": {"friday": ["Friday"]}},
            "'Friday' stands for day='friday' and for name",
        ),
        ({"day": {"friday": ["?!"]}}, "'[?]!' of day='friday' has no letter"),
        ({"day": {"friday": "friday"}}, "a list of texts, got the text 'friday'"),
        ("tasks", "or 'task', got 'tasks'"),
    ],
)
def test_an_ontology_that_cannot_be_meant_is_refused(ontology, words):
    with pytest.raises(ValueError, match=words):
        SlotAccuracy(ontology)


def test_the_ontology_of_the_task():
    named = {"name": "slot_accuracy", "ontology": "task"}
    env = gym.make("textgym/Dialogue-v0", metrics=[named], reward=["delta", {"name": "delta", "metric": named}])
    env.reset(seed=0)
    info = write(env.unwrapped, env.unwrapped.episode.references[0], seed=0)[-1][-1]
    assert info["slot_accuracy"] == info["score"] == 1
    with pytest.raises(ValueError, match="Copy has no ontology"):
        TextGenEnv(Copy(), metrics=[named])
    with pytest.raises(ValueError, match="call resolve"):
        SlotAccuracy("task").start(Episode())
