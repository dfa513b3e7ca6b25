"""The translation task: its values, its splits, its sizes, its score."""

import itertools
import json

import gymnasium as gym
import numpy as np
import pytest
from helpers import write
from test_quantities import LANGUAGES, read, read_digits, values

import textgym
from textgym.tasks import SPLITS
from textgym.tasks.translation import KINDS, Translation

DIRECTIONS = list(itertools.permutations(LANGUAGES, 2))


@pytest.mark.parametrize("source, target", DIRECTIONS)
def test_prompt_and_references_say_the_same_value(source, target):
    rng = np.random.default_rng(0)
    for split in SPLITS:
        task, seen = Translation(source, target, split=split), set()
        for episode in [*(task.sample(rng) for _ in range(200)), *map(task.episode, range(100))]:
            kind, value = read_digits(episode.meta["value"])
            seen.add(kind)
            assert read(source, kind, episode.prompt) == value
            assert list(episode.references) == getattr(LANGUAGES[target], kind)(*value)
            assert all(task.score(reference, episode) == 1 for reference in episode.references)
            assert task.score("", episode) == 0 <= task.score(episode.prompt, episode) < 1
        assert seen == set(KINDS)


def test_all_ways_to_say_a_value_are_in_one_split():
    found = {split: set() for split in SPLITS}
    for (source, target), split in itertools.product(DIRECTIONS, SPLITS):
        task, rng = Translation(source, target, "time", split=split), np.random.default_rng(0)
        found[split] |= {task.sample(rng).meta["value"] for _ in range(300)}
    assert not any(found[a] & found[b] for a, b in itertools.combinations(SPLITS, 2))
    splits = [task._split_of(LANGUAGES["digits"].time(*value)[0]) for value in values("time")]
    assert [splits.count(split) / 1440 for split in SPLITS] == pytest.approx([0.8, 0.1, 0.1], abs=0.02)


def test_prompts_are_every_usual_way():
    task, rng, said = Translation("english", "digits", "time"), np.random.default_rng(0), {}
    for _ in range(10_000):
        episode = task.sample(rng)
        said.setdefault(episode.meta["value"], set()).add(episode.prompt)
    halves = [value for value in said if value.endswith(":30") and value > "01:00"]
    assert len(halves) > 15
    assert all(said[value] == set(LANGUAGES["english"].time(*read_digits(value)[1])) for value in halves)


@pytest.mark.parametrize("kind", KINDS)
def test_the_longest_sentence_fits(kind):
    seen = [value for value in values(kind) if kind != "number" or value[0] < 10**5]
    longest = {}
    for name, module in LANGUAGES.items():
        longest[name] = max(len(way) for value in seen for way in getattr(module, kind)(*value))
    for source, target in DIRECTIONS:
        task = Translation(source, target, kind)
        assert task.prompt_length >= longest[source] and task.budget > longest[target] and not task.dropped
        if kind == "time":  # all were seen
            assert (task.prompt_length, task.budget) == (longest[source], longest[target] + 1)


def test_numbers_of_any_length_fit():
    for digits in range(1, 13):
        task, rng = Translation("english", "chinese", "number", digits), np.random.default_rng(0)
        made = [task.generate(rng) for _ in range(300)]
        assert {len(each.meta["value"].replace(",", "")) for each in made} == set(range(1, digits + 1))
        assert not any(task._misfit(each) for each in made)


def test_numbers_have_gaps_and_prices_have_all_forms():
    task, rng = Translation("digits", "chinese", "number"), np.random.default_rng(0)
    numbers = [task.sample(rng).meta["value"].replace(",", "") for _ in range(3000)]
    later = "".join(number[1:] for number in numbers)
    assert later.count("0") / len(later) == pytest.approx(0.4, abs=0.03)
    assert sum("零" in LANGUAGES["chinese"].number(int(number))[0] for number in numbers) > 800
    task = Translation("digits", "english", "price")
    prices = [task.sample(rng).meta["value"] for _ in range(3000)]
    shares = [sum(map(test, prices)) / 3000 for test in (
        lambda p: p[0] == "$", lambda p: p.endswith(".00"), lambda p: p.endswith("0") and not p.endswith(".00"),
    )]  # fmt: skip
    assert shares == pytest.approx([0.5, 0.24, 0.42], abs=0.05) and not any(p[1:] == "0.00" for p in prices)


def test_dates_are_of_two_centuries():
    task, rng = Translation("digits", "english", "date"), np.random.default_rng(0)
    dates = [task.sample(rng).meta["value"] for _ in range(3000)]
    assert min(dates) < "1901" and max(dates) > "2099" and len({date[5:] for date in dates}) > 360


def test_the_vocabulary_is_that_of_the_two_languages():
    sizes = {}
    for source, target in DIRECTIONS:
        made = {Translation(source, target, kind).vocabulary.fingerprint for kind in (*KINDS, "all")}
        assert len(made) == 1
        sizes[source, target] = Translation(source, target).vocabulary.size
    assert [sizes[s, t] for s, t in itertools.combinations(LANGUAGES, 2)] == [54, 67, 83]
    assert all(sizes[s, t] == sizes[t, s] for s, t in DIRECTIONS)


def test_characters_are_paid_in_place():
    env = gym.make("textgym/TranslationTimesZhEn-v0").unwrapped
    options = {"prompt": "下午三点半", "references": LANGUAGES["english"].time(15, 30)}
    results = write(env, "half past three pm", options=options)
    paid = [result[1] for result in results[1:]]
    assert sum(paid) == pytest.approx(1) and min(paid) >= 0 and paid[0] > 0
    assert results[-1][4]["is_success"] and results[-1][4]["score"] == 1
    assert write(env, "half past three", options=options)[-1][4]["score"] == pytest.approx(15 / 18)


@pytest.mark.parametrize(
    "metric", ["chrf", {"name": "bleu", "tokenize": "zh"}, {"name": "rougeL", "tokens": "unicode"}], ids=str
)
def test_metrics_that_the_page_names_tell_right_chinese_from_wrong(metric):
    metric = textgym.make_metric(metric)
    episode = textgym.Episode("", LANGUAGES["chinese"].time(15, 45))
    values = [metric.score(text, episode) for text in ("下午三点三刻", "下午三点一刻", "晚上八点", "")]
    assert values[0] == 1 > values[1] > values[2] > values[3] == 0


@pytest.mark.parametrize(
    "tokenizer", ["byte_bpe", {"name": "byte_bpe", "size": 257}, {"name": "word", "segmenter": "jieba"}], ids=str
)
def test_other_vocabularies_write_every_reference(tokenizer):
    if "jieba" in str(tokenizer):
        pytest.importorskip("jieba")
    for source, target in (("english", "chinese"), ("chinese", "digits")):
        task = Translation(source, target, "time", tokenizer=tokenizer)
        assert not task.dropped
        for episode in map(task.episode, range(50)):
            ids = task.vocabulary.encode(episode.references[0])
            assert len(ids) < task.budget and task.score(task.vocabulary.decode(ids), episode) == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"source": "english", "target": "english"}, "unknown target 'english'.*Allowed: chinese, digits"),
        ({"source": "englisch"}, "unknown source 'englisch'.*Did you mean 'english'"),
        ({"kind": "times"}, "unknown kind 'times'.*Did you mean 'time'"),
        ({"digits": 13}, "digits must be a whole number, from 1 to 12, got 13"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        Translation(**arguments)


def test_ids():
    ids = [id for id in textgym.registration.IDS if id.startswith("Translation") and "Dataset" not in id]
    made = {(task.source, task.target, task.kinds) for task in (
        gym.make(f"textgym/{id}").unwrapped.task for id in ids
    )}  # fmt: skip
    assert len(made) == len(ids) == 8 and len({(s, t) for s, t, _ in made}) == 6
    json.dumps([gym.spec(f"textgym/{id}").kwargs for id in ids])
