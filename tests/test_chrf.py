"""chrF and chrF++ at every prefix, however the text is cut, against sacrebleu."""

import copy
import pickle
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgym import Episode, Metric
from textgym.metrics.chrf import ChrF

# words, punctuation, case, white space of all kinds, broken and rare characters
FRAGMENTS = [
    *"the cat sat on a mat Cat. (hi) a ab abab 1,000.5 3.14 -\ny &amp; &quot; <skipped> don't --- ... ,, ?!".split(" "),
    *"'a' .a a. !a! . A 我爱你 汉字。 かな 😀 👍🏽 é ß \u0130 \u212a e\u0301 \ufffd \ufffd\ufffd".split(" "),
    *"Σ ΟΔΟΣ ΑΣ. ΑΣ.Α Σ'Σ ΣΑ a\u0301Σ \u0301Σ ʰΣ ς".split(" "),
    *[" ", "  ", "\n", "\t", "\r\n", "\u00a0", "\u3000", "\u2028", "\x85", "\x1c", "\x1f", "\u200b"],
]
SETTINGS = [
    {},
    {"word_order": 2},
    {"word_order": 2, "lowercase": True},
    {"char_order": 3, "word_order": 1, "beta": 1, "whitespace": True},
    {"lowercase": True, "whitespace": True, "eps_smoothing": True},
    {"word_order": 2, "eps_smoothing": True},
    {"char_order": 0, "word_order": 3, "beta": 0},
    {"char_order": 8, "word_order": 4, "beta": 0.5, "lowercase": True, "eps_smoothing": True},
]


def nasty_text(rng, longest):
    spaced = rng.random() < 0.7
    words = [
        rng.choice(FRAGMENTS) + (" " if spaced and rng.random() < 0.7 else "") for _ in range(rng.randint(0, longest))
    ]
    return "".join(words)


def nasty_pushes(rng, longest=14):
    """(references, pieces, provisional texts): a text near a reference or any, cut anywhere."""
    references = tuple(nasty_text(rng, longest) for _ in range(rng.choice([1, 1, 1, 2, 3])))
    text = nasty_text(rng, longest)
    if rng.random() < 0.7:
        right = rng.choice(references)
        text = right[: rng.randint(0, len(right))] + text[: rng.randint(0, len(text))]
    cuts = sorted(rng.choices(range(len(text) + 1), k=rng.randint(0, 8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    provisional = [rng.choice(["", "", "", "\ufffd", nasty_text(rng, 3), rng.choice(references)[-9:]]) for _ in pieces]
    return references, pieces, provisional


def sacrebleus(**arguments):
    chrf = pytest.importorskip("sacrebleu").metrics.CHRF(**arguments)
    return lambda text, references: chrf.sentence_score(text, references).score / 100


def check_at_every_prefix(metric, expected, pushed):
    """Every value is equal to the last bit, and so is the finished text's; returns how many were compared."""
    references, pieces, provisional = pushed
    progress, committed = metric.start(Episode("", references)), ""
    for piece, open_text in zip(pieces, provisional, strict=True):
        value = progress.push(piece, open_text)
        committed += piece
        assert value == expected(committed + open_text, references), (references, committed, open_text)
    assert metric.score(committed, Episode("", references)) == progress.push("")
    return len(pieces)


@pytest.mark.parametrize("arguments", SETTINGS, ids=str)
@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32))
def test_chrf_is_sacrebleus_at_every_prefix(arguments, seed):
    check_at_every_prefix(ChrF(**arguments), sacrebleus(**arguments), nasty_pushes(random.Random(seed)))


@pytest.mark.slow
@pytest.mark.parametrize("arguments", SETTINGS, ids=str)
def test_chrf_is_sacrebleus_in_a_sweep(arguments):
    expected, rng, compared = sacrebleus(**arguments), random.Random(7), 0
    while compared < 40_000:
        compared += check_at_every_prefix(ChrF(**arguments), expected, nasty_pushes(rng, rng.choice([3, 14, 14, 60])))


@pytest.mark.parametrize("lowercase", [False, True])
def test_every_way_to_write_a_sigma_is_sacrebleus(lowercase):
    """All texts of up to 5 of the characters that decide what becomes of a capital sigma, one by one."""
    expected = sacrebleus(char_order=2, lowercase=lowercase)
    metric, reference = ChrF(char_order=2, lowercase=lowercase), ("ας σα Σ.Σ a\u0301ς",)

    def visit(progress, text):
        for symbol in "Σa. \u0301":
            after = copy.deepcopy(progress)
            assert after.push(symbol, "Α") == expected(text + symbol + "Α", reference)
            assert after.push("") == expected(text + symbol, reference)
            if len(text) < 3:
                visit(after, text + symbol)

    visit(metric.start(Episode("", reference)), "")


def test_long_texts_are_sacrebleus():
    rng = random.Random(1)
    words = "the a cat dog sat ran on over mat house. big, small (red) blue".split()
    reference = " ".join(rng.choices(words, k=400))
    pieces = [w if rng.random() < 0.8 else rng.choice(words) for w in reference.split(" ")]
    expected = sacrebleus(word_order=2)
    progress, text = ChrF(word_order=2).start(Episode("", (reference,))), ""
    for i, piece in enumerate(pieces):
        value = progress.push(" " + piece)
        text += " " + piece
        if i % 50 == 0 or i > 395:
            assert value == expected(text, [reference])
    assert 0.5 < value < 1


def test_a_right_text_is_1_and_a_wrong_one_0():
    for word_order in (0, 1, 2):
        progress = ChrF(word_order=word_order).start(Episode(references=["the cat sat", "一只猫"]))
        values = [progress.push(piece) for piece in ("th", "e ca", "t s", "at")]
        assert values == sorted(values) and values[-1] == 1.0
        assert progress.push("", "xx") < 1.0 and progress.push("") == 1.0
    assert ChrF().score("xyz", Episode(references=["the cat"])) == 0.0
    assert ChrF().score("the cat", Episode()) == 0.0
    assert ChrF().score("", Episode(references=[""])) == 0.0


def test_names_say_how_long_the_word_n_grams_are():
    assert [ChrF(word_order=n).name for n in range(3)] == ["chrf", "chrf+", "chrf++"]
    assert isinstance(ChrF(), Metric) and ChrF().worst == 0.0


@pytest.mark.parametrize("arguments", SETTINGS[:4], ids=str)
def test_a_copy_and_a_pickle_go_on_by_themselves(arguments):
    rng = random.Random(3)
    for _ in range(30):
        references, pieces, _ = nasty_pushes(rng)
        progress = ChrF(**arguments).start(Episode("", references))
        middle = len(pieces) // 2
        for piece in pieces[:middle]:
            progress.push(piece)
        copies = [copy.deepcopy(progress), pickle.loads(pickle.dumps(progress))]
        values = [progress.push(piece) for piece in pieces[middle:]]
        for other in copies:
            assert [other.push(piece) for piece in pieces[middle:]] == values


def test_what_is_known_of_a_reference_is_shared_and_no_part_of_a_pickle():
    reference = " ".join(str(i * i) for i in range(500))
    one, other = (ChrF().start(Episode("", (reference,))) for _ in range(2))
    tries = {id(p.each[0].characters.trie) for p in (one, other, copy.deepcopy(one), pickle.loads(pickle.dumps(one)))}
    assert len(tries) == 1
    trie = one.each[0].characters.trie
    assert len(pickle.dumps(one)) < 5 * len(trie.counts) + 2 * len(reference)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"char_order": -1}, "char_order"),
        ({"char_order": 2.5}, "char_order"),
        ({"word_order": "2"}, "word_order"),
        ({"char_order": 0}, "word_order must be a whole number, at least 1"),
        ({"beta": -1}, "beta"),
        ({"beta": "2"}, "beta"),
        ({"beta": float("nan")}, "beta"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        ChrF(**arguments)
