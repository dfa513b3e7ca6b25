"""QuestionAnswering: every question has the answer that the passage gives, and nothing else pays."""

import collections
import re
from functools import lru_cache

import numpy as np
import pytest
from helpers import check_splits

from textgym.tasks.facts import NUMBERS, THINGS
from textgym.tasks.question_answering import QuestionAnswering

SIZES = [(4, 1), (8, 2)]


@lru_cache
def built(facts, hops, split="train"):
    return QuestionAnswering(facts, hops, split=split, tokenizer="word")


def episodes(task, n, seed=0):
    rng = np.random.default_rng(seed)
    return [task.sample(rng) for _ in range(n)]


def read(prompt):
    """(the sentences of the passage, what each says as (relation, subject) -> object, the question)."""
    *sentences, question = re.split(r" [.?] ?", prompt.removesuffix(" ?"))
    known = {}
    for sentence in sentences:
        if found := re.fullmatch(r"(\w+) (lives in|works for) (\w+)", sentence):
            subject, relation, value = found.groups()
        elif found := re.fullmatch(r"the (\w+) is in the (\w+)", sentence):
            subject, value, relation = *found.groups(), "is in"
        else:
            subject, value, relation = re.fullmatch(r"(\w+) has (\d) (\w+)", sentence).groups()
        assert (relation, subject) not in known
        known[relation, subject] = value
    return sentences, known, question


def answer(known, question):
    """The answer, and how many facts it takes."""
    person = r"(the boss of )?(\w+)"

    def meant(boss, name):
        return known["works for", name] if boss else name

    def who(relation, value):
        (subject,) = [s for (r, s), v in known.items() if (r, v) == (relation, value)]
        return subject

    hops = 2 if "the boss of" in question or "the person in" in question else 1
    if found := re.fullmatch(f"where does {person} live", question):
        return known["lives in", meant(*found.groups())], hops
    if found := re.fullmatch(r"who lives in (\w+)", question):
        return who("lives in", found[1]), hops
    if found := re.fullmatch(r"who does (\w+) work for", question):
        return known["works for", found[1]], hops
    if found := re.fullmatch(r"who works for the person in (\w+)", question):
        return who("works for", who("lives in", found[1])), hops
    if found := re.fullmatch(f"how many (\\w+) does {person} have", question):
        return known[found[1], meant(*found.groups()[1:])], hops
    if found := re.fullmatch(r"what is in the (\w+)", question):
        return who("is in", found[1]), hops
    if found := re.fullmatch(r"what is the (\w+) in", question):
        return known["is in", found[1]], hops
    if found := re.fullmatch(r"which room is the (\w+) in", question):
        place = known["is in", found[1]]
        return (known["is in", place], 2) if ("is in", place) in known else (place, 1)
    if found := re.fullmatch(f"does {person} live in (\\w+)", question):
        return "no" if known["lives in", meant(*found.groups()[:2])] != found[3] else "yes", hops
    if found := re.fullmatch(r"does (\w+) have (\d) (\w+)", question):
        return "yes" if known[found[3], found[1]] == found[2] else "no", hops
    subject, value = re.fullmatch(r"is the (\w+) in the (\w+)", question).groups()
    place = known["is in", subject]
    if value in {known["is in", p] for p in known_places(known)}:
        return "yes" if known["is in", place] == value else "no", 2
    return "yes" if place == value else "no", 1


def known_places(known):
    """What something is in and is itself in something."""
    return [value for (relation, _), value in known.items() if relation == "is in" and ("is in", value) in known]


@pytest.mark.parametrize("facts, hops", SIZES)
def test_the_answer_is_what_the_passage_says(facts, hops):
    taken, closed = collections.Counter(), collections.Counter()
    for episode in episodes(built(facts, hops), 3000):
        sentences, known, question = read(episode.prompt)
        assert len(sentences) == len(set(sentences)) == facts
        right, steps = answer(known, question)
        first, *others = episode.references
        assert first == right, episode
        taken[steps] += 1
        closed[first] += first in ("yes", "no")
        if first.isdigit():
            assert others == [NUMBERS[int(first) - 2]]
        elif others:
            assert others == [f"the {first}"]
        if first not in ("yes", "no"):
            assert first in " ".join(sentences).split() and first not in question.split()
    assert taken[1] / 3000 == pytest.approx(1 / hops, abs=0.04) and sum(taken.values()) == 3000
    assert [closed[word] / 3000 for word in ("yes", "no")] == pytest.approx([1 / 8, 1 / 8], abs=0.02)


@pytest.mark.parametrize("facts, hops", SIZES)
def test_every_reference_scores_1_and_fits(facts, hops):
    task = built(facts, hops)
    for episode in episodes(task, 1000, seed=1):
        assert task.vocabulary.count(episode.prompt) <= task.prompt_length
        for reference in episode.references:
            assert task.vocabulary.count(reference) < task.budget
            assert task.vocabulary.decode(task.vocabulary.encode(reference)) == reference
            assert task.score(reference, episode) == task.score(f"The {reference}.".upper(), episode) == 1
            assert task.score(reference + " and", episode) == pytest.approx(2 / 3)


def of_the_right_kind(prompt):
    """What in the passage is like an answer to the question, without reading what is said about it."""
    sentences, known, question = read(prompt)
    word = question.split()[0]
    if word in ("does", "is"):
        return ["yes", "no"]
    relations = {"where": ["lives in"], "how": THINGS, "what": ["is in"], "which": ["is in"]}
    relations["who"] = ["lives in" if "who lives in" in question else "works for"]
    values = [value for (relation, _), value in known.items() if relation in relations[word]]
    subjects = [subject for relation, subject in known if relation in relations[word]]
    found = values if question.startswith(("where", "how", "which", "who does", "what is the")) else subjects
    return [name for name in dict.fromkeys(found) if name not in question.split()]


@pytest.mark.parametrize("facts, hops", SIZES)
def test_what_can_be_had_without_reading(facts, hops):
    task, rng = built(facts, hops, "test"), np.random.default_rng(0)
    some = [task.episode(i) for i in range(1000)]
    kinds = [of_the_right_kind(episode.prompt) for episode in some]
    often = collections.Counter(episode.references[0] for episode in some).most_common(1)[0][0]

    def mean(texts):
        return np.mean(task.score_all(texts, some))

    assert mean([""] * 1000) == mean([read(episode.prompt)[2] for episode in some]) == 0
    assert mean([episode.prompt for episode in some]) < 0.1
    assert mean([often] * 1000) < 0.15 and mean(["yes no"] * 1000) < 0.2
    assert mean([kind[int(rng.random() * len(kind))] for kind in kinds]) < 0.4
    assert mean([" ".join(kind) for kind in kinds]) < 0.55
    assert all(len(kind) >= 2 for kind in kinds)  # nothing is the only one of its kind


@pytest.mark.parametrize("facts, hops", SIZES)
def test_splits_share_no_prompt_and_episodes_stay_the_same(facts, hops):
    check_splits(lambda split: built(facts, hops, split))


def test_fixed_episodes_are_the_same_on_every_machine():
    episode = built(4, 1).episode(0)
    assert episode.prompt.endswith("ben lives in lisbon . leo lives in madrid . who lives in madrid ?")
    assert episode.references == ("leo",)
    assert built(8, 2).episode(1).prompt.endswith("emma works for leo . who does henry work for ?")
    assert built(8, 2).episode(1).references == ("kate",)


@pytest.mark.parametrize("facts, hops", [(2, 1), (4, 2), (20, 1), (20, 2)])
@pytest.mark.parametrize("tokenizer", ["character", "word", {"name": "byte_bpe", "size": 400}])
def test_other_sizes_and_tokenizers(facts, hops, tokenizer):
    task = QuestionAnswering(facts, hops, tokenizer=tokenizer)
    assert not task.dropped
    for episode in episodes(task, 30):
        sentences, known, question = read(episode.prompt)
        assert len(sentences) == facts and answer(known, question)[0] == episode.references[0]


def test_errors():
    with pytest.raises(ValueError, match="hops must be a whole number, from 1 to 2, got 3"):
        QuestionAnswering(hops=3)
    with pytest.raises(ValueError, match="facts must be a whole number, from 4 to 20, got 3"):
        QuestionAnswering(3, 2)
    with pytest.raises(ValueError, match="facts must be a whole number, from 2 to 20, got 21"):
        QuestionAnswering(21)
