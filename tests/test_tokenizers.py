"""Vocabularies: ids, legality, encoding, saved tokenizers, and the errors people will meet."""

import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from textgym.tokenizers import Vocabulary, make_vocabulary

TEXTS = ["the cat sat on the mat.\n", "the hat; the rat!", "Über 你好 🙂\t<eos>"]
CHARACTER = Vocabulary.characters(TEXTS)
LATIN = Vocabulary.characters(TEXTS[:2])
WORD = Vocabulary.words(TEXTS[:2])
BYTES = Vocabulary.byte_bpe(TEXTS, size=300)
ALL = [CHARACTER, LATIN, WORD, BYTES]


def small():
    """A word tokenizer such as people save: special tokens, truncation, padding, a post-processor, unused ids."""
    words = {"<unk>": 0, "<s>": 1, "</s>": 2, "<pad>": 3, "a": 4, "b": 5, "c": 9}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>", "<pad>"])
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", None, [("<s>", 1), ("</s>", 2)])
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=8, pad_id=3, pad_token="<pad>")
    return tokenizer


@pytest.fixture
def saved(tmp_path):
    small().save(str(tmp_path / "tokenizer.json"))
    return tmp_path


@pytest.mark.parametrize("voc", ALL, ids=str)
def test_attributes(voc):
    ids = voc.tokenizer.get_vocab()
    assert len(voc) == voc.size == voc.pad == 1 + max(ids.values())
    assert voc.eos == ids["<eos>"] == voc.size - 1
    assert voc.legal.shape == (voc.size,) and voc.legal.dtype == np.bool_ and voc.legal[voc.eos]
    assert not voc.legal.flags.writeable
    illegal = [voc.token(i) for i in np.flatnonzero(~voc.legal)]
    assert illegal == (["<unk>"] if voc is WORD else [])
    assert voc.decode([voc.eos, voc.pad, -3, 10**6]) == "" == voc.decode([])


@pytest.mark.parametrize("voc", ALL, ids=str)
@pytest.mark.parametrize("text", [*TEXTS, "", " ", "a"])
def test_round_trip(voc, text):
    if voc in (LATIN, WORD):
        text = " ".join(w for w in text.split() if w in TEXTS[0] + TEXTS[1])
    ids = voc.encode(text)
    assert ids.dtype == np.int32 and ids.ndim == 1 and voc.count(text) == len(ids)
    if voc is not WORD or text != "a":  # not a word of the texts
        assert voc.decode(ids) == voc.decode(ids.tolist()) == text
        assert voc.decode([voc.pad, *ids, voc.eos, voc.pad]) == text
    assert voc.eos not in ids
    assert ids.tolist() == voc.tokenizer.encode(text, add_special_tokens=False).ids
    (again,) = voc.encode_all([text])
    assert again.dtype == np.int32 and np.array_equal(again, ids)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_characters_encode_as_the_tokenizer_does(data):
    for voc, texts in ((CHARACTER, TEXTS), (LATIN, TEXTS[:2])):
        text = data.draw(st.text(st.sampled_from("".join(texts))))
        assert voc.encode(text).tolist() == voc.tokenizer.encode(text, add_special_tokens=False).ids
        assert voc.decode(voc.encode(text)) == text


def test_large_alphabet():
    alphabet = [chr(0x4E00 + i) for i in range(300)] + list("abc\x00\xff")
    voc = Vocabulary.characters(alphabet)
    text = "".join(alphabet[::-1])
    assert voc.size == 306 and voc.decode(voc.encode(text)) == text and voc.encode("\x00ac").tolist() == [0, 1, 3]


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_byte_bpe_is_lossless(text):
    assert BYTES.decode(BYTES.encode(text)) == text


def test_trained_sizes():
    assert Vocabulary.byte_bpe(TEXTS, size=257).size == 257
    assert BYTES.size <= 300
    voc = Vocabulary.words(["b b a a c"], size=4)
    assert [voc.token(i) for i in range(4)] == ["<unk>", "a", "b", "<eos>"]
    assert voc.encode("c a <eos> <unk> b").tolist() == [0, 1, 0, 0, 2]
    assert Vocabulary.words("b b a").size == 4  # one string is one text
    assert Vocabulary.characters(iter(["ba", "c"]), eos="$").encode("abc").tolist() == [0, 1, 2]


def test_training_is_deterministic():
    program = (
        "import random, sys; from textgym.tokenizers import Vocabulary\n"
        "r = random.Random(0); texts = [''.join(r.choices('abcdef é', k=50)) for _ in range(300)]\n"
        "print(*(v.fingerprint for v in (Vocabulary.characters(texts), Vocabulary.words(texts), "
        "Vocabulary.byte_bpe(texts))))\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    repository = Path(__file__).parents[1]
    runs = [
        subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True)
        for _ in range(2)
    ]
    assert runs[0].returncode == 0, runs[0].stderr
    assert runs[0].stdout == runs[1].stdout and len(set(runs[0].stdout.split())) == 3
    assert not runs[0].stderr and len(runs[0].stdout.split()[0]) == 64


@pytest.mark.parametrize("voc", ALL, ids=str)
def test_copies(voc, tmp_path):
    assert copy.copy(voc) is voc and copy.deepcopy([voc])[0] is voc
    other = pickle.loads(pickle.dumps(voc))
    assert other.fingerprint == voc.fingerprint and repr(other) == repr(voc)
    assert not other.legal.flags.writeable and np.array_equal(other.legal, voc.legal)
    for text in TEXTS[:2]:  # the spelling of EOS stays text
        assert np.array_equal(other.encode(text), voc.encode(text))
    if voc in (CHARACTER, BYTES):
        assert other.decode(other.tokenizer.encode("<eos>").ids) == "<eos>"
    voc.tokenizer.save(str(tmp_path / "saved.json"))
    loaded = Vocabulary.load(tmp_path / "saved.json")
    assert loaded.kind == "saved" and loaded.fingerprint == voc.fingerprint
    assert np.array_equal(loaded.legal, voc.legal) and np.array_equal(loaded.encode(TEXTS[0]), voc.encode(TEXTS[0]))
    if voc is not LATIN:
        assert loaded.fingerprint != LATIN.fingerprint


def test_labels():
    assert [CHARACTER.token(i) for i in CHARACTER.encode("a \n\t你🙂")] == ["a", "␠", "⏎", "⇥", "你", "🙂"]
    assert CHARACTER.token(CHARACTER.eos) == "<eos>"
    assert CHARACTER.token(CHARACTER.pad) == "<pad>" and CHARACTER.token(-1) == "<unused -1>"
    assert BYTES.token(BYTES.tokenizer.token_to_id("Ġ")) == "␠"
    assert [BYTES.token(i) for i in BYTES.encode("\u0424\x00")] == ["\\xd0", "\\xa4", "\\x00"]
    assert "␠the" in [BYTES.token(np.int32(i)) for i in range(BYTES.size)]
    metaspace = small()
    metaspace.add_tokens(["▁the"])  # id 7
    metaspace.decoder = decoders.Metaspace()
    voc = Vocabulary(metaspace, "</s>")
    assert [voc.token(i) for i in (2, 7, 8)] == ["</s>", "␠the", "<unused 8>"]


# Saved tokenizers


def test_load_file(saved):
    voc = Vocabulary.load(saved / "tokenizer.json")
    assert voc.token(voc.eos) == "<eos>" and voc.eos == 10 and voc.kind == "saved"  # appended
    assert voc.encode("a b c a b c").tolist() == [4, 5, 9, 4, 5, 9]  # not cut, not padded, nothing added
    assert voc.encode_all(["a", "b c"])[0].tolist() == [4]
    assert voc.decode([1, 4, 5, 0, 7, 9, -1, voc.eos, voc.pad]) == "a b c"
    legal = Vocabulary.load(str(saved / "tokenizer.json"), eos="</s>").legal
    assert np.flatnonzero(legal).tolist() == [2, 4, 5, 9]
    assert np.flatnonzero(voc.legal).tolist() == [4, 5, 9, voc.eos]


def test_eos_takes_no_used_id(tmp_path):
    words = {"<unk>": 0, "a": 2, "b": 3}  # as the library counts, the next id is 3
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.save(str(tmp_path / "t.json"))
    voc = Vocabulary.load(tmp_path / "t.json")
    assert voc.eos == 4 and voc.size == 5 and voc.decode(voc.encode("b")) == "b"
    assert voc.legal.tolist() == [True, False, True, True, True]


def test_eos_may_be_an_ordinary_token(saved):
    voc = Vocabulary.load(saved / "tokenizer.json", eos="b")
    assert voc.eos == 5 and voc.size == 10 and voc.decode([4, 5, 9]) == "a c"
    assert voc.fingerprint != Vocabulary.load(saved / "tokenizer.json", eos="a").fingerprint


@pytest.mark.parametrize(
    "name, value, token",
    [
        ("tokenizer_config.json", "</s>", "</s>"),
        ("tokenizer_config.json", {"content": "</s>", "special": True}, "</s>"),
        ("special_tokens_map.json", {"content": "</s>"}, "</s>"),
        ("tokenizer_config.json", None, "<eos>"),
        ("tokenizer_config.json", "<|end|>", "<|end|>"),  # not yet a token
    ],
)
def test_load_directory(saved, name, value, token):
    (saved / name).write_text(json.dumps({"eos_token": value, "model_max_length": 3}))
    for path in (saved, saved / "tokenizer.json"):
        voc = Vocabulary.load(path)
        assert voc.token(voc.eos) == token and voc.legal[voc.eos] and voc.decode([voc.eos]) == ""
    assert Vocabulary.load(saved, eos="<s>").eos == 1


def test_added_tokens_that_are_not_special_are_text(tmp_path):
    tokenizer = Tokenizer.from_str(BYTES.tokenizer.to_str())
    tokenizer.add_tokens(["<tool>", AddedToken("two words", normalized=False), "é"])
    tokenizer.save(str(tmp_path / "t.json"))
    voc = Vocabulary.load(tmp_path / "t.json")
    assert voc.legal.all()
    assert voc.decode(voc.encode("a<tool>two words, the")) == "a<tool>two words, the"


def test_transformers_directories(tmp_path):
    transformers = pytest.importorskip("transformers")
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=small(), eos_token="</s>", unk_token="<unk>")
    fast.save_pretrained(tmp_path / "fast")
    voc = Vocabulary.load(tmp_path / "fast")
    assert voc.token(voc.eos) == "</s>" and voc.encode("a b c a").tolist() == [4, 5, 9, 4]

    # no tokenizer.json: only transformers knows how to read it
    old = tmp_path / "old"
    old.mkdir()
    tokenizer = Vocabulary.byte_bpe(TEXTS, size=300, eos="<|endoftext|>").tokenizer
    tokenizer.model.save(str(old))
    vocabulary = json.loads((old / "vocab.json").read_text()) | {"<|endoftext|>": tokenizer.get_vocab_size() - 1}
    (old / "vocab.json").write_text(json.dumps(vocabulary))
    (old / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}))
    voc = Vocabulary.load(old)
    assert voc.token(voc.eos) == "<|endoftext|>" and voc.decode(voc.encode(TEXTS[2])) == TEXTS[2]


# What a user may ask for, and what is refused


def test_make_vocabulary(saved):
    never = None  # must not be called
    assert make_vocabulary(BYTES, never) is BYTES
    for name in ("character", "word", "byte_bpe"):
        assert make_vocabulary(name, lambda: TEXTS[:2]).kind == make_vocabulary({"name": name}, lambda: TEXTS[:2]).kind
    assert make_vocabulary("character", lambda: TEXTS).fingerprint == CHARACTER.fingerprint
    assert make_vocabulary({"name": "byte_bpe", "size": 260, "eos": "<end>"}, lambda: TEXTS).size == 260
    for spec in (saved, str(saved), saved / "tokenizer.json", {"name": "saved", "path": str(saved)}):
        assert make_vocabulary(spec, never).encode("a c").tolist() == [4, 9]
    assert make_vocabulary({"name": "saved", "path": saved, "eos": "</s>"}, never).eos == 2


@pytest.mark.parametrize(
    "spec, error, message",
    [
        ("charcter", ValueError, "'charcter'.*Did you mean 'character'"),
        ({"name": "byte-bpe"}, ValueError, "Did you mean 'byte_bpe'"),
        ({"size": 300}, ValueError, "Allowed: byte_bpe, character, saved"),
        (7, ValueError, "unknown tokenizer 7.*Allowed: .*path"),
        (None, ValueError, "Allowed"),
        ("saved", ValueError, "needs a path"),
        ({"name": "saved", "eos": "a"}, ValueError, "needs a path"),
        ({"name": "byte_bpe", "sise": 300}, TypeError, "'sise'.*Did you mean 'size'"),
        ({"name": "byte_bpe", "size": 256}, ValueError, "at least 257, got 256"),
        ({"name": "word", "size": 2.5}, ValueError, "at least 3, got 2.5"),
        ({"name": "character", "eos": ""}, ValueError, "eos .*got ''"),
        ({"name": "character", "eos": "a"}, ValueError, "eos 'a' is already a token"),
        ({"name": "word", "eos": "the"}, ValueError, "eos 'the' is already a token"),
        ({"name": "word", "eos": "<unk>"}, ValueError, "already a token"),
        ("no/such/tokenizer.json", FileNotFoundError, "'no/such/tokenizer.json'.*Allowed: a tokenizer.json"),
        (Path("nowhere"), FileNotFoundError, "'nowhere'.*Allowed"),
    ],
)
def test_bad_specs(spec, error, message):
    with pytest.raises(error, match=message):
        make_vocabulary(spec, lambda: TEXTS)


def test_bad_texts():
    with pytest.raises(ValueError, match=r"'z' \(U\+007A, position 2\) is not in the alphabet of 15 characters: '\\n"):
        LATIN.encode("thz")
    with pytest.raises(ValueError, match=r"'你' \(U\+4F60, position 0\)"):
        LATIN.encode_all(["the", "你"])
    for make in (Vocabulary.characters, Vocabulary.words):
        with pytest.raises(ValueError, match="at least one .*got none"):
            make([])


def test_bad_files(saved):
    with pytest.raises(ValueError, match="no token eos='</S>'.*Did you mean '</s>'.*special tokens are .*<pad>"):
        Vocabulary.load(saved, eos="</S>")
    (saved / "data.json").write_text('{"a": 1}')
    with pytest.raises(ValueError, match="data.json.*Allowed: a tokenizer.json"):
        Vocabulary.load(saved / "data.json")
    (saved / "empty").mkdir()
    pytest.importorskip("transformers")
    with pytest.raises(ValueError, match="(?s)empty.*Allowed: a tokenizer.json"):
        make_vocabulary(saved / "empty", None)
