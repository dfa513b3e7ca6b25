"""ROUGE at every prefix, however the text is cut, against rouge-score."""

import copy
import pickle
import random
import sys
import unicodedata
from itertools import product
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgym import Episode, Metric
from textgym.metrics import rouge
from textgym.metrics.rouge import ROUGE

KINDS = ["1", "2", "3", "9", "L", "Lsum"]
# words, stems, numbers, punctuation, case, white space of all kinds, broken and rare characters
FRAGMENTS = [
    *"the cat Cat cats sat running runs ran ponies skies flies dying universal university yyyy was wa a ed s".split(),
    *"1 1,000.5 3.14 42nd &amp; &quot; <skipped> don't - ... ,, ?! . _ a_b (hi)".split(),
    *"我爱你 汉字。 かな カナ ｶﾅ 々 ー 한국어 😀 👍🏽 é ß Σ ΟΔΟΣ ς \u0130 \u212a \ufffd \ufffd\ufffd ² ½ ٣".split(),
    *["\n", "\n", "\n\n", " \n ", "-\n", "\t", "\r\n", "\u00a0", "\u3000", "\u2028", "\x85", "\x1c", "\x1f", "\u200b"],
]
CJK_NAMES = (
    *("CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH", "IDEOGRAPHIC ITERATION", "IDEOGRAPHIC CLOSING"),
    *("IDEOGRAPHIC NUMBER", "HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA", "HENTAIGANA"),
)


def nasty_text(rng, longest):
    few = rng.random() < 0.5  # words that come again
    fragments = rng.sample(FRAGMENTS, 4) + [" ", "\n"] if few else FRAGMENTS
    glue = ["", " ", " ", " ", "\n"] if rng.random() < 0.8 else [""]
    return "".join(rng.choice(fragments) + rng.choice(glue) for _ in range(rng.randint(0, longest)))


def nasty_pushes(rng, longest=14):
    """(references, pieces, provisional texts): a text near a reference or any, cut anywhere."""
    references = tuple(nasty_text(rng, longest) for _ in range(rng.choice([1, 1, 1, 2, 3])))
    text = nasty_text(rng, longest)
    if rng.random() < 0.7:
        words = rng.choice(references).split(" ")
        kept = [rng.choice(words) if rng.random() < 0.2 else word for word in words if rng.random() < 0.9]
        text = " ".join(kept) + text[: rng.randint(0, len(text))]
    cuts = sorted(rng.choices(range(len(text) + 1), k=rng.randint(0, 10)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    provisional = [rng.choice(["", "", "", "\ufffd", nasty_text(rng, 3), rng.choice(references)[-9:]]) for _ in pieces]
    return references, pieces, provisional


def rouge_scores(kind, stem=False, measure="fmeasure", tokenizer=None):
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer([f"rouge{kind}"], stem, tokenizer=tokenizer)

    def score(text, references):
        return getattr(scorer.score_multi(references, text)[f"rouge{kind}"], measure)

    return score


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


@pytest.mark.parametrize(
    "kind, stem", [*product(KINDS, [False]), ("1", True), ("2", True), ("L", True), ("Lsum", True)]
)
@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32))
def test_rouge_is_rouge_scores_at_every_prefix(kind, stem, seed):
    check_at_every_prefix(ROUGE(kind, stem), rouge_scores(kind, stem), nasty_pushes(random.Random(seed)))


@pytest.mark.slow
@pytest.mark.parametrize("kind, stem", [*product(KINDS, [False, True])])
def test_rouge_is_rouge_scores_in_a_sweep(kind, stem):
    expected, rng, compared = rouge_scores(kind, stem), random.Random(7), 0
    while compared < 40_000:
        compared += check_at_every_prefix(ROUGE(kind, stem), expected, nasty_pushes(rng, rng.choice([3, 14, 14, 60])))


@pytest.mark.parametrize("measure", ["precision", "recall"])
@pytest.mark.parametrize("kind", ["1", "L", "Lsum"])
@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32))
def test_precision_and_recall_are_those_of_the_reference_with_the_highest_f(kind, measure, seed):
    expected = rouge_scores(kind, measure=measure)
    check_at_every_prefix(ROUGE(kind, measure=measure), expected, nasty_pushes(random.Random(seed)))


def test_the_best_reference_is_not_the_one_with_the_best_recall():
    references = ["a b c d", "a"]  # recall of "a b": 1/2 and 1; F: 2/3 and 2/3: the first of equals
    assert ROUGE("1", measure="recall").score("a b", Episode("", references)) == 0.5
    assert ROUGE("1", measure="recall").score("a b", Episode("", references[::-1])) == 1.0
    assert ROUGE("1", measure="precision").score("a", Episode("", ["x", "a b", "a c d"])) == 1.0


# -- summaries of several sentences ---------------------------------------------------------------------


@pytest.mark.parametrize("reference", ["ab a\nba b\na", "aab b a b\n\nb a a b"])
def test_unions_of_subsequences_are_rouge_scores_for_all_short_texts(reference):
    """Few words and many ties: the subsequence that is read out of the table is the library's."""
    expected, reference = rouge_scores("Lsum"), (" ".join(reference),)

    def visit(progress, text):
        for piece in ("a ", "b ", "\n", "x "):
            after = copy.deepcopy(progress)
            assert after.push("", piece + "b") == expected(text + piece + "b", reference)
            assert after.push(piece) == expected(text + piece, reference)
            if len(text) < 6:
                visit(after, text + piece)

    visit(ROUGE("Lsum").start(Episode("", reference)), "")


def test_long_summaries_are_rouge_scores():
    rng = random.Random(5)
    lines = [" ".join(rng.choices("abcdefghij", k=rng.randint(5, 25))) for _ in range(8)]
    reference, expected = "\n".join(lines), rouge_scores("Lsum")
    for separator in ("\n", " "):
        text, progress = "", ROUGE("Lsum").start(Episode("", (reference,)))
        for i, word in enumerate(rng.choices("abcdefghijx", k=150)):
            piece = word + (separator if i % 20 == 19 else " ")
            value = progress.push(piece, "a\nb")
            text += piece
            if i % 7 == 0 or i > 145:
                assert value == expected(text + "a\nb", [reference])


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32))
def test_without_line_breaks_rouge_lsum_is_rouge_l(seed):
    references, pieces, provisional = nasty_pushes(random.Random(seed))
    episode = Episode("", [reference.replace("\n", " ") for reference in references])
    both = ROUGE("L").start(episode), ROUGE("Lsum").start(episode)
    for piece, open_text in zip(pieces, provisional, strict=True):
        one, other = (p.push(piece.replace("\n", " "), open_text.replace("\n", " ")) for p in both)
        assert one == other


# -- words ----------------------------------------------------------------------------------------------


class UnicodeWords:
    """The definition of tokens="unicode", character by character and by their Unicode names."""

    def tokenize(self, text):
        spaced = ""
        for character in text.casefold():
            alone = is_cjk(character)
            spaced += f" {character} " if alone else character if character.isalnum() else " "
        return [word for word in spaced.split(" ") if word]


def is_cjk(character):
    return character.isalnum() and unicodedata.name(character, "").startswith(CJK_NAMES)


def test_cjk_ideographs_and_kana_are_words_and_no_other_characters():
    characters = [c for c in map(chr, range(sys.maxunicode + 1)) if c.isalnum()]
    words = ROUGE("1", tokens="unicode").words
    wrong = [c for c in characters if (words.in_run.match(c) is None) != is_cjk(c)]
    assert not wrong, [f"{ord(c):x} {unicodedata.name(c)}" for c in wrong]
    assert words.runs.findall("我a爱1b-c_d") == ["我", "a", "爱", "1b", "c", "d"]


@pytest.mark.parametrize("kind, stem", [("1", False), ("2", True), ("L", False), ("Lsum", True)])
@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32))
def test_unicode_words_at_every_prefix(kind, stem, seed):
    class Tokens(UnicodeWords):
        def tokenize(self, text):
            words = super().tokenize(text)
            stemmer = rouge._stemmer()
            return [stemmer.stem(word) if len(word) > 3 else word for word in words] if stem else words

    expected = rouge_scores(kind, tokenizer=Tokens())
    check_at_every_prefix(ROUGE(kind, stem, "unicode"), expected, nasty_pushes(random.Random(seed)))


def test_chinese_has_words_in_unicode_only():
    episode = Episode(references=["我爱你"])
    assert ROUGE("1").score("我爱你", episode) == 0.0
    progress = ROUGE("1", tokens="unicode").start(episode)
    assert [progress.push(c) for c in "我爱你"] == [0.5, 0.8, 1.0]


@pytest.fixture
def jieba(monkeypatch):
    """In the place of jieba: the longest words of a small dictionary, from the left."""

    def lcut(text):
        words, text = [], text.strip()
        while text:
            longest = next((w for w in ("北京大学", "大学生", "北京", "大学") if text.startswith(w)), text[0])
            words.append(longest)
            text = text[len(longest) :]
        return words

    module = SimpleNamespace(lcut=lcut)
    monkeypatch.setitem(sys.modules, "jieba", module)
    rouge._reference_words.cache_clear()
    yield module
    rouge._reference_words.cache_clear()


@pytest.mark.parametrize("kind", ["1", "2", "L", "Lsum"])
def test_jieba_words_at_every_prefix(kind, jieba):
    class Tokens:
        def tokenize(self, text):
            runs = "".join(c if c.isalnum() else " " for c in text.casefold()).split(" ")
            return [word for run in runs for word in jieba.lcut(run)]

    metric, expected, rng = ROUGE(kind, tokens="jieba"), rouge_scores(kind, tokenizer=Tokens()), random.Random(2)
    assert metric.score("北京大学", Episode(references=["北京大学"])) == (kind != "2")
    for _ in range(300):
        references, pieces, provisional = (
            [text.translate(str.maketrans("abcst", "北京大学生")) for text in texts] for texts in nasty_pushes(rng, 8)
        )
        check_at_every_prefix(metric, expected, (tuple(references), pieces, provisional))


@pytest.mark.parametrize("kind", ["1", "2", "L"])
def test_words_of_the_real_jieba_at_every_prefix(kind):
    cut = pytest.importorskip("jieba").lcut

    class Tokens:
        def tokenize(self, text):
            runs = "".join(c if c.isalnum() else " " for c in text.casefold()).split(" ")
            return [word for run in runs for word in cut(run)]

    metric, expected, rng = ROUGE(kind, tokens="jieba"), rouge_scores(kind, tokenizer=Tokens()), random.Random(4)
    assert metric.score("他来到了网易杭研大厦", Episode(references=["他来到了网易杭研大厦"])) == 1.0
    text = "小明硕士毕业于中国科学院计算所，后在日本京都大学深造。New York的天气: 下午三点三刻，十块五毛！"
    for _ in range(60):
        parts = [text[i : i + rng.randint(1, 9)] for i in rng.choices(range(len(text)), k=6)]
        references = ("".join(parts[:4]), text[: rng.randint(0, 40)])
        check_at_every_prefix(
            metric, expected, (references, parts, [rng.choice(["", "大学", "\ufffd"]) for _ in parts])
        )


@pytest.mark.parametrize("module, arguments", [("jieba", {"tokens": "jieba"}), ("nltk", {"stem": True})])
def test_what_is_not_installed_is_named(monkeypatch, module, arguments):
    rouge._stemmer.cache_clear()
    for name in [module, *(name for name in sys.modules if name.startswith(module + "."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=f"pip install {module}"):
        ROUGE("1", **arguments)


# -- the rest -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_right_text_is_1_and_a_wrong_one_0(kind):
    text = "one two three four five six\nseven eight nine ten"
    progress = ROUGE(kind).start(Episode(references=["zero", text]))
    values = [progress.push(piece) for piece in text.split("e")]
    assert max(values) < 1.0
    assert ROUGE(kind).score(text, Episode(references=["zero", text])) == 1.0
    assert ROUGE(kind).score("zero point", Episode(references=[text])) == 0.0
    assert ROUGE(kind).score(text, Episode()) == 0.0
    assert ROUGE(kind).score("", Episode(references=[""])) == 0.0


def test_names():
    assert [ROUGE(kind).name for kind in KINDS] == ["rouge1", "rouge2", "rouge3", "rouge9", "rougeL", "rougeLsum"]
    assert ROUGE("L", stem=True).name == "rougeL_stem"
    assert ROUGE("2", tokens="unicode", measure="recall").name == "rouge2_unicode_recall"
    assert isinstance(ROUGE("1"), Metric) and ROUGE("1").worst == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_and_a_pickle_go_on_by_themselves(kind):
    rng = random.Random(3)
    for _ in range(30):
        references, pieces, provisional = nasty_pushes(rng)
        progress = ROUGE(kind, stem=True).start(Episode("", references))
        middle = len(pieces) // 2
        for pushed in zip(pieces[:middle], provisional, strict=False):
            progress.push(*pushed)
        copies = [copy.deepcopy(progress), pickle.loads(pickle.dumps(progress))]
        values = [progress.push(piece) for piece in pieces[middle:]]
        for other in copies:
            assert [other.push(piece) for piece in pieces[middle:]] == values


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_known_of_a_reference_is_shared(kind):
    words = " ".join(str(i * i) for i in range(200))
    one = ROUGE(kind).start(Episode("", (words,)))
    others = [ROUGE(kind).start(Episode("", (words,))), copy.deepcopy(one), pickle.loads(pickle.dumps(one))]
    assert all(other.each[0].reference is one.each[0].reference for other in others)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["l"], "unknown kind of ROUGE 'l'"),
        (["sum"], "Did you mean 'Lsum'"),
        (["0"], "Allowed: 1, 2"),
        (["1", False, "unicod"], "Did you mean 'unicode'"),
        (["1", False, "ascii", "prec"], "Did you mean 'precision'"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        ROUGE(*arguments)
