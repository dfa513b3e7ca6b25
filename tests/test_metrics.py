"""Metrics at every prefix, however the text is cut, against their definitions and rapidfuzz."""

import pickle

import numpy as np
import pytest
from helpers import METRICS_WITHOUT_ARGUMENTS, Phrases, assert_same
from hypothesis import given, settings
from hypothesis import strategies as st

import textgym
from textgym import (
    CharacterMatch,
    Delta,
    EditDistance,
    Episode,
    ExactMatch,
    FunctionMetric,
    Length,
    Metric,
    Terminal,
    TokenMatch,
    Vocabulary,
    make_metric,
    make_reward,
)
from textgym.episode import Step
from textgym.metrics import METRICS, BatchMetric

ALPHABETS = ["ab ", "abc", "我爱你 a", "😀👍🏽é \u0301", " \n\t\u00a0\u3000a", "\ufffdab"]
TASK = Phrases(tokenizer="character")
PAIRS = [(unit, form) for unit in ("character", "word") for form in ("rate", "accuracy", "distance")]


@st.composite
def pushes(draw, longest=12):
    """(references, pieces, provisional texts): a text near a reference or any, chopped anywhere."""
    alphabet = draw(st.sampled_from(ALPHABETS))
    some_text = st.text(alphabet=alphabet, max_size=longest)
    references = draw(st.lists(some_text, max_size=3))
    text = draw(some_text)
    if references and draw(st.booleans()):
        right = draw(st.sampled_from(references))
        text = right[: draw(st.integers(0, len(right)))] + text
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    provisional = draw(st.lists(st.text(alphabet=alphabet, max_size=3), min_size=len(pieces), max_size=len(pieces)))
    return tuple(references), pieces, provisional


def check_at_every_prefix(metric, expected, pushed):
    """``expected(text, references)`` is the value of the whole text after each push."""
    references, pieces, provisional = pushed
    episode = Episode("", references)
    progress, committed = metric.start(episode), ""
    for piece, open_text in zip(pieces, provisional, strict=True):
        value = progress.push(piece, open_text)
        committed += piece
        assert value == pytest.approx(expected(committed + open_text, references), abs=1e-12)
        assert metric.score(committed + open_text, episode) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("unit, form", PAIRS)
@settings(deadline=None, max_examples=200)
@given(pushed=pushes())
def test_edit_distance_is_rapidfuzz_at_every_prefix(unit, form, pushed):
    distance = pytest.importorskip("rapidfuzz").distance.Levenshtein.distance

    def to_one(text, reference):
        text, reference = (t.split() if unit == "word" else t for t in (text, reference))
        count = distance(text, reference)
        rate = count / max(len(reference), 1)
        return {"distance": count, "rate": rate, "accuracy": max(0.0, 1 - rate)}[form]

    def expected(text, references):
        if not references:
            return {"distance": len(text.split() if unit == "word" else text), "rate": 1.0, "accuracy": 0.0}[form]
        return (max if form == "accuracy" else min)(to_one(text, r) for r in references)

    check_at_every_prefix(EditDistance(unit, form), expected, pushed)


@settings(deadline=None, max_examples=20)
@given(st.text(alphabet="ab c", max_size=300), st.text(alphabet="ab c", min_size=100, max_size=300))
def test_edit_distance_of_long_texts_is_rapidfuzz(text, reference):
    distance = pytest.importorskip("rapidfuzz").distance.Levenshtein.distance
    for unit in ("character", "word"):
        progress = EditDistance(unit, "distance").start(Episode("", (reference,)))
        for piece in text:
            value = progress.push(piece)
        if text:
            assert value == (
                distance(text, reference) if unit == "character" else distance(text.split(), reference.split())
            )


def share_in_place(text, references):
    def to_one(reference):
        longest = max(len(text), len(reference))
        return sum(a == b for a, b in zip(text, reference, strict=False)) / longest if longest else 1.0

    return max(map(to_one, references), default=0.0)


@settings(deadline=None, max_examples=300)
@given(pushed=pushes())
def test_character_match_is_the_share_of_characters_in_place(pushed):
    check_at_every_prefix(CharacterMatch(), share_in_place, pushed)


@settings(deadline=None, max_examples=500)
@given(batch=st.lists(pushes()), one=st.booleans())
def test_character_match_of_many_texts_is_that_of_each(batch, one):
    batch = [(references[:1] or ("",) if one else references, "".join(pieces)) for references, pieces, _ in batch]
    episodes = [Episode("", references) for references, _ in batch]
    scores = CharacterMatch().score_all([text for _, text in batch], episodes)
    assert scores == [share_in_place(text, references) for references, text in batch]


@settings(deadline=None, max_examples=300)
@given(pushed=pushes())
def test_exact_match_is_being_one_of_the_references(pushed):
    check_at_every_prefix(ExactMatch(), lambda text, references: float(text in references), pushed)


@settings(deadline=None, max_examples=100)
@given(pushed=pushes())
def test_a_function_is_called_on_the_whole_text(pushed):
    def f(text, references):
        return hash((text, references)) % 1000

    check_at_every_prefix(textgym.metric(f), f, pushed)


# -- token ids ----------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_token_match_is_the_share_of_tokens_in_place_in_every_row(data):
    vocabulary = Vocabulary.characters(["abc"])
    n = data.draw(st.integers(1, 3))
    progress = TokenMatch().start_rows(n, vocabulary)
    some_text = st.text(alphabet="abc", max_size=data.draw(st.sampled_from([3, 30])))
    episodes, tokens, lengths = [None] * n, [[] for _ in range(n)], np.zeros(n, np.int64)
    written = np.full((n, 12), vocabulary.pad, np.int32)

    def begin(rows):
        new = [Episode("", data.draw(st.lists(some_text, max_size=3))) for _ in rows]
        progress.reset(np.array(rows), new)
        for row, episode in zip(rows, new, strict=True):
            episodes[row], tokens[row] = episode, []
            lengths[row] = 0

    def expected(row):
        written = [t for t in tokens[row] if t != vocabulary.eos]
        values = [0.0]
        for reference in episodes[row].references:
            right = vocabulary.encode(reference).tolist()
            longest = max(len(written), len(right))
            values.append(sum(a == b for a, b in zip(written, right, strict=False)) / longest if longest else 1.0)
        return max(values)

    begin(list(range(n)))
    for _ in range(data.draw(st.integers(1, 12))):
        going = [row for row in range(n) if vocabulary.eos not in tokens[row]]
        ended = [row for row in range(n) if row not in going]
        if ended:
            begin(ended)
            going = list(range(n))
        rows = sorted(data.draw(st.sets(st.sampled_from(going), min_size=1)))
        likely = [r.references[0] if r.references else "" for r in episodes]
        actions = []
        for row in rows:
            right = [*vocabulary.encode(likely[row]).tolist(), vocabulary.eos]
            follow = data.draw(st.booleans()) and len(tokens[row]) < len(right)
            actions.append(right[len(tokens[row])] if follow else data.draw(st.integers(0, vocabulary.eos)))
            tokens[row].append(actions[-1])
            written[row, lengths[row]] = actions[-1]
            lengths[row] += 1
        actions = np.array(actions)
        step = Step(np.array(rows), actions, episodes, written, vocabulary, whole=len(rows) == n)
        step.lengths, step.ended = lengths[rows], actions == vocabulary.eos
        value = progress.value(step)
        assert value.dtype == np.float64 and value.tolist() == pytest.approx([expected(row) for row in rows], abs=1e-12)
        for score in (TokenMatch().score_rows(step), BatchMetric.score_rows(TokenMatch(), step)):
            assert score.tolist() == pytest.approx(value.tolist(), abs=1e-12)
        if data.draw(st.booleans()):
            progress.set_state(pickle.loads(pickle.dumps(progress.get_state())))


def test_token_match_needs_a_vocabulary():
    with pytest.raises(ValueError, match="vocabulary"):
        TokenMatch().start_rows(1, None)


# -- what all have in common --------------------------------------------------------------------------


REFERENCE_FREE = ("distinct", "repetition", "length", "fluency", "naive_bayes")
OF_CODE = ("valid_prefix", "visible_examples", "hidden_cases")
NEED = {
    "log_likelihood": "model",
    "embedding_similarity": "model",
    "classifier_probability": "model",
    "slot_accuracy": "ontology",
    "learned": "model",
}
ERROR_RATES = ("cer", "wer", "ter", "optimistic_cer", "optimistic_wer")


@pytest.mark.parametrize("name", METRICS)
def test_every_name_makes_a_metric(name):
    if name in NEED:
        with pytest.raises(TypeError, match=f"metric '{name}' needs {NEED[name]}"):
            make_metric(name)
        return
    metric = make_metric(name)
    assert make_metric(metric) is metric and metric.name
    if isinstance(metric, Metric) and name not in REFERENCE_FREE + OF_CODE:
        good, bad = (metric.score(text, Episode(references=["a b"])) for text in ("a b", "x"))
        assert good == pytest.approx(0.0 if name in ERROR_RATES else 1.0) and bad != good
        assert metric.score("", Episode()) in (0.0, 1.0)
        if not metric.only_at_end:
            assert metric.start(Episode(references=["a b"])).push("a b") == good


def test_metrics_work_without_an_environment():
    progress = EditDistance().start(Episode(references=["the cat"]))
    assert [progress.push(piece) for piece in ("the", " ", "cat")] == pytest.approx([3 / 7, 4 / 7, 1.0])
    assert progress.push("", "s") == pytest.approx(6 / 7) and progress.push("") == 1.0


def test_words_may_be_split_over_pieces():
    progress = EditDistance("word", "distance").start(Episode(references=["the cat sat"]))
    values = [progress.push(piece) for piece in ("th", "e", " ca", "t s", "a", "", "t", " ")]
    assert values == [3, 2, 2, 1, 1, 1, 0, 0]


def example(text, references):
    """How long it is."""
    return len(text)


def test_functions_become_metrics_under_their_names():
    for made in (make_metric(example), textgym.metric(example), make_metric("test_metrics:example")):
        assert type(made) is FunctionMetric and made.name == "example"
        assert made("abc", ["x"]) == 3 and made.start(Episode()).push("ab", "c") == 3
    assert make_metric("textgym:ExactMatch").name == "exact_match"
    assert make_metric(EditDistance("word", "distance")).name == "word_distance"


@pytest.mark.parametrize("metric", [*METRICS_WITHOUT_ARGUMENTS, Length(target=3), Length(target="reference")])
def test_a_metric_says_whether_it_compares_with_references(metric):
    metric, written = make_metric(metric).resolve(TASK), np.tile(TASK.vocabulary.encode("the cat"), (3, 1))
    episodes = [Episode("", references) for references in ([], ["the cat"], ["a"])]
    step = Step(np.arange(3), written[:, -1], episodes, written, TASK.vocabulary)
    step.lengths = np.full(3, written.shape[1])
    values = metric.score_rows(step).tolist()
    assert metric.needs_references == (len(set(values)) > 1)
    assert Terminal(metric).needs_references == metric.needs_references


def test_a_reward_says_whether_it_compares_with_references():
    for reward, compares in [
        ("terminal", False),  # not before it knows the task
        ("terminal:ter", True),
        (["delta:length", {"name": "delayed", "reward": "delta:bleu"}], True),
        (["delta:length", {"name": "delayed", "reward": "delta:distinct"}, "constant"], False),
        ({"name": "potential", "metric": "length", "base": "terminal:wer"}, True),
        ({"name": "potential", "metric": "wer", "base": None}, True),
        ({"name": "potential", "metric": "length", "base": "constant"}, False),
        (Delta(example), False),
    ]:
        assert make_reward(reward).needs_references == compares, reward
    assert make_reward("terminal").resolve(TASK).needs_references


@pytest.mark.parametrize(
    "spec, error, words",
    [
        ("exactmatch", ValueError, "Did you mean 'exact_match'"),
        ("BLEU", ValueError, "Did you mean 'bleu'"),
        ("rouge1:stem", ValueError, "{'name': 'rouge1', ...}"),
        ("test_metrics:exampel", ValueError, "Did you mean 'example'"),
        ("no.such.module:f", ValueError, "no.such.module"),
        (3, TypeError, "3"),
        (Episode, TypeError, "Episode"),
        (None, TypeError, "None"),
    ],
)
def test_what_is_no_metric_is_refused_with_the_nearest_right_name(spec, error, words):
    with pytest.raises(error) as raised:
        make_metric(spec)
    assert words in str(raised.value)


@pytest.mark.parametrize("arguments", [{"unit": "charcter"}, {"form": "acuracy"}])
def test_edit_distance_names_the_nearest_unit_and_form(arguments):
    with pytest.raises(ValueError, match="Did you mean '(character|accuracy)'"):
        EditDistance(**arguments)


def test_references_of_an_episode_are_a_sequence_of_texts():
    assert Episode("p", ["a"]) == Episode("p", ("a",)) and Episode("p", iter(["a"])).references == ("a",)
    with pytest.raises(TypeError, match="'abc'"):
        Episode("p", "abc")
    with pytest.raises(AttributeError):
        Episode("p").prompt = "q"
    assert_same(pickle.loads(pickle.dumps(Episode("p", ("a",), {"k": 1}))), Episode("p", ("a",), {"k": 1}))
