"""Spelling, completion, docstring summaries: data, sizes, noise, scores, and the errors people will meet."""

import copy
import pickle
import re
from functools import cache, partial

import numpy as np
import pytest

from textgym.tasks import corpora
from textgym.tasks.base import SPLITS
from textgym.tasks.completion import Completion, sentences
from textgym.tasks.doc_summary import DocSummary
from textgym.tasks.spelling import Spelling, windows
from textgym.tokenizers import Vocabulary

SETTINGS = {
    "spelling": Spelling,
    "spelling 30": partial(Spelling, length=30, corruption=0.5, lowercase=False),
    "spelling bytes": partial(Spelling, tokenizer="byte_bpe"),
    "completion": Completion,
    "completion characters": partial(Completion, tokenizer="character", prompt_length=100, budget=80),
    "summary": DocSummary,
}
every_task = pytest.mark.parametrize("name", SETTINGS)


@cache
def build(name, split="train"):
    return SETTINGS[name](split=split)


def fixed(task, most=300):
    return [task.episode(i) for i in range(min(len(task), most))]


def mean_score(task, answer):
    return np.mean([task.score(answer(episode), episode) for episode in fixed(task, 2000)])


@every_task
def test_all_splits_have_the_same_spaces_and_vocabulary(name):
    tasks = [build(name, split) for split in SPLITS]
    assert len({(task.prompt_length, task.budget, task.vocabulary.fingerprint) for task in tasks}) == 1
    assert len({task.fingerprint for task in tasks}) == 3
    assert min(map(len, tasks)) > 100


@every_task
@pytest.mark.parametrize("split", SPLITS)
def test_every_episode_fits(name, split):
    task, rng = build(name, split), np.random.default_rng(0)
    for episode in fixed(task) + [task.sample(rng) for _ in range(300)]:
        assert 0 < task.vocabulary.count(episode.prompt) <= task.prompt_length
        (reference,) = episode.references
        assert 0 < task.vocabulary.count(reference) < task.budget


@pytest.mark.parametrize("name", ["completion", "summary"])
def test_no_item_is_in_two_splits(name):
    for what in (lambda item: item.prompt + item.references[0], lambda item: (item.prompt, item.references)):
        seen = [what(item) for split in SPLITS for item in build(name, split).items]
        assert len(seen) == len(set(seen))


@every_task
def test_episodes_repeat(name):
    task = build(name, "validation")
    again = SETTINGS[name](split="validation")
    assert fixed(again) == fixed(task) == fixed(task) == fixed(pickle.loads(pickle.dumps(task)))
    assert again.fingerprint == task.fingerprint
    assert copy.deepcopy(task) is task
    first, second = np.random.default_rng(5), np.random.default_rng(5)
    assert [task.sample(first) for _ in range(20)] == [again.sample(second) for _ in range(20)]
    with pytest.raises(IndexError, match=f"episode index {len(task)} "):
        task.episode(len(task))


@every_task
def test_scores_of_nothing_and_of_the_reference(name):
    task = build(name, "test")
    assert mean_score(task, lambda episode: episode.references[0]) == 1
    assert mean_score(task, lambda episode: "") == 0


def test_overlap_is_a_share_and_all_of_train():
    assert build("summary").overlap == build("completion").overlap == 1
    assert build("completion", "test").overlap < 0.05
    assert build("summary", "test").overlap < 0.1
    assert build("spelling 30", "test").overlap < 0.1 < build("spelling", "test").overlap < 0.7


def test_a_prompt_from_a_user():
    episode = build("spelling").from_prompt("helllo", ["hello"])
    assert (episode.prompt, episode.references) == ("helllo", ("hello",))
    assert build("completion").from_prompt("The value of").references == ()


# Spelling


def test_copying_the_prompt_scores_what_was_not_replaced():
    copied = {
        rate: mean_score(Spelling(corruption=rate, split="validation"), lambda e: e.prompt) for rate in (0, 0.3, 0.5, 1)
    }
    assert copied[0] == 1
    assert 0.67 < copied[0.3] < 0.74
    assert 0.47 < copied[0.5] < 0.55
    assert copied[1] < 0.1


def test_corruption_replaces_single_characters_by_letters_of_the_alphabet():
    task, rng = Spelling(length=30, corruption=0.4), np.random.default_rng(0)
    drawn = [task.sample(rng) for _ in range(3000)]
    prompts, references = ("".join(texts) for texts in zip(*[(e.prompt, e.references[0]) for e in drawn], strict=True))
    assert len(prompts) == len(references) == 90_000
    assert set(prompts) == set(task.alphabet)
    new = [c for c, was in zip(prompts, references, strict=True) if c != was]
    symbols = len(task.alphabet)
    assert len(new) / len(prompts) == pytest.approx(0.4 * (1 - 1 / symbols), abs=0.006)  # a character may draw itself
    counts = np.array([new.count(c) for c in task.alphabet if c not in " etaoinsr"])  # rare ones hardly draw themselves
    assert counts.std() / counts.mean() < 0.08  # uniform: 1 / sqrt(550) = 0.043
    pairs = [
        (e.prompt[i] != e.references[0][i], e.prompt[i + 1] != e.references[0][i + 1]) for e in drawn for i in range(29)
    ]
    both = np.mean([a and b for a, b in pairs])
    assert both == pytest.approx((0.4 * (1 - 1 / symbols)) ** 2, abs=0.01)  # independent


def test_fixed_noise_depends_on_the_index_and_the_noise_is_fingerprinted():
    a, b = Spelling(split="test"), Spelling(split="test", corruption=0.5)
    assert [item.references for item in a.items] == [item.references for item in b.items]
    assert a.fingerprint != b.fingerprint
    assert fixed(a) != fixed(b)


def test_windows_begin_with_words():
    assert list(windows(["the cat sat on", "ab"], 5, every=True)) == ["the c", "cat s", "sat o"]
    assert list(windows(["the cat sat on", "ab"], 5, every=False)) == ["the c", "sat o"]
    text = corpora.prose().splits["test"]
    found = [window for window in windows(text, 10, every=False)]
    assert all(len(window) == 10 and window[0] != " " for window in found)
    assert len(found) * 10 < sum(map(len, text))


def test_case():
    assert build("spelling").alphabet == build("spelling").alphabet.lower()
    assert "T" in build("spelling 30").alphabet
    assert build("spelling").vocabulary.size < build("spelling 30").vocabulary.size


def test_items_with_characters_that_train_does_not_have_are_dropped_and_counted(monkeypatch):
    texts = {"train": ("all is well here",), "validation": ("all is ~ here", "here is all"), "test": ("is all well",)}
    monkeypatch.setattr("textgym.tasks.spelling.prose", lambda: corpora.Corpus(texts, {}, {}))
    task = Spelling(length=8, split="validation")
    assert [item.references[0] for item in task.items] == ["here is "]
    assert task.dropped == {"not in the vocabulary": 1}
    assert "~" not in task.alphabet
    with pytest.raises(ValueError, match="length must be a whole number, from 2 to 11, got 12"):
        Spelling(length=12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 1}, r"length must be a whole number, from 2 to \d+, got 1"),
        ({"length": 10**6}, r"length must be a whole number, from 2 to \d+, got 1000000"),
        ({"length": 2.5}, "length must be a whole number"),
        ({"corruption": 1.5}, "corruption must be a probability, from 0 to 1, got 1.5"),
        ({"corruption": "high"}, "corruption must be a probability"),
        ({"split": "valid"}, r"unknown split 'valid'. Did you mean 'validation'\? Allowed: test, train, validation"),
        ({"budget": 5}, r"split 'train' is empty.*budget=5 tokens \(dropped: \{'reference too long'"),
        (
            {"tokenizer": Vocabulary.characters(["abc"])},
            "character ' ' .* is not in the alphabet of 3 characters: 'abc'",
        ),
        ({"tokenizer": "bytes"}, "Did you mean"),
    ],
)
def test_errors_name_what_was_given_and_what_is_allowed(arguments, message):
    with pytest.raises(ValueError, match=message):
        Spelling(**arguments)


def test_a_tokenizer_with_more_tokens_than_bytes_is_refused_not_overrun(monkeypatch):
    task = SETTINGS["spelling bytes"](split="test")
    monkeypatch.setattr(type(task.vocabulary), "count", lambda self, text: 2 * len(text))
    with pytest.raises(ValueError, match=r"needs over prompt_length=11 tokens for 10 characters such as"):
        task.sample(np.random.default_rng(0))


# Completion and summaries


def test_prompt_and_reference_are_the_sentence():
    known = {s for split in SPLITS for paragraph in corpora.prose().splits[split] for s in sentences(paragraph)}
    for item in build("completion").items:
        (reference,) = item.references
        assert item.prompt + reference in known
        assert reference.startswith(" ") and not item.prompt.endswith(" ")
        assert len(item.prompt.split()) >= 3
        assert 0 <= len(reference.split()) - len(item.prompt.split()) <= 1


def test_sentences():
    paragraph = (
        'It ends here. Does it? Use "x.y" (e.g. Names, cf. PEP 8). Quoted "a dot." Then i.e. This goes on: '
        "version 3.8 is (open. It is not) whole. No end"
    )
    assert list(sentences(paragraph)) == [
        "It ends here.",
        "Does it?",
        'Use "x.y" (e.g. Names, cf. PEP 8).',
        'Quoted "a dot."',
    ]


def test_completion_scores_are_low_for_texts_that_ignore_the_prompt():
    task = build("completion", "validation")
    assert mean_score(task, lambda e: e.prompt) < 0.3
    assert mean_score(task, lambda e: task.items[0].references[0]) < 0.3


def test_summary_scores_tell_a_summary_from_shortcuts():
    task = build("summary", "validation")
    assert len(build("summary")) > 1400
    assert mean_score(task, lambda e: " ".join(e.prompt.split()[:8])) < 0.1
    assert mean_score(task, lambda e: task.items[0].references[0]) < 0.1
    half = mean_score(task, lambda e: " ".join(e.references[0].split()[: len(e.references[0].split()) // 2]))
    assert 0.35 < half < 0.5


def test_summaries_are_sentences():
    for item in build("summary", "test").items:
        (summary,) = item.references
        assert summary.endswith(".") and len(summary.split()) >= 3 and "\n" not in summary + item.prompt


@pytest.mark.parametrize("task", [Completion, DocSummary])
def test_errors_of_the_token_limits(task):
    with pytest.raises(ValueError, match="prompt_length must be a whole number, at least 1, got 0"):
        task(prompt_length=0, tokenizer="character")
    with pytest.raises(ValueError, match="budget must be a whole number"):
        task(budget=0, tokenizer="character")
    with pytest.raises(ValueError, match=r"split 'train' is empty: of \d+ items none fits prompt_length=1 "):
        task(prompt_length=1, tokenizer="character")
    with pytest.raises(ValueError, match="unknown split 'dev'"):
        task(split="dev")


def test_pages_have_their_sections():
    for task in (Spelling, Completion, DocSummary):
        sections = re.findall(r"## (.*)", task.__doc__)
        assert sections == [
            *("Description", "Prompt and reference", "Action space", "Observation space", "Rewards", "Starting state"),
            *("Episode end", "Arguments", "Version history"),
        ]
