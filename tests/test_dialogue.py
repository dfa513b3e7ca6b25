"""Dialogue: what replies have to say is what users say; the score of replies, right, wrong and hacked."""

import collections
from functools import lru_cache

import gymnasium as gym
import numpy as np
import pytest
from helpers import check_splits, write
from hypothesis import given, settings
from hypothesis import strategies as st

from textgym import Episode, FunctionMetric, make_vocabulary
from textgym.metrics.slots import SlotForms, SlotValue
from textgym.tasks.dialogue import LANGUAGES, Dialogue
from textgym.tasks.replies import EachTurn, ReplyScore
from textgym.testing import check_metric

JIEBA = {"name": "word", "segmenter": "jieba"}
KINDS = [(turns, language) for language in LANGUAGES for turns in (1, 3)]


@lru_cache
def built(turns, language, split="train"):
    return Dialogue(turns, language, split=split)


@lru_cache
def forms(language):
    return SlotForms(LANGUAGES[language].ontology)


def parsed(text, language):
    return forms(language).parse_text(text)


def values(text, language):
    return [each for each in parsed(text, language) if isinstance(each, SlotValue)]


def turns_of(text, turns):
    return [part for part in text.split("|") if part.strip()] if turns > 1 else [text]


def joined(texts, turns):
    return "".join(f"{text} | " for text in texts) if turns > 1 else texts[0]


def episodes(task, n, seed=0):
    rng = np.random.default_rng(seed)
    return [task.sample(rng) for _ in range(n)]


# What is right


@pytest.mark.parametrize("turns, language", KINDS)
def test_every_reply_says_what_the_user_wants_by_then(turns, language):
    task, marks = built(turns, language), LANGUAGES[language].marks
    acts = collections.Counter()
    for episode in episodes(task, 1000):
        known, missing = {}, 0
        users = episode.prompt.split("|")
        assert len(users) == turns and all(len(turns_of(r, turns)) == turns for r in episode.references)
        for i, user in enumerate(users):
            known |= {value.slot: value for value in values(user, language) if value.slot != "act"}
            if len(known) < 4:
                missing += 1
                assert i == 0 and not user.strip().startswith(tuple(marks.values()))
            for reference in episode.references:
                said = values(turns_of(reference, turns)[i], language)
                (act,) = (value.value for value in said if value.slot == "act")
                assert sorted(v for v in said if v.slot != "act") == sorted(known.values())
                if len(known) == 4:
                    assert act == ("confirm" if user.strip().startswith(marks["confirm"]) else "refuse")
                else:
                    assert act in task.ontology and act not in known
            acts["ask" if len(known) < 4 else act, i] += 1
    shares = {key: count / 1000 for key, count in acts.items()}
    assert all(share == pytest.approx(1 / 3 if i == 0 else 1 / 2, abs=0.06) for (_, i), share in shares.items())


@pytest.mark.parametrize("turns, language", KINDS)
def test_every_reference_scores_1_in_any_form_and_fits(turns, language):
    task, rng = built(turns, language), np.random.default_rng(1)
    for episode in episodes(task, 500):
        assert len(set(episode.references)) == 4
        assert task.vocabulary.count(episode.prompt) <= task.prompt_length
        for reference in episode.references:
            assert task.vocabulary.count(reference) < task.budget
            assert task.vocabulary.decode(task.vocabulary.encode(reference)) == reference
            assert task.score(reference, episode) == 1
        other = episode.references[0]
        for value in values(other, language):
            if value.slot != "act":
                said = task.ontology[value.slot][value.value]
                other = other.replace(said[0], said[int(rng.random() * len(said))])
        assert task.score(other, episode) == task.score(other.upper().replace("|", ", !|"), episode) == 1


@pytest.mark.parametrize("turns, language", KINDS)
def test_a_reply_that_differs_scores_less(turns, language):
    task = built(turns, language)
    for episode in episodes(task, 50):
        first, *others = turns_of(episode.references[0], turns)
        for i, each in enumerate(parsed(first, language)):
            rest = parsed(first, language)[:i] + parsed(first, language)[i + 1 :]
            spelt = [e if isinstance(e, str) else task.ontology[e.slot][e.value][0] for e in rest]
            shorter = " ".join(spelt)
            assert task.score(joined([shorter, *others], turns), episode) < 1, (each, shorter)
        assert task.score(joined([first + " so", *others], turns), episode) < 1


# What is hacked


def bare(text, language, acts):
    """The values alone, and what the act is said with."""
    found = [value for value in values(text, language) if acts or value.slot != "act"]
    return " ".join(LANGUAGES[language].ontology[value.slot][value.value][0] for value in found)


@pytest.mark.parametrize("turns, language", KINDS)
def test_hackers_score_low(turns, language):
    task = built(turns, language, "test")
    everything = " ".join(forms[0] for values in task.ontology.values() for forms in values.values())
    scores = collections.defaultdict(list)
    some = [task.episode(i) for i in range(100)]
    for episode, another in zip(some, some[1:] + some[:1], strict=True):
        replies = [turns_of(reference, turns) for reference in episode.references]
        hacks = {
            "nothing": [""],
            "marks": ["|" * 50],
            "everything": [joined([everything] * turns, turns)],
            "twice": [joined([f"{reply} {reply}" for reply in each], turns) for each in replies],
            "prompt": [episode.prompt, episode.prompt + " |"],
            "values": [joined([bare(reply, language, False) for reply in each], turns) for each in replies],
            "values and acts": [joined([bare(reply, language, True) for reply in each], turns) for each in replies],
            "another": another.references,
        }
        for name, texts in hacks.items():
            scores[name].append(max(task.score(text, episode) for text in texts))
    worst = {"nothing": 0, "marks": 0, "everything": 0, "twice": 0}
    assert {name: max(scores[name]) for name in worst} == worst
    highest = {"prompt": 0.12, "values": 0.1, "values and acts": 0.3, "another": 0.1}
    assert {name: bool(np.mean(scores[name]) < most) for name, most in highest.items()} == dict.fromkeys(highest, True)
    assert max(scores["values"]) < 0.15 and max(scores["prompt"]) < 0.3


def test_the_wrong_act_is_worth_nothing_and_no_act_half():
    ontology, form = LANGUAGES["english"].ontology, "{} your table at luigi for 4 people on friday at 7 pm {}"
    right = Episode("", [form.format("sorry", "is taken")])

    def content(text):
        """The score of a text whose form is perfect."""
        return ReplyScore(ontology).score(text, right)

    assert content(form.format("sorry", "is taken")) == content(form.format("sorry", "is fully booked")) == 1
    assert content(form.format("sorry", "is booked")) == 0
    wrong_day = form.format("sorry", "is taken").replace("friday", "monday")
    assert content(wrong_day) == 3 / 4  # of four slots one is missing and one is invented; the act is right
    assert content(wrong_day.replace("at 7 pm", "at 8 pm")) == 1 / 2
    assert content(form.format("sorry", "is")) == pytest.approx(1 / 2 * (12 / 13) ** 2)  # a unit of 13 is missing


# The metrics


@lru_cache(maxsize=1 << 16)
def edit_distance(a, b):
    if not a or not b:
        return len(a) + len(b)
    return min(edit_distance(a[1:], b) + 1, edit_distance(a, b[1:]) + 1, edit_distance(a[1:], b[1:]) + (a[0] != b[0]))


def reply_score(text, references, language="english"):
    """The definition of ReplyScore, with the values that the scanner finds in a whole text."""

    def counted(text):
        found = values(text, language)
        return [collections.Counter(v for v in found if (v.slot == "act") == act) for act in (False, True)]

    def units(text):
        return tuple(each if isinstance(each, str) else f"<{each.slot}>" for each in parsed(text, language))

    best = 0.0
    for reference in references:
        rates = []
        for wanted, said in zip(counted(reference), counted(text), strict=True):
            errors = sum((wanted - said).values()) + sum((said - wanted).values())
            rates.append(errors / max(1, sum(wanted.values())))
        form = max(0, 1 - edit_distance(units(text), units(reference)) / max(1, len(units(reference))))
        best = max(best, max(0, 1 - sum(rates) / 2) * form**2)
    return best


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_the_score_of_a_reply_at_every_prefix(data):
    task = built(1, data.draw(st.sampled_from(sorted(LANGUAGES))))
    language = next(name for name in LANGUAGES if LANGUAGES[name] is task.language)
    episode = task.episode(data.draw(st.integers(0, 200)))
    references = (
        *episode.references[: data.draw(st.integers(0, 2))],
        *data.draw(st.sampled_from([(), ("booked hi",)])),
    )
    text = data.draw(st.sampled_from(episode.references)) + data.draw(
        st.sampled_from([" 7 pm", "点", " booked", "", "订不到"])
    )
    text = text[data.draw(st.integers(0, 8)) :]
    progress, written = task.metric.start(Episode("", references)), ""
    while text:
        size = data.draw(st.integers(1, 12))
        open_text = data.draw(st.sampled_from(["", text[size : size + 4], " fully", "晚上7"]))
        value = progress.push(text[:size], open_text)
        written, text = written + text[:size], text[size:]
        assert value == pytest.approx(reply_score(written + open_text, references, language), abs=1e-12)


def first_letter(text, references):
    return float(bool(references) and text.strip()[:1] in [r.strip()[:1] for r in references]) / 2


def each_turn(text, references):
    """The definition of EachTurn."""
    expected = [r.rstrip().removesuffix("|").split("|") for r in references]
    turns = max(map(len, expected), default=0)
    written = text.split("|")[:-1]
    values = [first_letter(turn, [e[i] for e in expected if i < len(e)]) for i, turn in enumerate(written[:turns])]
    return sum(values) / max(1, turns, len(written))


def test_each_turn_keeps_the_contract():
    several = [["a b | c d |", "e | f |"], ["a | b | c"], ["|"], [""], []]
    texts = ["a b | c d |", "e | c", "e | c |", "x | f | g | h |", "||||", "", "a | b | c |", "a b"]
    metric = EachTurn(FunctionMetric(first_letter))
    check_metric(metric, [Episode("", references) for references in several], texts, reference=each_turn)
    assert metric.score("a | b | c |", Episode("", several[1])) == 1 / 2


@pytest.mark.parametrize("turns, language", KINDS)
def test_the_metrics_keep_the_contract(turns, language):
    task = built(turns, language)
    check_metric(task.metric, [task.episode(i) for i in range(2)])


# The task


@pytest.mark.parametrize("turns, language", KINDS)
def test_splits_share_no_prompt_and_episodes_stay_the_same(turns, language):
    check_splits(lambda split: built(turns, language, split))


def test_fixed_episodes_are_the_same_on_every_machine():
    assert built(1, "english").episode(0).prompt == "full: i need a ticket at 19:00 on monday to oslo from paris"
    assert built(1, "chinese").episode(0).references[0] == "抱歉周一晚上7点从广州到北京的车票已满"
    asked, *later = built(3, "english").episode(1).prompt.split(" | ")
    assert asked == "can i come for a facial with grace on sunday"
    assert later == ["full: at 09:00", "free: rather for a checkup"]
    assert built(3, "chinese").episode(1).prompt.endswith("|可订：改成下午2点|可订：换成在川香阁吧")


@pytest.mark.parametrize("turns, language", [(1, "english"), (2, "chinese"), (8, "english")])
@pytest.mark.parametrize("tokenizer", ["character", {"name": "byte_bpe", "size": 400}])
def test_other_sizes_and_tokenizers(turns, language, tokenizer):
    check_references(turns, language, tokenizer)


def test_words_of_chinese():
    pytest.importorskip("jieba")
    check_references(2, "chinese", JIEBA)


def check_references(turns, language, tokenizer):
    """They are in the vocabulary, and right."""
    task = Dialogue(turns, language, tokenizer=tokenizer)
    assert not task.dropped
    for episode in (task.episode(i) for i in range(20)):
        written = task.vocabulary.decode(task.vocabulary.encode(episode.references[-1]))
        assert task.score(written, episode) == pytest.approx(1)


def test_a_reply_is_paid_when_its_mark_is_written():
    env = gym.make("textgym/DialogueTurns-v0").unwrapped
    env.reset(options={"index": 3})
    reference = env.episode.references[0]
    results = write(env, reference, options={"index": 3})
    paid = [result[1] for result in results[1:]]
    marks = [i for i, id in enumerate(env.vocabulary.encode(reference)) if env.vocabulary.token(id) == "|"]
    assert [i for i, reward in enumerate(paid) if reward] == marks and len(marks) == 3
    assert paid[marks[0]] == pytest.approx(1 / 3) and results[-1][-1]["score"] == 1


def test_one_reply_is_paid_as_it_is_written():
    env = gym.make("textgym/Dialogue-v0").unwrapped
    env.reset(options={"index": 3})
    paid = [result[1] for result in write(env, env.episode.references[0], options={"index": 3})[1:]]
    assert sum(reward > 0 for reward in paid) > len(paid) / 2 and sum(paid) == pytest.approx(1)


def test_errors():
    with pytest.raises(ValueError, match="Did you mean 'chinese'"):
        Dialogue(language="chinesisch")
    with pytest.raises(ValueError, match="turns must be a whole number, from 1 to 8, got 0"):
        Dialogue(0)
    with pytest.raises(ValueError, match="writes the reference"):
        Dialogue(language="chinese", tokenizer="word")
    with pytest.raises(ValueError, match="'t'.*not in the alphabet"):
        Dialogue(tokenizer=make_vocabulary("character", lambda: ["abcd"]))
