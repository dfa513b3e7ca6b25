"""At every prefix, the pieces and the provisional text are what the tokenizers library decodes."""

import copy
import json
import pickle
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from textgym.streaming import Bytes, Joined, Table, Whole, Windowed
from textgym.tokenizers import Vocabulary

ENGLISH = "The cat doesn't sit on the mat , it sat there . I 'm sure that 's what the hat is for ! Is n't it ?"
MIXED = "naïve café — 你好，世界。 👩‍👩‍👧 🙂🙃 e\u0301 \u00a0 x\u3000y \t z\r\n\n «ß» İ \u212a ﷽ 한국어 ▁ ## </w>"
TEXTS = [ENGLISH, ENGLISH.lower(), MIXED, "  two  spaces   three ", "你好你好吗"]
SPECIAL = ["<unk>", "<s>", "</s>"]


def wordpiece(cleanup):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece("##", cleanup=cleanup)
    trainer = trainers.WordPieceTrainer(vocab_size=150, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 1), ("[SEP]", 2)])
    return tokenizer


def metaspace(scheme):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    trainer = trainers.UnigramTrainer(vocab_size=150, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def byte_fallback(*steps):
    merges = [("▁", "t"), ("h", "e"), ("▁t", "he"), ("▁", "▁"), ("a", "t")]
    tokens = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *sorted({*ENGLISH, "▁"} - {" "})]
    tokens += [a + b for a, b in merges]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), *steps])
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def gpt2(with_added):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=300, initial_alphabet=letters, show_progress=False)
    )
    if not with_added:
        return tokenizer
    tokenizer.add_tokens(["<tool>", "two words", "é", "→é", "你"])
    tokenizer.add_special_tokens(["<|endoftext|>", "<|user|>"])
    saved = json.loads(tokenizer.to_str())
    saved["model"]["vocab"] = {token: i + 20 * (i == 299) for token, i in saved["model"]["vocab"].items()}
    return Tokenizer.from_str(json.dumps(saved))  # no id 299, some after the last added token


def end_of_word():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.BPEDecoder("</w>")
    trainer = trainers.BpeTrainer(
        vocab_size=200, special_tokens=SPECIAL, end_of_word_suffix="</w>", show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def characters_with(decoder):
    tokenizer = Tokenizer(models.WordLevel({c: i for i, c in enumerate(["<unk>", "|", " ", "▁", *"abcd"])}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoder
    return tokenizer


def bytes_in_brackets():
    tokenizer = Tokenizer(models.WordLevel({t: i for i, t in enumerate(["a", "[E4]", "[BD]", "[A0]", "b"])}, "a"))
    brackets = [decoders.Replace("[", "<0x"), decoders.Replace("]", ">")]
    tokenizer.decoder = decoders.Sequence([*brackets, decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer


def only_special():
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(SPECIAL)}, "<unk>"))
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def strip(start):
    return decoders.Strip(" ", start, 0)


KINDS = {
    "character": (lambda: Vocabulary.characters(TEXTS), Table),
    "ascii": (lambda: Vocabulary.characters([ENGLISH]), Table),
    "word": (lambda: Vocabulary.words(TEXTS, size=60), Joined),
    "byte_bpe": (lambda: Vocabulary.byte_bpe(TEXTS, size=330), Bytes),
    "wordpiece": (lambda: wordpiece(True), Windowed),
    "wordpiece as it is": (lambda: wordpiece(False), Windowed),
    "metaspace always": (lambda: metaspace("always"), Windowed),
    "metaspace first": (lambda: metaspace("first"), Windowed),
    "metaspace never": (lambda: metaspace("never"), Windowed),
    "llama": (lambda: byte_fallback(decoders.Fuse(), strip(1)), Windowed),
    "two spaces stripped": (lambda: byte_fallback(decoders.Fuse(), strip(2)), Windowed),
    "each token stripped": (lambda: byte_fallback(strip(1), decoders.Fuse()), Windowed),
    "gemma": (lambda: byte_fallback(decoders.Fuse()), Windowed),
    "bytes and metaspace": (lambda: byte_fallback(decoders.Metaspace()), Windowed),
    "gpt2": (lambda: gpt2(False), Bytes),
    "gpt2 with added tokens and a hole": (lambda: gpt2(True), Bytes),
    "end of word": (end_of_word, Joined),
    "no decoder": (lambda: characters_with(None), Joined),
    "wordpiece, eos an ordinary token": (lambda: Vocabulary(wordpiece(True), "it"), Windowed),
    "ctc": (lambda: characters_with(decoders.CTC("<unk>", "|")), Whole),
    "bytes spelt otherwise": (bytes_in_brackets, Whole),  # looks like Llama's, found out on random ids
    "only special tokens": (only_special, Whole),
    "replaced across tokens": (
        lambda: characters_with(decoders.Sequence([decoders.Fuse(), decoders.Replace("ab", "x")])),
        Whole,
    ),
}


@cache
def vocabulary(name):
    made = KINDS[name][0]()
    if isinstance(made, Vocabulary):
        return made
    return Vocabulary(made, "</s>" if made.token_to_id("</s>") else made.id_to_token(3))


def oracle(vocabulary, ids):
    known = [i for i in ids if 0 <= i < vocabulary.size and i != vocabulary.eos]
    return vocabulary.tokenizer.decode(known, skip_special_tokens=True)


def follow(vocabulary, stream, row, ids):
    """Push ids to one row and check each prefix."""
    final = ""
    for t, id in enumerate(ids, start=1):
        (piece,), (provisional,) = stream.push(np.array([row]), np.array([id]))
        final += piece
        assert final + provisional == oracle(vocabulary, ids[:t]) == vocabulary.decode(ids[:t]), ids[:t]
        assert piece == "" or id in vocabulary.decoding.ids


names = pytest.mark.parametrize("name", KINDS)


@names
def test_way_of_decoding(name):
    assert type(vocabulary(name).decoding) is KINDS[name][1]


@names
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_random_ids(name, data):
    voc = vocabulary(name)
    low = st.integers(0, min(voc.size, 40))
    ids = data.draw(st.lists(st.one_of(low, st.integers(0, voc.size), st.sampled_from([voc.eos, voc.pad, -1]))))
    follow(voc, voc.stream(), 0, ids)


@names
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_texts_of_rows_stand_anywhere_in_them(name, data):
    voc, width = vocabulary(name), data.draw(st.integers(1, 12))
    shape, start = (data.draw(st.integers(1, 6)), width), data.draw(st.integers(0, width))
    rows = np.array(
        data.draw(st.lists(st.integers(0, voc.size - 1), min_size=shape[0] * width, max_size=shape[0] * width))
    )
    rows = rows.reshape(shape).astype(np.int32)
    sizes = [data.draw(st.integers(0, width - start)) for _ in rows]
    texts = [row[start : start + size].tolist() for row, size in zip(rows, sizes, strict=True)]
    rows[:, :start] = voc.pad  # which need not fit a byte
    assert voc.decode_rows(rows, sizes, start) == [oracle(voc, ids) for ids in texts]


@names
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_bytes_of_broken_characters(name, data):
    voc = vocabulary(name)
    rare = [i for i in range(voc.size) if voc.token(i).startswith("\\x")] or list(range(voc.size))
    rare += voc.encode("the a").tolist() if "e" in voc.tokenizer.get_vocab() else []
    follow(voc, voc.stream(), 0, data.draw(st.lists(st.sampled_from(rare), max_size=12)))


@names
@pytest.mark.parametrize("text", TEXTS)
def test_texts(name, text):
    voc = vocabulary(name)
    if name in ("ascii", "no decoder", "ctc", "replaced across tokens"):
        text = "".join(c for c in text if c in voc.tokenizer.get_vocab())
    follow(voc, voc.stream(), 0, voc.encode(text).tolist())


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["byte_bpe", "gpt2", "llama", "gemma", "gpt2 with added tokens and a hole"]), st.text())
def test_any_text(name, text):
    voc = vocabulary(name)
    ids = voc.encode(text).tolist()
    follow(voc, voc.stream(), 0, ids)
    if name == "byte_bpe":
        assert voc.decode(ids) == text


def roll(voc, stream, random, texts, steps):
    """Random subsets of the rows, some reset first. Returns what was seen, and keeps ``texts`` [(ids, final)] right."""
    n, seen = len(texts), []
    for _ in range(steps):
        rows = np.flatnonzero(random.random(n) < 0.6)
        again = rows[random.random(len(rows)) < 0.1]
        stream.reset(again)
        for row in again:
            texts[row] = [], ""
        ids = random.integers(0, voc.size + 1, len(rows))
        pieces, provisional = stream.push(rows, ids)
        assert len(pieces) == len(provisional) == len(rows)
        for row, id, piece, rest in zip(rows, ids.tolist(), pieces, provisional, strict=True):
            texts[row] = [*texts[row][0], id], texts[row][1] + piece
            assert texts[row][1] + rest == oracle(voc, texts[row][0])
        seen.append((pieces, provisional))
    return seen


@names
def test_rows_are_independent_and_states_restore(name):
    voc = vocabulary(name)
    random = np.random.default_rng(1)
    stream, texts = voc.stream(5), [([], "")] * 5
    roll(voc, stream, random, texts, 30)
    saved, there = stream.get_state(), (copy.deepcopy(random), list(texts))
    others = [copy.deepcopy(stream), pickle.loads(pickle.dumps(stream)), voc.stream(5)]
    assert others[0].decoding is stream.decoding  # tables are never copied
    first = roll(voc, stream, random, texts, 20)
    for other in (*others, stream):
        other.set_state(saved)
        assert roll(voc, other, copy.deepcopy(there[0]), list(there[1]), 20) == first


@names
def test_tokens_without_text_leave_the_provisional_text(name):
    voc = vocabulary(name)
    silent = [i for i in range(-1, voc.size + 2) if i not in voc.decoding.ids]
    unfinished = voc.tokenizer.token_to_id("<0xE4>") or 0
    stream, row = voc.stream(), np.array([0])
    stream.push(row, np.array([4]))
    _, before = stream.push(row, np.array([unfinished]))
    for id in silent:
        assert stream.push(row, np.array([id])) == ([""], before)
