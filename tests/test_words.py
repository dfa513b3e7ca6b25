"""Word vocabularies of Chinese and with stop words: exact where they can be, and honest where they cannot."""

import copy
import json
import pickle
import sys

import gymnasium as gym
import numpy as np
import pytest
from helpers import play
from hypothesis import given, settings
from hypothesis import strategies as st

from textgym import DatasetTask, EditDistance, Episode, make_vocabulary
from textgym.tokenizers import Vocabulary
from textgym.words import WordCut

TEXTS = [
    "我来到北京清华大学，他来到了网易杭研大厦。",
    "小明 硕士毕业于中国科学院计算所, 后在 New York 深造！",
    "下午三点三刻\n十块五毛 don't",
]


@pytest.fixture(scope="module")
def jieba():
    return pytest.importorskip("jieba")


@pytest.fixture(scope="module")
def chinese(jieba):
    return Vocabulary.words(TEXTS, segmenter="jieba")


def labels(vocabulary, text):
    return [vocabulary.token(i) for i in vocabulary.encode(text)]


def test_words_are_jiebas_and_texts_are_decoded_as_they_were(jieba, chinese):
    assert labels(chinese, "我来到北京清华大学") == ["我", "来到", "北京", "清华大学"]
    assert labels(chinese, "New York 深造") == ["New", "␠", "York", "␠", "深造"]
    for text in [*TEXTS, "", " ", "  ", "\n\n", "New  York", " 我 \n 我 "]:
        ids = chinese.encode(text)
        assert ids.dtype == np.int32 and chinese.decode(ids) == chinese.decode_rows(ids[None], [len(ids)])[0] == text
        assert [chinese.token(i).translate({9248: " ", 9166: "\n"}) for i in ids] == jieba.lcut(text)


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_a_text_of_known_characters_survives(data):
    pytest.importorskip("jieba")
    alphabet = "我爱北京天安门大学生下午三点，。 \nabc 12.5-'é🙂"
    texts = data.draw(st.lists(st.text(alphabet, min_size=1, max_size=12), min_size=1, max_size=4))
    vocabulary = Vocabulary.words(texts, segmenter="jieba")
    other, known = data.draw(st.text(alphabet, max_size=12)), set("".join(texts))
    for text in [*texts, other]:
        assert vocabulary.decode(vocabulary.encode(text)) == "".join(c for c in text if c in known)


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_texts_grow_word_by_word(data):
    pytest.importorskip("jieba")
    vocabulary = Vocabulary.words(TEXTS, segmenter="jieba")
    ids = data.draw(st.lists(st.integers(0, vocabulary.size), max_size=12))
    stream, text = vocabulary.stream(1), ""
    for t, id in enumerate(ids, 1):
        (piece,), (provisional,) = stream.push(np.zeros(1, int), np.array([id]))
        text += piece
        assert text == vocabulary.decode(ids[:t]) and provisional == ""


def test_unknown_words_are_written_in_characters(chinese):
    assert labels(chinese, "京北清华在大学") == ["京", "北", "清", "华", "在", "大", "学"]
    assert labels(chinese, "Nework 天 我") == ["N", "e", "w", "o", "r", "k", "␠", "<unk>", "␠", "我"]
    (unknown,) = np.flatnonzero(~chinese.legal)
    assert chinese.token(unknown) == "<unk>" and chinese.decode(chinese.encode("天我")) == "我"


def test_characters_and_words_stand_in_by_how_often_they_occur():
    pytest.importorskip("jieba")
    texts = ["我们来到北京，我们来到上海"]
    for size in (4, 8, 9, 11, 13, 100):
        vocabulary = Vocabulary.words(texts, size, segmenter="jieba")
        words = [vocabulary.token(i) for i in range(vocabulary.size)]
        assert words[0] == "<unk>" and words[-1] == "<eos>" and len(words) <= size
        assert words[1:-1] == [*"们到我来", "我们", "来到", *"上京北海，", "上海", "北京"][: size - 2]


def test_every_way_to_encode_is_the_same(chinese):
    texts = [*TEXTS, "", "上海 <eos> <unk> 京"]
    ids = [chinese.encode(text).tolist() for text in texts]
    assert [each.tolist() for each in chinese.encode_all(texts)] == ids
    flat, sizes = chinese.encode_flat(texts)
    assert flat.tolist() == sum(ids, []) and sizes == list(map(len, ids)) == list(map(chinese.count, texts))
    assert chinese.eos not in ids[-1]


def test_copies_and_fingerprints(chinese):
    other = pickle.loads(pickle.dumps(chinese))
    assert copy.deepcopy(chinese) is chinese and other.fingerprint == chinese.fingerprint
    assert all(np.array_equal(other.encode(text), chinese.encode(text)) for text in TEXTS)
    stopped = [Vocabulary.words(["a b"], stop_words=words).fingerprint for words in ([], ["c"], ["c", "d"], ["d", "c"])]
    assert len(set(stopped)) == 3 and stopped[2] == stopped[3]


# Stop words


def test_stop_words_are_kept_by_default():
    assert labels(Vocabulary.words(["the cat the"]), "the cat") == ["the", "cat"]


def test_stop_words_are_no_tokens_and_skipped(jieba):
    english = Vocabulary.words(["the cat and the hat"], stop_words=["the", "and", "of"])
    assert labels(english, "the cat of the The hat") == ["cat", "<unk>", "hat"]
    assert english.decode(english.encode("and the cat and hat")) == "cat hat"
    assert "the" not in english.tokenizer.get_vocab()
    chinese = Vocabulary.words(TEXTS, segmenter="jieba", stop_words=["，", "了", "他"])
    assert chinese.decode(chinese.encode(TEXTS[0])) == "我来到北京清华大学来到网易杭研大厦。"


def test_stop_words_from_a_file(tmp_path):
    path = tmp_path / "stop.txt"
    path.write_text("\ufeffthe\r\n\n  and \n", encoding="utf-8")
    listed = Vocabulary.words(["the cat and the hat"], stop_words=["the", "and"])
    for spec in (path, str(path)):
        assert Vocabulary.words(["the cat and the hat"], stop_words=spec).fingerprint == listed.fingerprint


class Short(DatasetTask):
    """Two references, one of which has a stop word."""

    metric = EditDistance("word", "accuracy")

    def __init__(self, tokenizer, split="train", budget=None, lossy=False):
        texts = ["the cat", "a hat"]
        vocabulary = make_vocabulary(tokenizer, lambda: texts)
        items = [Episode("", (text,)) for text in texts]
        super().__init__(items, vocabulary=vocabulary, prompt_length=1, budget=budget or 3, split=split, lossy=lossy)


def test_references_lose_their_stop_words_only_where_that_is_accepted():
    tokenizer = {"name": "word", "stop_words": ["the"]}
    with pytest.raises(ValueError, match="writes the reference 'the cat' as 'cat', which scores 0.5.*lossy=True"):
        Short(tokenizer)
    task = Short(tokenizer, lossy=True)
    assert sorted(r for item in task.items for r in item.references) == ["a hat", "the cat"]  # as they were
    assert max(task.score(task.vocabulary.decode(task.vocabulary.encode("the cat")), e) for e in task.items) == 0.5


# In environments


def test_an_environment_of_chinese_words(chinese):
    spec = {"name": "word", "segmenter": "jieba"}
    env = gym.make("textgym/TranslationTimesEnZh-v0", tokenizer=spec, mask={"name": "top_k", "k": 5})
    json.loads(env.spec.to_json())
    env = env.unwrapped
    reference = env.task.episode(0).references[0]
    ids = [*env.vocabulary.encode(reference), env.vocabulary.eos]
    assert len(ids) < len(reference) + 1
    plain = gym.make("textgym/TranslationTimesEnZh-v0", tokenizer=spec).unwrapped
    last = play(plain, ids, options={"index": 0})[-1]
    assert last[4]["text"] == reference and last[4]["score"] == 1
    env.reset(seed=0)
    unknown = env.vocabulary.tokenizer.token_to_id("<unk>")
    for _ in range(4):
        legal = np.flatnonzero(env.action_masks())
        assert len(legal) and unknown not in legal
        if env.step(int(legal[0]))[2]:
            break
    banned = gym.make("textgym/TranslationTimesEnZh-v0", tokenizer=spec, mask={"name": "banned", "tokens": ["下午"]})
    banned.reset(seed=0)
    assert not banned.unwrapped.action_masks()[banned.unwrapped.vocabulary.tokenizer.token_to_id("下午")]


# What is refused


@pytest.mark.parametrize(
    "spec, error, message",
    [
        ({"segmenter": "jeiba"}, ValueError, "unknown segmenter 'jeiba'.*Did you mean 'jieba'"),
        ({"segmentor": "jieba"}, TypeError, "'segmentor'.*Did you mean 'segmenter'"),
        ({"stop_words": "no/such/file.txt"}, FileNotFoundError, "'no/such/file.txt'.*one word a line"),
        ({"stop_words": ["a", 3]}, TypeError, "stop_words are a list of words.*got 3"),
        ({"stop_words": 3}, TypeError, "stop_words are a list of words.*got 3"),
        ({"stop_words": ["a", "b"]}, ValueError, "at least one word, got none"),
    ],
)
def test_errors(spec, error, message):
    with pytest.raises(error, match=message):
        make_vocabulary({"name": "word", **spec}, lambda: ["a b"])


def test_jieba_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "jieba", None)
    with pytest.raises(ImportError, match="segmenter='jieba' needs jieba: pip install jieba"):
        make_vocabulary({"name": "word", "segmenter": "jieba"}, lambda: TEXTS)


def test_jieba_says_nothing_when_it_loads(jieba, capfd):
    jieba.dt.initialized = False
    WordCut("jieba")("你好")
    assert capfd.readouterr() == ("", "")
