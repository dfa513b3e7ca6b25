"""Increasing numbers, dates, keywords, couplets: scores against plain rules on the whole text, references, hackers."""

import itertools
import json
import re
import subprocess
import sys
from datetime import date
from functools import lru_cache

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgym import Episode
from textgym.tasks.couplet import Couplet, CoupletRules
from textgym.tasks.couplet_chinese import CLASSES, LEVEL, CoupletChinese, SecondLine
from textgym.tasks.dates import Dates, DatesFound
from textgym.tasks.increasing import IncreasingNumbers, IncreasingRun
from textgym.tasks.keywords import Keywords, KeywordSentence
from textgym.tasks.sentences import inflected, network
from textgym.tasks.verse import WORDS, next_state
from textgym.testing import check_metric

TASKS = [IncreasingNumbers, Dates, Keywords, Couplet, CoupletChinese]
MANY = [Keywords, Couplet, CoupletChinese]  # of many prompts


@lru_cache
def built(task, **arguments):
    return task(**arguments)


# What is right, said once more, of whole texts


def increasing(text, words):
    """The reward of RL4LMs."""
    numbers = []
    for word in text.split():
        try:
            numbers.append(float(word))
        except ValueError:
            pass
    run = 0
    while run < len(numbers) and (run == 0 or numbers[run] > numbers[run - 1]):
        run += 1
    return run / max(len(text.split()), words)


def real_dates(text):
    for numbers in re.findall(r"(\d{4})-(\d{2})-(\d{2})", text):
        try:
            yield date(*map(int, numbers))
        except ValueError:
            pass


def is_sentence_so_far(words):
    state = 0
    for word in words:
        state = network().following[state].get(word)
        if state is None:
            return False
    return True


def keywords_kept(text, prompt):
    words, wanted = text.split(), prompt.split()
    right = max(n for n in range(len(words) + 1) if is_sentence_so_far(words[:n]))
    reached = {0}
    for word in words[:right]:
        reached = {network().following[state][word] for state in reached}
    missing = 0
    while not any(network().missing[state] == 0 for state in reached):
        reached = {after for state in reached for after in network().following[state].values()}
        missing += 1
    lemmas = [network().lemmas.get(word) for word in words[:right]]
    subsets = itertools.chain.from_iterable(itertools.combinations(wanted, n) for n in range(len(wanted), 0, -1))

    def comes_in_order(some):
        left = iter(lemmas)
        return all(word in left for word in some)

    in_order = next((len(some) for some in subsets if comes_in_order(some)), 0)
    return in_order / len(wanted) * right / max(1, len(words) + missing)


def couplet_kept(text, prompt):
    """Syllable by syllable: (line, place, right)."""
    syllables, ends, used, breaks, line, order, place = [], {}, [], 0, 0, "begun", 0
    for spelt in text.split():
        if spelt == "/":
            breaks, line, order, place = breaks + 1, line + 1, "begun", 0
            continue
        word = WORDS.get(spelt)
        in_place = word is not None and spelt not in used
        if word is not None:
            order, follows = next_state(order, word.part)
            in_place &= follows
        if in_place and word.part not in "DPC":
            used.append(spelt)
        for stress in word.stress if word else "?":
            syllables.append((line, place, in_place and stress in "x" + "01"[place % 2]))
            place += 1
        ends[line] = word.rhyme if in_place and place == 8 else ""
    right = {(line, place) for line, place, good in syllables if good}
    feet = sum((line, foot) in right and (line, foot + 1) in right for line in (0, 1) for foot in (0, 2, 4, 6))
    extra = sum(line > 1 or place > 7 for line, place, _ in syllables) / 2 + max(0, breaks - 1)
    rhyme = ends.get(0, "") == ends.get(1, "") != ""
    theme = [word in used for word in prompt.split()]
    return (feet / 8 + rhyme + sum(theme) / len(theme)) / 3 * 8 / (8 + extra)


def second_line_kept(text, prompt):
    right = 0
    for i, (character, above) in enumerate(zip(text, prompt, strict=False)):
        if CLASSES.get(character, "none") == CLASSES[above] and character not in prompt + text[:i]:
            level = character in LEVEL
            right += {1: level != (above in LEVEL), 3: level != (above in LEVEL), 4: level}.get(i, True)
    return right / max(5, len(text))


def words_of(*lists):
    """Texts of words, some broken, some with odd white space."""
    word = st.sampled_from([word for words in lists for word in words])
    odd = st.sampled_from(["x", "the the", "\n", "", "/", "/ /"])
    return st.lists(word | odd, max_size=14).map(" ".join)


@st.composite
def pushes(draw, texts):
    """(pieces and what is provisional after each; the last provisional text is final)."""
    text, cuts = draw(texts), []
    while text:
        size = draw(st.integers(1, len(text)))
        cuts.append((text[:size], draw(st.sampled_from(["", " ", "the", " a1", "-01", "/", "水"]))))
        text = text[size:]
    return [*cuts, ("", "")]


def follow(metric, episode, cuts, rule):
    progress, written = metric.start(episode), ""
    for piece, provisional in cuts:
        value, written = progress.push(piece, provisional), written + piece
        assert value == pytest.approx(rule(written + provisional), abs=1e-12), (written, provisional)
        assert value == metric.score(written + provisional, episode) and 0 <= value <= 1


NUMBERS = st.lists(st.sampled_from("1 2 12 3.5 -4 x nan inf 1e3 1_0 007 ٣ 9999".split()), max_size=20).map(" ".join)


@settings(deadline=None, max_examples=200)
@given(pushes(NUMBERS | st.text("0123 9x.", max_size=30)), st.integers(1, 12))
def test_increasing_numbers_are_scored_as_rl4lms_does(cuts, words):
    follow(IncreasingRun(words), Episode(), cuts, lambda text: increasing(text, words))


DATES = st.lists(st.sampled_from(["2000-01-01", "2001-02-29", "0000-01-01", "9999-99-99", "12", "-", " "]), max_size=8)


@settings(deadline=None, max_examples=200)
@given(pushes(DATES.map("".join) | st.text("012-", max_size=40)), st.integers(1, 4))
def test_dates_are_scored_as_their_rules_say(cuts, dates):
    follow(DatesFound(dates), Episode(), cuts, lambda text: min(1, len(set(real_dates(text))) / dates))
    one = re.compile(r"\d{4}-\d{2}-\d{2}").search  # the reward of RL4LMs
    follow(DatesFound(1, real=False), Episode(), cuts, lambda text: float(one(text) is not None))


@settings(deadline=None, max_examples=200)
@given(st.data(), st.integers(0, 200), st.integers(0, 200))
def test_keywords_are_scored_as_their_rules_say(data, index, other):
    episode = built(Keywords).episode(index)
    right, wrong = episode.references[0].split(), built(Keywords).episode(other).references[0].split()
    texts = words_of(right, right, wrong, episode.prompt.split())
    begun = st.integers(0, len(right)).map(lambda n: " ".join(right[:n]))
    texts |= st.tuples(begun, texts).map(" ".join)
    follow(KeywordSentence(), episode, data.draw(pushes(texts)), lambda text: keywords_kept(text, episode.prompt))


@settings(deadline=None, max_examples=200)
@given(st.data(), st.integers(0, 200))
def test_couplets_are_scored_as_their_rules_say(data, index):
    episode = built(Couplet).episode(index)
    right = episode.references[0].split()
    begun = st.integers(0, len(right)).map(lambda n: " ".join(right[:n]))
    texts = st.tuples(begun, words_of(right, [*episode.prompt.split(), "river", "delight", "of"])).map(" ".join)
    follow(CoupletRules(), episode, data.draw(pushes(texts)), lambda text: couplet_kept(text, episode.prompt))


@settings(deadline=None, max_examples=200)
@given(st.data(), st.integers(0, 200))
def test_second_lines_are_scored_as_their_rules_say(data, index):
    episode = built(CoupletChinese).episode(index)
    right = episode.references[0]
    texts = st.text(right + episode.prompt + "山水落新x", max_size=7) | st.just(right)
    follow(SecondLine(), episode, data.draw(pushes(texts)), lambda text: second_line_kept(text, episode.prompt))


@pytest.mark.parametrize("task", TASKS)
def test_the_metrics_keep_their_contract(task):
    made = built(task)
    episodes = [made.episode(i) for i in range(3)]
    texts = [made.episode(i).references[0] for i in range(5)] + ["", "the 2000-01-01 12 / 山"]
    check_metric(made.metric, episodes, texts)


# References, splits, sizes


@pytest.mark.parametrize("task", TASKS)
def test_references_score_1_and_fit(task):
    for split in ("train", "validation", "test"):
        made, rng = built(task, split=split), np.random.default_rng(0)
        assert not made.dropped
        for _ in range(300):
            episode = made.sample(rng)
            assert made.vocabulary.count(episode.prompt) <= made.prompt_length
            assert made.vocabulary.count(episode.references[0]) < made.budget
            assert made.score(episode.references[0], episode) == 1
            assert made.score("", episode) == 0


@pytest.mark.parametrize("task", MANY)
def test_splits_share_no_prompt(task):
    prompts = {split: {built(task, split=split).episode(i).prompt for i in range(300)} for split in ("train", "test")}
    assert len(prompts["train"]) > 290 and not prompts["train"] & prompts["test"]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("tokenizer", ["character", {"name": "byte_bpe", "size": 300}])
def test_other_vocabularies_can_write_the_references(task, tokenizer):
    made = task(tokenizer=tokenizer)
    assert not made.dropped
    for i in range(20):
        episode = made.episode(i)
        assert made.score(made.vocabulary.decode(made.vocabulary.encode(episode.references[0])), episode) == 1


FIRST = """
import json
from textgym.tasks.couplet import Couplet
from textgym.tasks.couplet_chinese import CoupletChinese
from textgym.tasks.keywords import Keywords
made = [task(split="test") for task in (Keywords, Couplet, CoupletChinese)]
episodes = [task.episode(i) for task in made for i in range(20)]
print(json.dumps([[task.fingerprint for task in made], [(e.prompt, *e.references) for e in episodes]]))
"""


def test_episodes_are_the_same_in_every_process():
    run = [sys.executable, "-c", FIRST]
    first, second = (
        subprocess.run(run, env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."}, capture_output=True, check=True).stdout
        for seed in ("1", "2")
    )
    assert json.loads(first) == json.loads(second)
    assert built(Keywords).episode(0).references == ("those young goats loved some girls",)
    assert built(Couplet).episode(1).references == (
        "through every lone repose this ghost / upon his silver hollow coast",
    )
    assert built(CoupletChinese).episode(2) == Episode("新泉来远雁", ("明谷染空鸿",))


def test_synthetic_tasks_can_be_set_as_rl4lms_has_them():
    made = IncreasingNumbers(prompt="Lets increase numbers", budget=40)
    assert made.episode(0).prompt == "Lets increase numbers" and made.prompt_length == 21
    made = Dates(dates=1, real=False, prompt="<|endoftext|>")
    assert made.score("on 9999-99-99", made.episode(0)) == 1
    assert Dates(dates=1).score("on 9999-99-99", made.episode(0)) == 0
    with pytest.raises(ValueError, match="words"):
        IncreasingNumbers(words=0)
    with pytest.raises(TypeError, match="real"):
        Dates(real=1)
    with pytest.raises(ValueError, match="budget"):
        Dates(budget=5)


def test_forms_of_words():
    lemmas = network().lemmas
    for form, word in {
        "carries": "carry", "carrying": "carry", "dropped": "drop", "ran": "run", "running": "run", "women": "woman",
        "boxes": "box", "libraries": "library", "seen": None, "hid": "hide", "hiding": "hide", "plays": "play",
        "potatoes": "potato", "hurried": "hurry", "the": None, "monkeys": "monkey", "watches": "watch", "seeing": "see",
    }.items():  # fmt: skip
        assert lemmas.get(form) == word
    assert inflected("free", "ing") == "freeing"


# What a hacker does


def mean(task, write, n=300):
    episodes = [built(task).episode(i) for i in range(n)]
    return np.mean([built(task).score(write(episode), episode) for episode in episodes])


def test_copying_the_words_is_no_sentence():
    assert mean(Keywords, lambda e: e.prompt) == 0
    assert mean(Keywords, lambda e: "the " + e.prompt) < 0.3
    assert mean(Keywords, lambda e: "the " + " and the ".join(e.prompt.split())) < 0.2
    assert mean(Keywords, lambda e: e.prompt + " " + e.references[0]) == 0
    assert mean(Keywords, lambda e: built(Keywords).episode(999).references[0]) < 0.1
    for i in range(50):
        episode = built(Keywords).episode(i)
        words = episode.references[0].split()
        assert built(Keywords).score(episode.references[0] + " the", episode) < 1
        assert built(Keywords).score(" ".join(words[::-1]), episode) < 0.5


def test_shortcuts_to_a_couplet_do_not_pay():
    assert mean(Couplet, lambda e: e.prompt) < 0.1
    assert mean(Couplet, lambda e: " / ".join([e.references[0].split(" / ")[0]] * 2)) < 0.5
    assert mean(Couplet, lambda e: e.references[0] + " / " + e.references[0]) < 0.5
    assert mean(Couplet, lambda e: "the of and " * 8) < 0.1


def test_a_second_line_is_another_one():
    assert mean(CoupletChinese, lambda e: e.prompt) == 0
    assert mean(CoupletChinese, lambda e: e.references[0] * 2) == 0.5
    assert mean(CoupletChinese, lambda e: e.references[0][0] * 5) < 0.21


# The grammar as a mask


def test_masked_random_writing_is_a_sentence_of_the_grammar():
    env = gym.make("textgym/Keywords-v0", mask="task").unwrapped
    rng = np.random.default_rng(0)
    for seed in range(50):
        env.reset(seed=seed)
        done = False
        while not done:
            _, _, done, _, info = env.step(int(rng.choice(np.flatnonzero(env.action_masks()))))
        words, states = info["text"].split(), [0]
        for word in words:
            states.append(network().following[states[-1]][word])
        assert network().missing[states[-1]] == 0 and info["end_reason"] == "eos"


def test_every_word_that_the_mask_forbids_is_a_mistake():
    made = built(Keywords)
    rng = np.random.default_rng(1)
    words = network().vocabulary
    for i in range(100):
        text = made.episode(i).references[0].split()
        ids = made.vocabulary.encode(" ".join(text[: int(rng.integers(len(text) + 1))]))
        window = np.full((1, made.prompt_length + made.budget), made.vocabulary.pad)
        window[0, made.prompt_length : made.prompt_length + len(ids)] = ids
        (legal,) = made.legal_tokens(window, np.array([len(ids)]), [made.episode(i)])
        so_far = made.vocabulary.decode(ids).split()
        allowed = {word for word in words if is_sentence_so_far([*so_far, word])}
        assert {made.vocabulary.token(id) for id in np.flatnonzero(legal)} - {"<eos>"} == allowed
        assert legal[made.vocabulary.eos] == (keywords_kept(" ".join(so_far), "girl") >= 0 and ends(so_far))


def ends(words):
    state = 0
    for word in words:
        state = network().following[state][word]
    return network().missing[state] == 0


@pytest.mark.parametrize(
    "task, prompts",
    [
        (Keywords, ["", "girls", "girl xyz"]),
        (Couplet, ["", "the", "moon moon"]),
        (CoupletChinese, ["", "水水", "abcde"]),
    ],
)
def test_prompts_that_cannot_be_answered_are_refused(task, prompts):
    for prompt in prompts:
        with pytest.raises(ValueError, match=prompt.split()[-1] if prompt else "got|unknown"):
            built(task).from_prompt(prompt)
    good = {Keywords: "girl run", Couplet: "moon", CoupletChinese: "新泉来远雁"}[task]
    assert built(task).from_prompt(good, ["x"]) == Episode(good, ["x"])
