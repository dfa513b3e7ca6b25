"""Contract checks of metrics that are computed for all rows in one call."""

import numpy as np
import pytest
from helpers import Phrases

from textgym import BatchMetric, BatchProgress, CharacterMatch, Vocabulary
from textgym.testing import ContractError, check_metric


class Lengths(BatchMetric):
    """Characters of the text / 10, in one call for all rows."""

    name = "lengths"
    needs_text = True

    def start_rows(self, n, vocabulary):
        return self.progress(n)

    def score_rows(self, step):
        return np.array(list(map(len, step.texts))) / 10


class _Lengths(BatchProgress):
    def __init__(self, n):
        self.size = np.zeros(n)

    def reset(self, rows, episodes):
        self.size[rows] = 0

    def value(self, step):
        self.size[step.rows] += list(map(len, step.pieces))
        return (self.size[step.rows] + list(map(len, step.provisional))) / 10


Lengths.progress = _Lengths


class ResetsAllRows(Lengths):
    class progress(_Lengths):
        def reset(self, rows, episodes):
            self.size[:] = 0


class NeverResets(Lengths):
    class progress(_Lengths):
        def reset(self, rows, episodes):
            pass


class ReturnsItsOwnArray(Lengths):
    class progress(_Lengths):
        def __init__(self, n):
            super().__init__(n)
            self.answer = np.zeros(n)

        def value(self, step):
            self.answer[: len(step.rows)] = super().value(step)
            return self.answer[: len(step.rows)]


class FloatsOf32Bits(Lengths):
    class progress(_Lengths):
        def value(self, step):
            return super().value(step).astype(np.float32)


class ValueForAllRows(Lengths):
    class progress(_Lengths):
        def value(self, step):
            super().value(step)
            return self.size / 10


class EndsOtherwise(Lengths):
    def score_rows(self, step):
        return step.lengths / 10


class MeanOfRows(Lengths):
    class progress(_Lengths):
        def value(self, step):
            return super().value(step) - self.size.mean()

    score_rows = BatchMetric.score_rows


class NotSaved(Lengths):
    class progress(_Lengths):
        not_saved = frozenset({"size"})


class KeepsItInTheRecipe(Lengths):
    def start_rows(self, n, vocabulary):
        progress = _Lengths(n)
        self.shared = progress.size = vars(self).get("shared", np.zeros(9))
        return progress


class ChangesTheStep(Lengths):
    class progress(_Lengths):
        def value(self, step):
            step.lengths[:] = 0
            return super().value(step)


class TakesNoScalars(Lengths):
    class progress(_Lengths):
        takes_scalars = True


class OtherScalars(Lengths):
    class progress(_Lengths):
        takes_scalars = True

        def value(self, step):
            value = super().value(step)
            return 0.0 if step.scalar else value


BROKEN_ROWS = [
    (ResetsAllRows, "rows are not independent"),
    (NeverResets, r"reset\(\) does not forget"),
    (ReturnsItsOwnArray, "an earlier result is changed.*fresh arrays"),
    (FloatsOf32Bits, r"its value is float32 \(1,\) instead of an array of float64"),
    (ValueForAllRows, r"float64 \(\d,\) instead of an array of float64 with shape"),
    (EndsOtherwise, r"score_rows\(\) of the finished text.*they must agree"),
    (MeanOfRows, "rows are not independent"),
    (NotSaved, r"set_state\(\) does not go back"),
    (KeepsItInTheRecipe, "belongs in the state"),
    (ChangesTheStep, "changes step.lengths, which is the environment's"),
    (TakesNoScalars, "takes_scalars.*one finite number"),
    (OtherScalars, "takes_scalars.*do not get the same"),
]


@pytest.mark.parametrize("metric, words", BROKEN_ROWS)
def test_a_metric_of_rows_with_a_defect_is_told_what_it_is(metric, words):
    with pytest.raises(ContractError, match=f"(?s)metric 'lengths': .*{words}"):
        check_metric(metric())


class OnlyAtEnd(Lengths):
    only_at_end = True

    def start_rows(self, n, vocabulary):
        raise TypeError("not token by token")


class OnlyAtEndOfTheBatch(OnlyAtEnd):
    def score_rows(self, step):
        return np.full(len(step.rows), max(map(len, step.texts)) / 10)


def test_metrics_of_rows_that_are_right_and_ones_that_are_known_at_the_end_only():
    check_metric(Lengths())
    check_metric(OnlyAtEnd())
    with pytest.raises(ContractError, match="rows are not independent"):
        check_metric(OnlyAtEndOfTheBatch())


def test_the_reference_is_asked_about_metrics_of_rows_too():
    check_metric(Lengths(), reference=lambda text, references: len(text) / 10)
    check_metric(OnlyAtEnd(), reference=lambda text, references: len(text) / 10)
    for metric in (Lengths(), OnlyAtEnd()):
        with pytest.raises(ContractError, match="the reference function 0.3"):
            check_metric(metric, reference=lambda text, references: min(len(text) / 10, 0.3))


class Twofold(CharacterMatch):
    """A metric of texts that follows rows in its own way."""

    def start_rows(self, n, vocabulary):
        return super().start_rows(n, vocabulary)


class TwofoldOtherwise(Twofold):
    def start_rows(self, n, vocabulary):
        return _Lengths(n)


def test_a_metric_of_texts_that_follows_rows_in_its_own_way():
    check_metric(Twofold(), reference=CharacterMatch())
    with pytest.raises(ContractError, match=r"score_rows\(\) of the finished text"):
        check_metric(TwofoldOtherwise())


def test_vocabularies():
    phrases = Phrases(tokenizer="character")
    check_metric("token_match", vocabulary=phrases.vocabulary, episodes=phrases.items, texts=["我a", "a"])
    check_metric("token_match", vocabulary=Vocabulary.characters("abc twonet"))  # writes some of the examples
    with pytest.raises(ValueError, match="can write none of the episodes"):
        check_metric("token_match", vocabulary=Vocabulary.characters("x"), texts=["y"])
