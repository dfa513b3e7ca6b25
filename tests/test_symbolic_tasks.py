"""Copy, Reverse, Sort, Addition, Brackets, Password: answers, splits, scores, the grammar of brackets."""

import copy
import itertools
import pickle
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from textgym.episode import Episode
from textgym.tasks.brackets import BracketCompletion, Brackets
from textgym.tasks.password import Password
from textgym.tasks.symbolic import Addition, Copy, Reverse, Sort
from textgym.tokenizers import Vocabulary

TASKS = [Copy, Reverse, Sort, Addition, Brackets, Password]
WITH_PROMPTS = TASKS[:-1]
SPLITS = ("train", "validation", "test")


@lru_cache
def built(task, **arguments):
    return task(**arguments)


def pieces_of(text, data):
    """The text cut into pieces, some empty, each followed by some provisional text."""
    while text:
        size = data.draw(st.integers(0, len(text)))
        yield text[:size], data.draw(st.text(alphabet="()[]x", max_size=4))
        text = text[size:]
    yield "", ""


# What all have in common


@pytest.mark.parametrize("task", TASKS)
def test_references_score_1_and_fit(task):
    for split in SPLITS:
        made = built(task, split=split)
        rng = np.random.default_rng(0)
        for _ in range(100):
            episode = made.sample(rng)
            assert len(made.vocabulary.encode(episode.prompt)) <= made.prompt_length
            assert len(made.vocabulary.encode(episode.references[0])) < made.budget
            assert made.score(episode.references[0], episode) == 1


@pytest.mark.parametrize("task", [Copy, Reverse, Sort, Addition, Password])
@settings(deadline=None)
@given(data=st.data())
def test_other_texts_score_less(task, data):
    made = built(task)
    episode = made.episode(data.draw(st.integers(0, len(made) - 1)))
    (reference,) = episode.references
    others = st.text(alphabet="abcdefgh0123456789", max_size=7)
    text = data.draw(others | st.sampled_from([reference[:-1], reference + "a", "a" + reference, reference[::-1]]))
    score = made.score(text, episode)
    assert 0 <= score <= 1 and (score == 1) == (text == reference)


@pytest.mark.parametrize("task", WITH_PROMPTS)
def test_splits_share_no_prompt_and_stand_8_1_1(task):
    size = {Addition: {"digits": 3}, Brackets: {"length": 20}}.get(task, {})
    prompts = {}
    for split in SPLITS:
        made, rng = built(task, split=split, **size), np.random.default_rng(1)
        prompts[split] = {made.sample(rng).prompt for _ in range(300)}
        prompts[split] |= {made.episode(i).prompt for i in range(300)}
    assert all(len(found) > 200 for found in prompts.values())
    assert not any(prompts[a] & prompts[b] for a, b in itertools.combinations(SPLITS, 2))
    made, rng = built(task, **size), np.random.default_rng(2)
    found = [made._split_of(prompt) for prompt in {made.generate(rng).prompt for _ in range(5000)}]
    assert [found.count(split) / len(found) for split in SPLITS] == pytest.approx([0.8, 0.1, 0.1], abs=0.02)


@pytest.mark.parametrize("task", TASKS)
def test_fixed_episodes_are_always_the_same(task):
    made, again = task(), pickle.loads(pickle.dumps(task()))
    assert [made.episode(i) for i in range(50)] == [again.episode(i) for i in reversed(range(50))][::-1]
    assert made.fingerprint == again.fingerprint
    assert len(made) == 10_000
    for index in (-1, 10_000):
        with pytest.raises(IndexError, match="10000|9999"):
            made.episode(index)


def test_fixed_episodes_are_the_same_on_every_machine():
    assert Copy().episode(0).prompt == "fcaag"
    assert Addition().episode(0).prompt == "56+2"
    assert Brackets().episode(0).prompt == "[[[]]"
    assert Password().episode(0).references == ("cbaa",)


@pytest.mark.parametrize("task", TASKS)
def test_byte_bpe(task):
    made = task(tokenizer={"name": "byte_bpe", "size": 300})
    for i in range(50):
        episode = made.episode(i)
        assert made.score(made.vocabulary.decode(made.vocabulary.encode(episode.references[0])), episode) == 1


@pytest.mark.parametrize("task", TASKS)
def test_budget(task):
    assert task(budget=30).budget == 30
    for budget in (0, 2.5, True):
        with pytest.raises(ValueError, match="budget"):
            task(budget=budget)
    if task is not Addition and task is not Brackets:  # those have answers of one character
        with pytest.raises(ValueError, match="use a larger size or budget"):
            task(budget=2)
    with pytest.raises(ValueError, match="Did you mean 'test'"):
        task(split="tests")


def test_answers_that_do_not_fit_the_budget_are_dropped():
    made = Addition(budget=3)
    assert {len(made.episode(i).references[0]) for i in range(200)} == {1, 2}
    assert made.dropped["reference too long"] > 0


def test_a_vocabulary_without_the_letters_is_refused():
    with pytest.raises(ValueError, match="'c'.*not in the alphabet"):
        Copy(symbols=3, tokenizer=Vocabulary.characters(["ab"]))
    with pytest.raises(ValueError, match="writes the reference"):
        Copy(tokenizer="word")


@pytest.mark.parametrize("task", [Copy, Reverse, Sort, Password])
@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"length": 0}, "length must be a whole number, at least 1, got 0"),
        ({"length": 2.0}, "length must be a whole number, at least 1, got 2.0"),
        ({"length": True}, "length must be a whole number, at least 1, got True"),
        ({"symbols": 1}, "symbols must be a whole number, from 2 to 26, got 1"),
        ({"symbols": 27}, "symbols must be a whole number, from 2 to 26, got 27"),
        ({"symbols": "8"}, "symbols must be a whole number, from 2 to 26, got '8'"),
    ],
)
def test_argument_errors_of_letters(task, arguments, message):
    with pytest.raises(ValueError, match=message):
        task(**arguments)


@pytest.mark.parametrize(
    "task, arguments, error, message",
    [
        (Addition, {"digits": 0}, ValueError, "digits must be a whole number, from 1 to 18, got 0"),
        (Addition, {"digits": 19}, ValueError, "digits must be a whole number, from 1 to 18, got 19"),
        (Addition, {"reverse": 1}, TypeError, "reverse must be True or False, got 1"),
        (Brackets, {"length": 0}, ValueError, "length must be a whole number, at least 2, got 0"),
        (Brackets, {"length": 7}, ValueError, "length must be even .*, at least 2, got 7"),
        (Brackets, {"kinds": 0}, ValueError, "kinds must be a whole number, from 1 to 4, got 0"),
        (Brackets, {"kinds": 5}, ValueError, "kinds must be a whole number, from 1 to 4, got 5"),
        (Password, {"secret_seed": -1}, ValueError, "secret_seed must be a whole number, at least 0, got -1"),
        (Password, {"secret_seed": None}, ValueError, "secret_seed must be a whole number, at least 0, got None"),
    ],
)
def test_argument_errors(task, arguments, error, message):
    with pytest.raises(error, match=message):
        task(**arguments)


@pytest.mark.parametrize("task", TASKS)
def test_unknown_arguments_are_refused(task):
    with pytest.raises(TypeError):
        task(lenght=3)


# One by one


@pytest.mark.parametrize("task, rule", [(Copy, "cabac"), (Reverse, "cabac"[::-1]), (Sort, "aabcc")])
def test_letters(task, rule):
    assert built(task).from_prompt("cabac") == Episode("cabac", (rule,))
    assert built(task).from_prompt("cabac", ("x",)).references == ("x",)
    made = task(length=30, symbols=26)
    assert (made.prompt_length, made.budget, len(made.vocabulary)) == (30, 31, 27)
    rng = np.random.default_rng(0)
    prompts = [made.sample(rng).prompt for _ in range(500)]
    assert {len(prompt) for prompt in prompts} == {30}
    counts = np.unique(list("".join(prompts)), return_counts=True)[1]
    assert len(counts) == 26 and np.abs(counts / counts.mean() - 1).max() < 0.2


def test_more_letters_right_score_more():
    made = built(Copy)
    episode = made.from_prompt("abcde")
    assert [made.score("abcde"[:n], episode) for n in range(6)] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])


@pytest.mark.parametrize("digits, reverse", [(1, False), (2, True), (3, False), (18, True)])
def test_addition(digits, reverse):
    made, rng = Addition(digits, reverse), np.random.default_rng(0)
    lengths = set()
    for _ in range(1000):
        episode = made.sample(rng)
        a, b = episode.prompt.split("+")
        assert all(1 <= len(n) <= digits and str(int(n)) == n for n in (a, b))
        (total,) = episode.references
        assert int(total[::-1] if reverse else total) == int(a) + int(b)
        assert made.from_prompt(episode.prompt) == episode
        lengths.add((len(a), len(b)))
    assert {size for both in lengths for size in both} == set(range(1, digits + 1))
    assert len(lengths) == digits**2 or digits == 18


def test_addition_scores_digits_in_place():
    made = Addition()
    episode = made.from_prompt("27+5")
    assert [made.score(text, episode) for text in ("32", "35", "132", "2")] == [1, 0.5, 0, 0]
    for prompt in ("27-5", "27", "1+2+3", "+5", "", "２+5"):
        with pytest.raises(ValueError, match="two numbers and a plus"):
            made.from_prompt(prompt)


def test_password_is_one_hidden_string():
    made = Password()
    (secret,) = made.episode(0).references
    assert len(secret) == 4 and set(secret) <= set("abcd")
    for other in (Password(split="test"), Password(budget=9), Password(tokenizer="byte_bpe")):
        assert other.sample(np.random.default_rng(5)) == Episode("", (secret,))
    assert made.from_prompt("").references == (secret,)
    assert len({Password(secret_seed=seed).episode(0).references for seed in range(20)}) > 10
    texts = map("".join, itertools.product("abcd", repeat=4))
    assert sum(made.score(text, made.episode(0)) for text in texts) == 1


def test_password_trains_no_tokens_on_the_secret():
    tokens = [Password(secret_seed=seed, tokenizer="byte_bpe").vocabulary.fingerprint for seed in range(3)]
    assert len(set(tokens)) == 1


# Brackets: the oracle is the list of all balanced strings


@lru_cache
def balanced(length, kinds):
    """All balanced strings, by their recursive definition."""
    if length == 0:
        return {""}
    pairs = ("()", "[]", "{}", "<>")[:kinds]
    return {
        pair[0] + inside + pair[1] + after
        for size in range(0, length, 2)
        for inside in balanced(size, kinds)
        for after in balanced(length - 2 - size, kinds)
        for pair in pairs
    }


@lru_cache
def beginnings(length, kinds):
    return {text[:n] for text in balanced(length, kinds) for n in range(length + 1)}


def expected_value(prompt, text, length, kinds):
    right = 0
    while right < len(text) and prompt + text[: right + 1] in beginnings(length, kinds):
        right += 1
    return right / max(length - len(prompt), len(text))


@pytest.mark.parametrize("length, kinds", [(2, 1), (2, 2), (4, 1), (4, 2), (6, 1)])
def test_bracket_score_of_every_text(length, kinds):
    metric, alphabet = BracketCompletion(length, kinds), "()[]"[: 2 * kinds]
    texts = ["".join(t) for n in range(length + 2) for t in itertools.product(alphabet, repeat=n)]
    for prompt in beginnings(length, kinds) - balanced(length, kinds):
        episode = Episode(prompt)
        for text in texts:
            value = metric.score(text, episode)
            assert value == expected_value(prompt, text, length, kinds), (prompt, text)
            assert (value == 1) == (prompt + text in balanced(length, kinds)), (prompt, text)


@settings(deadline=None)
@given(data=st.data())
def test_bracket_score_in_pieces_with_provisional_text(data):
    length, kinds = 8, 2
    prompt = data.draw(st.sampled_from(sorted(beginnings(length, kinds) - balanced(length, kinds))))
    whole = data.draw(st.sampled_from(sorted(t for t in balanced(length, kinds) if t.startswith(prompt))))
    right = whole[len(prompt) : data.draw(st.integers(len(prompt), length))]
    text = right + data.draw(st.text(alphabet="()[]x", max_size=8))
    progress, written = BracketCompletion(length, kinds).start(Episode(prompt)), ""
    for piece, provisional in pieces_of(text, data):
        written += piece
        progress = copy.deepcopy(progress)  # what get_state does
        assert progress.push(piece, provisional) == expected_value(prompt, written + provisional, length, kinds)


def test_brackets_without_completion():
    metric = BracketCompletion(4, 1)
    for prompt in (")", "(((", "[", "()()()", "x"):
        assert metric.score("", Episode(prompt)) == metric.score("()", Episode(prompt)) == 0
    assert metric.score("", Episode("()()")) == 1
    assert metric.score("(", Episode("()()")) == 0
    for prompt in (")", "(((", "[", "()()()", "()()"):
        with pytest.raises(ValueError, match="beginning of a balanced string of 4"):
            Brackets(4, 1).from_prompt(prompt)
    assert Brackets(4, 1).from_prompt("(") == Episode("(", (")()",))


def test_bracket_prompts_are_beginnings_of_uniform_strings():
    made, rng = Brackets(6, 1), np.random.default_rng(0)
    episodes = [made.generate(rng) for _ in range(20_000)]
    assert {e.prompt for e in episodes} == beginnings(6, 1) - balanced(6, 1)
    assert all(e.prompt + e.references[0] in balanced(6, 1) for e in episodes)
    for prompt in beginnings(6, 1) - balanced(6, 1):
        share = sum(s.startswith(prompt) for s in balanced(6, 1)) / len(balanced(6, 1)) / 6
        assert sum(e.prompt == prompt for e in episodes) / len(episodes) == pytest.approx(share, abs=0.015)


# The grammar


def observe(task, episodes, texts):
    """Rows as the environment lays them out. texts: lists of ids."""
    vocabulary, start = task.vocabulary, task.prompt_length
    tokens = np.full((len(texts), start + task.budget), vocabulary.pad, np.int32)
    for row, episode, ids in zip(tokens, episodes, texts, strict=True):
        prompt = vocabulary.encode(episode.prompt)
        row[start - len(prompt) : start] = prompt
        row[start : start + len(ids)] = ids
    return tokens, np.array([len(ids) for ids in texts], np.int64), episodes


def saved_vocabulary(kind):
    """Tokens whose text depends on what stands before them."""
    if kind == "metaspace":
        tokens = ["▁", "(", ")", "[", "]", "▁(", "()", ")]", "▁)", "a", "([)", "])"]
        tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, []))
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    elif kind == "wordpiece":
        tokens = [t + b for t in ("", "##") for b in ("(", ")", "[", "]", "()", "])", "a")] + ["[UNK]"]
        tokenizer = Tokenizer(models.WordPiece({t: i for i, t in enumerate(tokens)}, unk_token="[UNK]"))
        tokenizer.decoder = decoders.WordPiece(cleanup=False)
    else:  # a decoder of no known form
        tokens = ["(", ")", "[", "]", "()", "x(", "]x)"]
        tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, []))
        tokenizer.decoder = decoders.Sequence([decoders.Fuse(), decoders.Replace("x", "")])
    tokenizer.add_special_tokens(["<eos>"])
    return Vocabulary(tokenizer, "<eos>")


@pytest.mark.parametrize(
    "length, kinds, tokenizer",
    [
        (2, 1, "character"),
        (4, 2, "character"),
        (6, 2, "character"),
        (8, 1, "character"),
        (4, 4, "character"),
        (4, 2, Vocabulary.characters(["()[]{}<>abc"])),
        (4, 2, {"name": "byte_bpe", "size": 280}),
        (6, 1, {"name": "byte_bpe", "size": 270}),
        (4, 2, "metaspace"),
        (4, 2, "wordpiece"),
        (4, 2, "other"),
    ],
)
def test_legal_tokens_in_every_state(length, kinds, tokenizer):
    if tokenizer in ("metaspace", "wordpiece", "other"):
        tokenizer = saved_vocabulary(tokenizer)
    task = Brackets(length, kinds, tokenizer=tokenizer)
    vocabulary, eos = task.vocabulary, task.vocabulary.eos
    others = [i for i in np.flatnonzero(vocabulary.legal).tolist() if i != eos]
    prompts = sorted(beginnings(length, kinds) - balanced(length, kinds))
    states, seen = [(prompt, ()) for prompt in prompts], 0
    while states:  # all states of n tokens, then all of n + 1
        legal = task.legal_tokens(*observe(task, [Episode(p) for p, _ in states], [list(ids) for _, ids in states]))
        assert legal.dtype == bool and legal.shape == (len(states), vocabulary.size)
        longer = []
        for row, (prompt, ids) in zip(legal, states, strict=True):
            expected = {i for i in others if prompt + vocabulary.decode([*ids, i]) in beginnings(length, kinds)}
            longer += [(prompt, (*ids, i)) for i in expected if len(ids) + 1 < task.budget]
            if prompt + vocabulary.decode(ids) in balanced(length, kinds) or not expected:
                expected.add(eos)
            assert set(np.flatnonzero(row).tolist()) == expected, (prompt, vocabulary.decode(ids))
        seen += len(states)
        states = longer
    assert seen > len(prompts)
    if vocabulary.kind == "character":
        assert seen == sum(len(p) <= len(t) and t.startswith(p) for p in prompts for t in beginnings(length, kinds))


def test_legal_tokens_of_no_rows():
    for tokenizer in ("character", "byte_bpe"):
        task = Brackets(tokenizer=tokenizer)
        assert task.legal_tokens(*observe(task, [], [])).shape == (0, task.vocabulary.size)


def test_a_text_beyond_repair_may_only_end():
    task = Brackets(4, 1, tokenizer="byte_bpe")
    texts = [task.vocabulary.encode(text).tolist() for text in (")", "(((", "()()(", "x", "é")]
    texts.append(texts[-1][:1])  # half a character
    for row in task.legal_tokens(*observe(task, [Episode("")] * len(texts), texts)):
        assert np.flatnonzero(row).tolist() == [task.vocabulary.eos]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    length=st.sampled_from([2, 8, 30, 150]),
    kinds=st.integers(1, 4),
    tokenizer=st.sampled_from(["character", "byte_bpe"]),
)
def test_random_legal_tokens_end_balanced(seed, length, kinds, tokenizer):
    task, rng = built(Brackets, length=length, kinds=kinds, tokenizer=tokenizer), np.random.default_rng(seed)
    episodes = [task.sample(rng) for _ in range(8)]
    tokens, lengths, _ = observe(task, episodes, [[]] * 8)
    going = np.ones(8, bool)
    while going.any():
        rows = np.flatnonzero(going)
        legal = task.legal_tokens(tokens[rows], lengths[rows], [episodes[row] for row in rows])
        chosen = (rng.random(legal.shape) * legal).argmax(axis=1)
        tokens[rows, task.prompt_length + lengths[rows]] = chosen
        lengths[rows] += 1
        going[rows[chosen == task.vocabulary.eos]] = False
    for row, episode in zip(tokens, episodes, strict=True):
        assert task.score(task.vocabulary.decode(row[task.prompt_length :]), episode) == 1
