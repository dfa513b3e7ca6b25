"""Contract checks of metrics: what is right passes, and of what is wrong they say what is wrong with it."""

import math

import pytest
from helpers import METRICS_WITHOUT_ARGUMENTS, Phrases

from textgym import Delta, Episode, ExactMatch, Metric, Progress, make_metric
from textgym.testing import ContractError, check_metric, check_reward

TASK = Phrases()


# -- a right metric, and others that have one defect each


def share(text):
    return text.count("a") / (1 + len(text))


class Share(Metric):
    name = "share"

    def start(self, episode):
        return self.progress()

    def score(self, text, episode):
        return share(text)


class _Share(Progress):
    def __init__(self):
        self.text = ""

    def push(self, piece, provisional=""):
        self.text += piece
        return share(self.text + provisional)


Share.progress = _Share


class PiecesOnly(Share):
    class progress(_Share):
        def push(self, piece, provisional=""):
            return share(piece + provisional)


class CommitsProvisional(Share):
    class progress(_Share):
        def push(self, piece, provisional=""):
            self.text += piece + provisional
            return share(self.text)


class IgnoresProvisional(Share):
    class progress(_Share):
        def push(self, piece, provisional=""):
            self.text += piece
            return share(self.text)


class OneProgress(Share):
    def start(self, episode):
        self.only = vars(self).get("only") or _Share()
        self.only.text = ""
        return self.only


class Remembers(Share):
    def start(self, episode):
        progress = _Share()
        self.texts = vars(self).get("texts", 0) + 1
        progress.text = "b" * self.texts
        return progress


class EmptyIsWords(Share):
    class progress(_Share):
        def push(self, piece, provisional=""):
            return super().push(piece, provisional) if self.text + piece + provisional else "nothing was written"


class EmptyIsNoNumber(Share):
    class progress(_Share):
        def push(self, piece, provisional=""):
            self.text += piece
            text = self.text + provisional
            return text.count("a") / len(text) if text else math.nan


class ScoresOtherwise(Share):
    def score(self, text, episode):
        return share(text.strip())


class ScoresAllOtherwise(Share):
    def score_all(self, texts, episodes):
        return [share(texts[0])] * len(texts)


class NoCopies(Share):
    class progress(_Share):
        def __deepcopy__(self, memo):
            return self


class WritesIntoTheEpisode(Share):
    def start(self, episode):
        episode.meta["texts"] = episode.meta.get("texts", 0) + 1
        return _Share()


class NeedsAReference(Share):
    def start(self, episode):
        episode.references[0]
        return _Share()


class NoProvisionalArgument(Share):
    class progress(_Share):
        def push(self, piece):
            return super().push(piece)


BROKEN_METRICS = [
    (PiecesOnly, "depends on how the text is cut.*WHOLE text"),
    (CommitsProvisional, "provisional text leaves a trace"),
    (IgnoresProvisional, "provisional text does not count as if it were written"),
    (OneProgress, "followed at the same time disturb each other"),
    (Remembers, "the same text, followed twice, has two values"),
    (EmptyIsWords, r"returned 'nothing was written' for the text '': a finite number"),
    (EmptyIsNoNumber, "returned nan for the text ''"),
    (ScoresOtherwise, r"score\(\) of .* they must agree"),
    (ScoresAllOtherwise, r"score_all\(\)"),
    (NoCopies, "copy.deepcopy"),
    (WritesIntoTheEpisode, "changes the episode.*meta was"),
    (NeedsAReference, "raised IndexError.*references \\[\\]"),
    (NoProvisionalArgument, "raised TypeError.*push"),
]


@pytest.mark.parametrize("metric, words", BROKEN_METRICS)
def test_a_metric_with_a_defect_is_told_what_it_is(metric, words):
    episodes = [Episode("none", [], {}), Episode("", ["a"], {})]
    with pytest.raises(ContractError, match=f"(?s)'share': .*{words}"):
        check_metric(metric(), episodes)


@pytest.mark.parametrize("name", ["", None, "_share", 3])
def test_a_name_is_asked_for(name):
    class Nameless(Share):
        pass

    Nameless.name = name
    with pytest.raises(ContractError, match=f"metric Nameless\\(\\) is called {name!r}: set its attribute name"):
        check_metric(Nameless())
    reward = Delta("cer").replaced(name=name)
    with pytest.raises(ContractError, match=f"reward Delta\\(.*is called {name!r}: set its attribute name"):
        check_reward(reward)


def test_a_reward_is_no_metric():
    with pytest.raises(ValueError, match="'delta:cer' is a reward.*needed: 'cer'"):
        check_metric("delta:cer")


def test_a_right_metric_passes():
    check_metric(Share(), reference=lambda text, references: share(text))
    check_metric(Share(), [Episode("p", ["q"])], ["some", "", "texts 我\n", "long " * 100])
    check_metric(ExactMatch, reference=lambda text, references: text in references)


def test_the_example_is_small():
    class OnlyHere(Share):
        def score(self, text, episode):
            return share(text) + ("sat" in text)

    with pytest.raises(ContractError) as found:
        check_metric(OnlyHere())
    assert "text: push('sat')" in str(found.value)
    with pytest.raises(ContractError) as found:
        check_metric(PiecesOnly())
    assert str(found.value).count("push('") <= 3  # two pieces, and the explanation


def a_lambda():
    return lambda text, references: 1.0


def test_what_cannot_be_pickled_is_told_to_move():
    with pytest.raises(ContractError, match="cannot be pickled.*lambda.*top of a module"):
        check_metric(a_lambda())


def length_of_first(text, references):
    return len(text) / len(references[0]) if references and references[0] else 0.0


@pytest.mark.parametrize("name", METRICS_WITHOUT_ARGUMENTS)
def test_every_metric_keeps_its_contract(name):
    check_metric(make_metric(name).resolve(TASK))


def test_metrics_of_other_kinds():
    check_metric(length_of_first)
    check_metric({"name": "edit_distance", "unit": "word"})


def test_tolerance():
    class Rounded(Share):
        def score(self, text, episode):
            return round(share(text), 4)

    with pytest.raises(ContractError, match="must agree"):
        check_metric(Rounded())
    with pytest.raises(ContractError, match="pickled"):  # all else is well
        check_metric(Rounded(), tolerance=1e-4)


def test_nothing_to_try_it_on():
    for nothing in ({"episodes": []}, {"texts": []}):
        with pytest.raises(ValueError, match="at least one"):
            check_metric(Share(), **nothing)


def test_errors_are_assertions():
    assert issubclass(ContractError, AssertionError)
