"""Naive Bayes at every prefix: Bayes' rule in fractions on the whole text."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_diversity import check_at_every_prefix, in_units, nasty_texts, pushes

from textgym import DatasetTask, Episode, NaiveBayes, TextGenEnv, make_vocabulary
from textgym.tasks import make_task
from textgym.testing import check_metric

TEXTS = {"good": ["a great film", "great , great", "i liked it"], "bad": ["a dull film", "not great"]}


def by_fractions(texts, label, alpha, unit):
    """f(text, references): p(label | text) by Bayes' rule."""
    counts = {name: [u for text in of for u in in_units(text, unit)] for name, of in texts.items()}
    known = {u for of in counts.values() for u in of}

    def expected(text, references):
        joint = {}
        for name, of in counts.items():
            joint[name] = Fraction(len(texts[name]), sum(map(len, texts.values())))
            for u in in_units(text, unit):
                if u in known:
                    joint[name] *= (of.count(u) + Fraction(alpha)) / (len(of) + Fraction(alpha) * len(known))
        return float(joint[label] / sum(joint.values()))

    return expected


@pytest.mark.parametrize("unit", ["word", "character"])
@settings(deadline=None, max_examples=200)
@given(
    classes=st.lists(st.lists(nasty_texts, min_size=1, max_size=3), min_size=1, max_size=3),
    alpha=st.sampled_from([1, 0.5, 2.25]),
    pushed=pushes() | pushes(st.sampled_from(["great great dull", "a not film ", "i liked the dull dull film"])),
)
def test_it_is_bayes_rule_over_counts_of_units(unit, classes, alpha, pushed):
    texts = {"good": TEXTS["good"], **{f"class {i}": each for i, each in enumerate(classes)}}
    for label in texts:
        check_at_every_prefix(NaiveBayes(texts, label, alpha, unit), by_fractions(texts, label, alpha, unit), pushed)


def test_prompt_and_text_are_read_as_one():
    metric, alone = NaiveBayes(TEXTS, "good"), NaiveBayes(TEXTS, "good", with_prompt=False)
    expected = by_fractions(TEXTS, "good", 1, "word")
    for prompt, text in [("a dull ", "film"), ("a gr", "eat film"), ("a great", " film"), ("", "dull"), ("great ", "")]:
        assert metric.score(text, Episode(prompt)) == pytest.approx(expected(prompt + text, ()))
        assert alone.score(text, Episode(prompt)) == pytest.approx(expected(text, ()))
    assert metric.score("x y z", Episode()) == pytest.approx(3 / 5)  # the share of the class


def test_the_class_may_be_the_episodes():
    metric = NaiveBayes(TEXTS)
    good, bad = (metric.score("great", Episode("", (), {"label": label})) for label in ("good", "bad"))
    assert good > 0.5 and good + bad == pytest.approx(1)
    check_metric(metric, [Episode("a ", ("great film",), {"label": label}) for label in TEXTS])
    with pytest.raises(ValueError, match="the episode has none"):
        metric.start(Episode())
    with pytest.raises(ValueError, match="unknown label 'god'. Did you mean 'good'"):
        metric.start(Episode("", (), {"label": "god"}))


def test_long_texts_stay_numbers():
    metric = NaiveBayes(TEXTS, "good")
    assert metric.score("great " * 100_000, Episode()) == 1.0 and metric.score("dull " * 100_000, Episode()) == 0.0


def test_it_learns_from_the_train_split_of_a_task():
    test = make_task("textgym.tasks.sentiment:Sentiment", split="test")
    metric = NaiveBayes("task", alpha=0.5).resolve(test)
    assert metric.labels == ["negative", "positive"] and metric.resolve(test) is metric
    train = make_task("textgym.tasks.sentiment:Sentiment", polarity="negative", split="train")
    assert NaiveBayes(alpha=0.5).resolve(train).log_likelihood == metric.log_likelihood
    assert NaiveBayes().resolve(train).log_likelihood != metric.log_likelihood
    with pytest.raises(ValueError, match="resolve"):
        NaiveBayes().start(test.episode(0))
    env = TextGenEnv("textgym.tasks.sentiment:Sentiment", split="test", reward="delta:naive_bayes", metrics=[metric])
    _, info = env.reset(seed=0)
    paid, over = 0.0, False
    while not over:
        _, reward, over, _, info = env.step(int(env.vocabulary.encode("great")[0]))
        paid += reward
    assert paid == pytest.approx(NaiveBayes().resolve(test).score(info["text"], env.episode))
    assert paid != info["naive_bayes"] > 0.5


class Unlabelled(DatasetTask):
    def __init__(self, split="train"):
        vocabulary = make_vocabulary("character", lambda: ["ab"])
        super().__init__([Episode("a", ("b",))], vocabulary=vocabulary, prompt_length=2, budget=3, split=split)


def test_errors():
    for make, words in [
        (lambda: NaiveBayes("tasks"), "Did you mean 'task'"),
        (lambda: NaiveBayes({}), "two classes or more, got none"),
        (lambda: NaiveBayes({"good": ["a"]}), "two classes or more, got good: 1 texts"),
        (lambda: NaiveBayes({"good": ["a"], "bad": []}), "bad: 0 texts"),
        (lambda: NaiveBayes(TEXTS, "god"), "Did you mean 'good'"),
        (lambda: NaiveBayes(TEXTS, unit="letter"), "unit of naive Bayes"),
        (lambda: NaiveBayes(TEXTS, alpha=0), "alpha > 0, got 0"),
        (lambda: NaiveBayes().resolve(make_task(Unlabelled)), "Unlabelled has none"),
    ]:
        with pytest.raises(ValueError) as raised:
            make()
        assert words in str(raised.value)
