"""Answer F1 at every prefix, however the text is cut, against the evaluation scripts of SQuAD 2.0 and MLQA."""

import collections
import re
import string
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from textgym import AnswerF1, Episode
from textgym.testing import check_metric

WORDS = [
    "the",
    "The",
    "a",
    "an",
    "oslo",
    "Oslo",
    "new york",
    "3",
    "u.s.",
    "the-cat",
    "it's",
    "ΟΔΟΣ",
    "Σ",
    "İ",
    "ß",
    "ﬁ",
]
SIGNS = [*" .,-'’—“”|\t\n\x1c\x85\u00a0\u3000\u0301", "—the—", " a ", "…", "。"]
CHINESE = ["北京", "我", "在北京", "the", "iPhone", "A股", "，", "《", "》", "3", "㐀", "龥", "龦"]


def squad_tokens(text):
    """Lower the text, then take out punctuation, articles, and extra white space."""
    text = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def mlqa_tokens(text):
    """Of Chinese: lower, without punctuation, characters apart and words between them whole."""
    text = "".join(
        c for c in text.lower() if c not in string.punctuation and not unicodedata.category(c).startswith("P")
    )
    tokens, word = [], ""
    for character in text:
        if re.search("[\u4e00-\u9fa5]", character):
            tokens += [*word.split(), character]
            word = ""
        else:
            word += character
    return tokens + word.split()


def official_f1(text, references, tokens_of):
    best = 0.0
    for reference in references:
        gold, found = tokens_of(reference), tokens_of(text)
        if not gold or not found:
            best = max(best, float(gold == found))
            continue
        same = sum((collections.Counter(gold) & collections.Counter(found)).values())
        if same:
            precision, recall = same / len(found), same / len(gold)
            best = max(best, 2 * precision * recall / (precision + recall))
    return best


TOKENS = {"english": squad_tokens, "chinese": mlqa_tokens}


def texts(most):
    return st.lists(st.sampled_from(WORDS + SIGNS + CHINESE) | st.characters(), max_size=most).map("".join)


@pytest.mark.parametrize("language", TOKENS)
@settings(deadline=None, max_examples=400)
@given(
    references=st.lists(texts(5), max_size=3),
    pushed=st.lists(st.tuples(texts(3), texts(2)), min_size=1, max_size=6),
)
@example(references=["ab the", "οδος"], pushed=[("ΟΔΟΣ", ""), (".", "Α"), ("", " "), ("Ο the", "n"), ("", "")])
@example(references=["在北京", ""], pushed=[("the", ""), ("在", "京"), ("", ""), ("，", "北"), ("iPhone", "京")])
@example(references=["ß", "ΟΔΟΣ"], pushed=[("ss", ""), (" οδο", "σ"), ("ς", "")])
def test_it_is_the_official_evaluation_at_every_prefix(language, references, pushed):
    metric, episode = AnswerF1(language), Episode("", references)
    progress, written = metric.start(episode), ""
    for piece, provisional in pushed:
        written += piece
        expected = official_f1(written + provisional, references, TOKENS[language])
        assert progress.push(piece, provisional) == pytest.approx(expected, abs=1e-12)
        assert metric.score(written + provisional, episode) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("language", TOKENS)
def test_it_keeps_the_contract(language):
    tokens_of = TOKENS[language]
    check_metric(AnswerF1(language), reference=lambda text, references: official_f1(text, references, tokens_of))


def test_examples():
    def f1(text, *references, language="english"):
        return AnswerF1(language).score(text, Episode("", references))

    assert f1("The attic.", "attic") == f1("attic", "the attic") == f1("3", "three", "3") == 1
    assert f1("the red box", "the blue box") == pytest.approx(1 / 2)
    assert f1("oslo oslo", "oslo") == pytest.approx(2 / 3)  # what is there twice counts once
    assert f1("the", "a", "box") == 1 and f1("", "the") == 1  # no token, like the reference
    assert f1("", "oslo") == f1("oslo", "the") == f1("oslo") == f1("") == 0
    assert f1("在北京", "北京", language="chinese") == pytest.approx(4 / 5)
    assert f1("在北京", "北京") == 0  # one word
    with pytest.raises(ValueError, match="Did you mean 'chinese'"):
        AnswerF1("chines")
