"""BLEU at every prefix, however the text is cut, against sacrebleu; and which tokens of a text are final."""

import copy
import pickle
import pydoc_data.topics
import random
import sys
from codecs import utf_8_decode
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgym import Episode
from textgym.metrics import ngram_trie
from textgym.metrics.bleu import BLEU, SMOOTHINGS
from textgym.metrics.tokenization import TOKENIZATIONS, TokenStream, _is_chinese, tokenization

sacrebleu = pytest.importorskip("sacrebleu")
from sacrebleu.tokenizers.tokenizer_zh import TokenizerZh  # noqa: E402 (only where it is installed)

BOTH = [False, True]
WORDS = "the cat sat Cat a b".split()
FRAGMENTS = [
    *WORDS,
    *["1", "5", "23", "1,5", "2.", ",", "..", ".,", ". ", ", ", "'", "'s", "-", "--", "(", "$", ":", "^", "`"],
    *[" ", "  ", "\n", "\n\n", "-\n", "\r\n", "\t", "\u00a0", "\u3000", "\u2003", "\u2028", "\u0085", "\x1c", "\x1f"],
    *["<skipped>", "<skip", "ped>", "<", ">", "&", "&am", "p;", "&amp;", "lt;", "&quot;", "&quo", "t;", "&gt;", ";"],
    *["Σ", "ΑΣ", "ς", "\u212a", "\u0130", "ß", "Ω", "é", "e\u0301", "\u0301", "\u00ad", "\u200d", "ʰ", "’"],
    *["我", "爱你", "。", "，", "、", "（", "Ａ", "：", "〇", "한", "😀", "👍🏽", "€", "+", "½", "٣", "²", "\ufffd"],
]  # fmt: skip


@st.composite
def texts_in_pieces(draw, fragments=FRAGMENTS, longest=12):
    """(references, [(piece, provisional text), ...]): a text near a reference or any, cut anywhere."""
    few = draw(st.lists(st.sampled_from(fragments), min_size=2, max_size=8))  # few: so that n-grams recur
    some_text = st.lists(st.sampled_from(few), max_size=longest).map("".join)
    references = draw(st.lists(some_text, min_size=1, max_size=3))
    text = draw(some_text)
    if draw(st.booleans()):
        text = draw(st.sampled_from(references)) + text
    if draw(st.integers(0, 3)) == 0:
        return tuple(references), in_bytes(text, draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in pairwise([0, *cuts, len(text)])]
    provisional = draw(st.lists(st.just("") | some_text, min_size=len(pieces), max_size=len(pieces)))
    return tuple(references), list(zip(pieces, provisional, strict=True))


def in_bytes(text, sizes):
    """The text as tokens of so many bytes: an unfinished character stands as U+FFFD until the next one."""
    data, pushed, rest = text.encode(), [], b""
    while data:
        size = sizes[len(pushed) % len(sizes)]
        rest, data = rest + data[:size], data[size:]
        piece, used = utf_8_decode(rest, "replace", False)
        rest = rest[used:]
        pushed.append((piece, rest.decode("utf-8", "replace")))
    return pushed


def by_sacrebleu(metric, text, references):
    oracle = sacrebleu.metrics.BLEU(
        tokenize=metric.tokenize,
        lowercase=metric.lowercase,
        smooth_method=metric.smooth,
        smooth_value=metric.smooth_value,
        max_ngram_order=metric.max_order,
        effective_order=metric.effective_order,
        force=True,
    )
    return min(1.0, oracle.sentence_score(text, references).score / 100)  # 100.00000000000004: a perfect text


def tokens_by_sacrebleu(name, lowercase, text):
    cut = sacrebleu.metrics.bleu._get_tokenizer(name)()
    line = (text.lower() if lowercase else text).rstrip()
    call = type(cut).__call__
    return tuple(getattr(call, "__wrapped__", call)(cut, line).split())  # not through its memo of lines


# -- the values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("lowercase", BOTH)
@pytest.mark.parametrize("tokenize", TOKENIZATIONS)
@settings(deadline=None, max_examples=40)
@given(data=st.data(), pushed=texts_in_pieces())
def test_bleu_is_sacrebleu_at_every_prefix(tokenize, lowercase, data, pushed):
    smooth = data.draw(st.sampled_from(sorted(SMOOTHINGS)))
    value = data.draw(st.sampled_from([None, 0, 0.3, 1])) if SMOOTHINGS[smooth] else None
    order = data.draw(st.sampled_from([4, 4, 1, 2, 6]))
    metric = BLEU(tokenize, smooth, value, lowercase, order, effective_order=data.draw(st.booleans()))
    references, pieces = pushed
    progress, committed = metric.start(Episode("", references)), ""
    for piece, provisional in pieces:
        committed += piece
        expected = by_sacrebleu(metric, committed + provisional, references)
        assert progress.push(piece, provisional) == expected
        assert metric.score(committed + provisional, Episode("", references)) == expected


@pytest.mark.parametrize("tokenize", TOKENIZATIONS)
def test_long_texts_are_sacrebleus_at_every_prefix(tokenize):
    text = pydoc_data.topics.topics["assignment"][:1200] + "我爱你，你呢？" * 10
    rng = random.Random(0)
    words = text.split(" ")
    reference = " ".join(rng.choice(words) if rng.random() < 0.3 else word for word in words)
    metric = BLEU(tokenize)
    progress, written = metric.start(Episode("", [reference])), 0
    while written < len(text):
        piece = text[written : written + rng.randrange(1, 9)]
        value = progress.push(piece)
        written += len(piece)
        if rng.random() < 0.2 or written >= len(text):
            assert value == by_sacrebleu(metric, text[:written], [reference])
    assert 0.3 < value < 1


@pytest.mark.parametrize("effective_order", BOTH)
@pytest.mark.parametrize("smooth", SMOOTHINGS)
@pytest.mark.parametrize("tokenize", TOKENIZATIONS)
def test_degenerate_texts_and_references_are_sacrebleus(tokenize, smooth, effective_order):
    metric = BLEU(tokenize, smooth, effective_order=effective_order)
    texts = "", " ", "\n", "a", ".", "<skipped>", "a b", "a b c d e"
    many_references = [""], [" \n"], ["a"], ["", "a"], ["a b c d e"], ["a b", "x", "a b c d e f"]
    for text, references in product(texts, many_references):
        assert metric.score(text, Episode("", references)) == by_sacrebleu(metric, text, references)


@pytest.mark.parametrize("text", ["", "a", "a b c d e"])
def test_without_references_bleu_is_0(text):
    assert BLEU().score(text, Episode("", ())) == BLEU(smooth="add-k").score(text, Episode("", ())) == 0.0


@pytest.mark.parametrize("words", range(1, 9))
def test_a_reference_itself_gets_exactly_1(words):
    text = " ".join("abcdefgh"[:words])
    assert BLEU().score(text, Episode("", ["x y", text])) == 1.0


def test_several_references_share_their_ngrams_and_lend_the_closest_length():
    # of lengths 1 and 3, as far from 2 as each other, the shorter one counts: no brevity penalty
    assert BLEU(max_order=1).score("a b", Episode("", ["a", "b c d"])) == 1.0
    assert BLEU(max_order=1).score("a a", Episode("", ["a x", "a y"])) == pytest.approx(0.5)  # a counts once, not twice


# -- the tokens ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("lowercase", BOTH)
@pytest.mark.parametrize("name", TOKENIZATIONS)
@settings(deadline=None, max_examples=40)
@given(pushed=texts_in_pieces(longest=20))
def test_final_and_open_tokens_are_sacrebleus_at_every_prefix(name, lowercase, pushed):
    stream, final, committed = TokenStream(tokenization(name, lowercase)), (), ""
    for piece, provisional in pushed[1]:
        new, open = stream.push(piece, provisional)
        final += new
        committed += piece
        assert final + open == tokens_by_sacrebleu(name, lowercase, committed + provisional)
        assert tokenization(name, lowercase).whole(committed) == tokens_by_sacrebleu(name, lowercase, committed)


@pytest.mark.parametrize("lowercase", BOTH)
@pytest.mark.parametrize("name", TOKENIZATIONS)
@pytest.mark.parametrize(
    "fragments",
    [
        ["5", "-", "\n", "b", " ", "c"],
        ["a", "-", "<skip", "ped>", "\n", "b"],
        ["a", "-", "\n", "\n", "b", "(", "\n"],
        ["&", "am", "p;", "lt", ";", "quot;"],
        [" ", "\t", ".", "5", ",", " ", "6"],
        ["1", ".", ".", ",", "5", ".", "\n"],
        ["A", "Σ", ":", "'", "A", " ", "Σ"],
        ["我", ".", "\u3000", "5", "，", "a", "."],
    ],
)
def test_tokens_of_every_way_to_cut_a_text(name, lowercase, fragments):
    cut = tokenization(name, lowercase)
    expected = [tokens_by_sacrebleu(name, lowercase, "".join(fragments[:n])) for n in range(len(fragments) + 1)]
    for cuts in product(BOTH, repeat=len(fragments)):
        stream, final, piece = TokenStream(cut), (), ""
        for n, (fragment, ends_here) in enumerate(zip(fragments, cuts, strict=True), 1):
            piece += fragment
            if ends_here:
                final += stream.push(piece)[0]
                piece = ""
                for later in range(n, len(fragments) + 1):
                    assert final + stream.push("", "".join(fragments[n:later]))[1] == expected[later]
        assert TokenStream(cut).push("", piece) == ((), tokens_by_sacrebleu(name, lowercase, piece))


SEQUENCES = {  # (tokenization, lowercase): lists of fragments that its rules act on, of (texts of up to) so many
    ("13a", False): [
        (["a", "1", ".", "-", "\n", ">", " ", "(", "&", "<skipped>", ","], 6),
        (["a", "-", "\n", "<", "skipped", ">", " ", ".", "1", "\t"], 6),
        (["&", "amp", ";", "lt", "quot", "-", "\n", "1", ".", "<"], 6),
    ],
    ("13a", True): [(["A", "Σ", ".", ":", "'", " ", "-", "\n", "("], 6)],
    ("intl", False): [(["a", "1", ".", ",", " ", "\n", "$", "，", "\u00a0"], 6)],
    ("intl", True): [(["A", "Σ", ".", ":", "$", " ", "’", "+"], 6)],
    ("zh", False): [(["a", "1", ".", "-", ",", " ", "我", "\u3000", "("], 6)],
    ("zh", True): [(["A", "Σ", "：", "Ａ", "我", ".", " ", ":", "Ω"], 6)],
    ("char", True): [(["A", "Σ", ":", "我", " ", "\u0301", "'", "\u0130"], 6)],
    ("none", True): [(["A", "Σ", ":", " ", "\n", "\u0301"], 6)],
}


def check_every_sequence(name, lowercase, fragments, longest):
    """The tokens of every text of 1 to ``longest`` fragments, pushed one at a time, are sacrebleu's."""
    stream = TokenStream(tokenization(name, lowercase))
    todo = [(vars(stream).copy(), (), "", 0)]
    while todo:
        remembered, final, text, length = todo.pop()
        for fragment in fragments:
            vars(stream).update(remembered)
            new, open = stream.push(fragment)
            assert final + new + open == tokens_by_sacrebleu(name, lowercase, text + fragment), repr(text + fragment)
            if length + 1 < longest:
                todo.append((vars(stream).copy(), final + new, text + fragment, length + 1))


@pytest.mark.parametrize("name, lowercase", SEQUENCES)
def test_tokens_of_every_short_sequence_of_nasty_fragments(name, lowercase):
    for fragments, _ in SEQUENCES[name, lowercase]:
        check_every_sequence(name, lowercase, fragments, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name, lowercase", SEQUENCES)
def test_tokens_of_every_sequence_of_nasty_fragments(name, lowercase):
    for fragments, longest in SEQUENCES[name, lowercase]:
        check_every_sequence(name, lowercase, fragments, longest)


def check_characters(name, lowercase, codes):
    """What each character does to those around it."""
    for character in map(chr, codes):
        stream, final, text = TokenStream(tokenization(name, lowercase)), (), ""
        for piece in ("A", character, "Σ", character, ".", character, "5", character):
            new, open = stream.push(piece)
            final += new
            text += piece
            assert final + open == tokens_by_sacrebleu(name, lowercase, text), repr(text)


@pytest.mark.parametrize("lowercase", BOTH)
@pytest.mark.parametrize("name", TOKENIZATIONS)
def test_characters_of_all_kinds(name, lowercase):
    check_characters(name, lowercase, [*range(0x100), *random.Random(0).sample(range(0x10000), 250)])


@pytest.mark.slow
@pytest.mark.parametrize("lowercase", BOTH)
@pytest.mark.parametrize("name", TOKENIZATIONS)
def test_every_character(name, lowercase):
    check_characters(name, lowercase, [*range(0x10000), *range(0x10000, 0x20000, 7)])


def test_chinese_is_what_sacrebleu_takes_for_it():
    by_library = TokenizerZh._is_chinese_char.__wrapped__
    for code in [*range(0x10000), 0x20000, 0x2A6D6, 0x2F800]:
        assert _is_chinese(code) == by_library(chr(code)), hex(code)


def test_what_is_remembered_of_a_text_does_not_grow():
    text = " ".join(pydoc_data.topics.topics["assignment"].split())
    progress = BLEU().start(Episode("", [text]))
    longest = max(map(len, text.split()))
    for character in text:
        progress.push(character)
        assert len(progress.tokens.tail) <= longest + 2  # a space before and after
        assert len(progress.ngrams.ends) == len(progress.ngrams.open) + 1 < longest


# -- counts, copies, arguments ------------------------------------------------------------------------


@settings(deadline=None, max_examples=100)
@given(pushed=texts_in_pieces(["a ", "b ", "c ", "c", ". "], longest=20), at=st.integers(0, 8))
def test_copies_and_pickles_go_on_alone(pushed, at):
    references, pieces = pushed
    progress = BLEU().start(Episode("", references))
    for piece, provisional in pieces[:at]:
        progress.push(piece, provisional)
    copies = [copy.deepcopy(progress), pickle.loads(pickle.dumps(progress))]
    values = [progress.push(piece, provisional) for piece, provisional in pieces[at:]]
    for other in copies:
        assert other.ngrams.trie is progress.ngrams.trie  # shared, not copied
        assert [other.push(piece, provisional) for piece, provisional in pieces[at:]] == values


def test_references_are_counted_once(monkeypatch):
    made = []
    nodes_of = ngram_trie.NgramTrie._nodes_of
    monkeypatch.setattr(ngram_trie.NgramTrie, "_nodes_of", lambda trie, r: made.append(r) or nodes_of(trie, r))
    for _ in range(3):
        BLEU().start(Episode("", ["only this test has this reference"]))
    assert made == [("only", "this", "test", "has", "this", "reference")]
    BLEU(lowercase=True).start(Episode("", ["only this test has this reference"]))
    assert len(made) == 2  # other settings, other counts


@pytest.mark.parametrize(
    "arguments, name",
    [
        ({}, "bleu"),
        ({"smooth": "add-k", "smooth_value": 1.0}, "bleu_add-k"),
        ({"tokenize": "char"}, "bleu_char"),
        ({"tokenize": "none", "smooth": "none"}, "bleu_none_unsmoothed"),
        ({"smooth": "floor", "smooth_value": 0.5, "lowercase": True}, "bleu_lowercase_floor_0.5"),
        ({"max_order": 2, "effective_order": False}, "bleu2_all_orders"),
    ],
)
def test_names_tell_settings_apart(arguments, name):
    assert BLEU(**arguments).name == name


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"tokenize": "13"}, "Did you mean '13a'"),
        ({"smooth": "add_k"}, "Did you mean 'add-k'"),
        ({"smooth": "exp", "smooth_value": 0.5}, "takes no smooth_value"),
        ({"smooth": "floor", "smooth_value": 1.5}, "from 0 to 1"),
        ({"smooth": "add-k", "smooth_value": -1}, "at least 0"),
        ({"smooth": "add-k", "smooth_value": float("nan")}, "at least 0"),
        ({"smooth": "add-k", "smooth_value": float("inf")}, "finite"),
        ({"smooth": "floor", "smooth_value": "1"}, "'1'"),
        ({"max_order": 0}, "max_order"),
    ],
)
def test_what_is_not_allowed_is_named(arguments, words):
    with pytest.raises(ValueError) as raised:
        BLEU(**arguments)
    assert words in str(raised.value)


def test_a_tokenization_is_made_once_and_never_copied():
    cut = tokenization("13a")
    assert cut is tokenization("13a", lowercase=False) is copy.deepcopy(cut) is pickle.loads(pickle.dumps(cut))
    assert cut is not tokenization("13a", lowercase=True) is tokenization("13a", True)


def test_intl_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "regex", None)
    with pytest.raises(ImportError, match="pip install regex"):
        TOKENIZATIONS["intl"]()
