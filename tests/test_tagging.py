"""Entity tagging and classification: labels that are right, names that are new, masks that allow what is right."""

import collections
import re
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_symbolic_tasks import observe
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from textgym import Episode, TextGenEnv
from textgym.tasks import SPLITS, make_task
from textgym.tasks.classification import TOPICS, Classification
from textgym.tasks.labels import LabelSequence, LabelTask
from textgym.tasks.tagging import LANGUAGES, EntityTagging
from textgym.tokenizers import Vocabulary

TASKS = {
    "english": ("tagging:EntityTagging", {"language": "english"}),
    "chinese": ("tagging:EntityTagging", {"language": "chinese"}),
    "topic": ("classification:Classification", {}),
}
BYTES = {"name": "byte_bpe", "size": 300}
every_task = pytest.mark.parametrize("name", TASKS)


def task(name, split="test", **arguments):
    path, own = TASKS[name]
    return make_task(f"textgym.tasks.{path}", split=split, **own, **arguments)


@cache
def drawn(name, split="test", n=2000):
    made, rng = task(name, split), np.random.default_rng(0)
    return [made.sample(rng) for _ in range(n)]


def mean_score(name, split, answer):
    """Of what a function writes for the units of a prompt."""
    made, sentences = task(name, split), LANGUAGES[name]
    texts = [sentences.separator.join(answer(sentences.split(e.prompt))) for e in drawn(name, split)]
    return np.mean(made.score_all(texts, drawn(name, split)))


@every_task
@pytest.mark.parametrize("split", SPLITS)
def test_references_score_1_and_fit(name, split):
    made = task(name, split)
    for episode in drawn(name, split):
        (reference,) = episode.references
        assert made.score(reference, episode) == 1.0 and made.score("", episode) == 0.0
        assert made.vocabulary.count(episode.prompt) <= made.prompt_length
        assert made.vocabulary.count(reference) == made.count(episode.prompt) < made.budget


@every_task
@pytest.mark.parametrize("tokenizer", ["character", BYTES, "byte_bpe"], ids=["character", "bytes", "byte_bpe"])
def test_other_vocabularies(name, tokenizer):
    made = task(name, tokenizer=tokenizer)
    assert not made.dropped
    for i in range(300):
        episode = made.episode(i)
        assert made.score(made.vocabulary.decode(made.vocabulary.encode(episode.references[0])), episode) == 1.0


@every_task
def test_budget_split_and_prompts_of_a_user(name):
    assert task(name, budget=40).budget == 40
    with pytest.raises(ValueError, match="Did you mean 'test'"):
        task(name, "tests")
    assert task(name).from_prompt("a b", ["O"]) == Episode("a b", ("O",))


# -- what is written


@pytest.mark.parametrize("name", LANGUAGES)
def test_what_stands_around_names_decides_what_they_are(name):
    sentences, found, prefixes = LANGUAGES[name], {}, set(LANGUAGES[name].before_towns)
    person, place = sentences.labels["person"], sentences.labels["place"]
    for split in SPLITS:
        for episode in drawn(name, split):
            units, labels = (sentences.split(text) for text in (episode.prompt, episode.references[0]))
            assert len(units) == len(labels) and {person, place} & set(labels)
            hidden = [
                "?" if label in (person, place) and unit not in prefixes else unit
                for unit, label in zip(units, labels, strict=True)
            ]
            assert found.setdefault(tuple(hidden), labels) == labels
            assert not re.search(f"{person} {place}|{place} {person}", " ".join(labels))  # where would one end?
    assert len(found) > 500


@pytest.mark.parametrize("name", LANGUAGES)
def test_names_of_other_splits_are_new(name):
    sentences = LANGUAGES[name]
    kinds = ("given", "town") if name == "chinese" else ("given", "family", "town")
    months = {"April", "June"}  # in sentences of every split, and in those of train as names, too
    own = {split: {n for kind in kinds for n in sentences.names[split][kind]} - months for split in SPLITS}
    for split in SPLITS:
        written = [episode.prompt for episode in drawn(name, split)]
        units = {unit for text in written for unit in text.split()} if name == "english" else None
        for other in SPLITS:
            if other != split:
                assert not own[split] & own[other]
                assert units is None or not units & own[other]
                assert not {e.prompt for e in drawn(name, other)} & set(written)
    if name == "chinese":
        towns = sentences.names["test"]["town"]
        assert not any(town in e.prompt for e in drawn(name, "train") for town in towns)


def test_half_of_the_names_in_training_are_unknown_words():
    vocabulary = task("english").vocabulary
    known = {vocabulary.tokenizer.id_to_token(i) for i in range(vocabulary.size)}
    names = LANGUAGES["english"].names
    # April and June are months, too
    assert {n: n in known for n in names["train"]["given"][:16]} == {
        n: i % 2 == 0 for i, n in enumerate(names["train"]["given"][:16])
    }
    assert not known & {n for split in SPLITS[1:] for kind in names[split].values() for n in kind}
    unknown = vocabulary.tokenizer.token_to_id("<unk>")
    assert sum(unknown in vocabulary.encode(e.prompt) for e in drawn("english", "train")) > 1000
    assert not any(unknown in vocabulary.encode(e.references[0]) for e in drawn("english", "test"))


@pytest.mark.parametrize("name", LANGUAGES)
def test_to_know_the_words_by_heart_is_not_enough(name):
    sentences = LANGUAGES[name]
    counts = collections.defaultdict(collections.Counter)
    for episode in drawn(name, "train"):
        for unit, label in zip(*map(sentences.split, (episode.prompt, *episode.references)), strict=True):
            counts[unit][label] += 1
    usual = {unit: of.most_common(1)[0][0] for unit, of in counts.items()}

    def answer(unknown):
        return lambda units: [usual.get(unit, unknown) for unit in units]

    best = max(mean_score(name, "test", answer(label)) for label in ("O", *sentences.labels.values()))
    assert 0.3 < best < 0.65 and best < mean_score(name, "train", answer("O")) - 0.1 < 0.85


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_same_label_everywhere_and_the_prompt_again_score_nothing(name):
    for label in ("O", *LANGUAGES[name].labels.values()):
        assert mean_score(name, "test", lambda units, label=label: [label] * len(units)) < 0.01
    assert mean_score(name, "test", lambda units: units) == 0.0


def test_a_topic_is_that_of_most_nouns():
    about = {noun: topic for topic, nouns in TOPICS.items() for noun in nouns}
    assert len(about) == sum(map(len, TOPICS.values()))
    first, labels = 0, collections.Counter()
    for split in SPLITS:
        for episode in drawn("topic", split):
            nouns = [word for word in episode.prompt.split() if word in about]
            topics = collections.Counter(about[noun] for noun in nouns)
            assert len(set(nouns)) == 5 and topics.pop(episode.references[0]) == 3 > max(topics.values())
            first += about[nouns[0]] == episode.references[0]
            labels[episode.references[0]] += 1
    assert 0.55 < first / 6000 < 0.65 and min(labels.values()) > 850
    assert len({e.prompt for split in SPLITS for e in drawn("topic", split)}) > 5990


# -- masks: the oracle is what can be said of whole texts


def may_become(text, labels, separator, n):
    """Whether some text of n labels begins with ``text``, and whether ``text`` is one."""
    parts = text.split(separator) if separator else list(text)
    if not separator and not text:
        return n > 0, False
    *before, last = parts
    fits = len(parts) <= n and all(part in labels for part in before) and any(x.startswith(last) for x in labels)
    return fits, fits and len(parts) == n and last in labels


class Labels(LabelTask):
    """As many labels as the prompt has letters."""

    metric = EntityTagging().metric

    def __init__(self, labels, separator, tokenizer, split="train"):
        self.grammar = LabelSequence(labels, separator)
        super().__init__("a" + self.grammar.alphabet, 4, 4 * 5, split=split, tokenizer=tokenizer, lossy=True)

    def generate(self, rng):
        n = 1 + int(rng.random() * 3)
        labels = [self.grammar.labels[int(rng.random() * len(self.grammar.labels))] for _ in range(n)]
        return Episode("a" * n, (self.grammar.separator.join(labels),))

    def _split_of(self, prompt):
        return self.split

    def _training_texts(self, alphabet):
        return [alphabet]

    def count(self, prompt):
        return len(prompt)


def saved_vocabulary(kind):
    """Tokens whose text depends on what stands before them."""
    if kind == "metaspace":
        tokens = ["▁", "O", "P", "▁O", "ON", "▁ON▁", "N", "▁P▁", "a", "O▁ON", "OO", "PO", "OP"]
        tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, []))
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    elif kind == "wordpiece":
        tokens = [t + b for t in ("", "##") for b in ("O", "P", "N", "ON", "a", "PO")] + ["[UNK]"]
        tokenizer = Tokenizer(models.WordPiece({t: i for i, t in enumerate(tokens)}, unk_token="[UNK]"))
        tokenizer.decoder = decoders.WordPiece(cleanup=False)
    else:  # a decoder of no known form
        tokens = ["O", "P", "N", " ", "xO", "OxN", "O O", "P xO", "a"]
        tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, []))
        tokenizer.decoder = decoders.Sequence([decoders.Fuse(), decoders.Replace("x", "")])
    tokenizer.add_special_tokens(["<eos>"])
    return Vocabulary(tokenizer, "<eos>")


TOKENIZERS = {
    "character": lambda: "character",
    "more characters": lambda: Vocabulary.characters(["OPN ab."]),
    "word": lambda: Vocabulary.words(["O P ON a b"]),
    "bytes": lambda: {"name": "byte_bpe", "size": 275},
    **{kind: lambda kind=kind: saved_vocabulary(kind) for kind in ("metaspace", "wordpiece", "other")},
}


# a word is a token: to a word vocabulary labels without spaces between them are none
WRITTEN = [(("O", "P", "ON"), " ", kind) for kind in TOKENIZERS]
WRITTEN += [(("O", "P"), "", kind) for kind in TOKENIZERS if kind != "word"]


@pytest.mark.parametrize("labels, separator, kind", WRITTEN)
def test_legal_tokens_are_those_that_can_lead_to_labels_in_every_state(labels, separator, kind):
    made = Labels(labels, separator, TOKENIZERS[kind]())
    vocabulary, eos = made.vocabulary, made.vocabulary.eos
    others = [i for i in np.flatnonzero(vocabulary.legal).tolist() if i != eos]
    states, seen = [("a" * n, ()) for n in range(4)], 0
    while states:  # all states of t tokens, then all of t + 1
        rows = made.legal_tokens(*observe(made, [Episode(p) for p, _ in states], [list(ids) for _, ids in states]))
        assert rows.dtype == bool and rows.shape == (len(states), vocabulary.size)
        longer = []
        for row, (prompt, ids) in zip(rows, states, strict=True):
            text = vocabulary.decode(ids)
            expected = {
                i
                for i in others
                if (new := vocabulary.decode([*ids, i])).startswith(text)
                and may_become(new, labels, separator, len(prompt))[0]
            }
            if prompt and len(ids) < 8:
                longer += [(prompt, (*ids, i)) for i in expected if new_text(vocabulary, ids, i)]
            if may_become(text, labels, separator, len(prompt))[1] or not expected:
                expected.add(eos)
            assert set(np.flatnonzero(row).tolist()) == expected, (prompt, text)
        seen += len(states)
        states = longer[:2000]
    assert seen > 20


def new_text(vocabulary, ids, i):
    return vocabulary.decode([*ids, i]) != vocabulary.decode(ids)


@every_task
@pytest.mark.parametrize("tokenizer", [None, "character", BYTES, "byte_bpe"], ids=["own", "character", "bytes", "bpe"])
def test_every_reference_is_legal_and_ends_where_it_ends(name, tokenizer):
    made = task(name) if tokenizer is None else task(name, tokenizer=tokenizer)
    vocabulary, eos = made.vocabulary, made.vocabulary.eos
    episodes = [made.episode(i) for i in range(400)]
    texts = [vocabulary.encode(episode.references[0]).tolist() for episode in episodes]
    for t in range(max(map(len, texts)) + 1):
        rows = [i for i, ids in enumerate(texts) if t <= len(ids)]
        legal = made.legal_tokens(*observe(made, [episodes[i] for i in rows], [texts[i][:t] for i in rows]))
        for row, i in zip(legal, rows, strict=True):
            token = [*texts[i], eos][t]
            assert row[token] and row[eos] == (token == eos), (episodes[i], t)
            if t == len(texts[i]):
                assert row.sum() == 1


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    name=st.sampled_from(sorted(TASKS)),
    tokenizer=st.sampled_from(["character", "byte_bpe", "word"]),
)
def test_random_legal_tokens_are_as_many_labels_as_asked_for(seed, name, tokenizer):
    made = task(name) if tokenizer == "word" else task(name, tokenizer=tokenizer)
    env = TextGenEnv(made, mask="task", on_illegal="raise")
    _, info = env.reset(seed=seed)
    rng, over = np.random.default_rng(seed), False
    while not over:
        _, _, over, _, info = env.step(int(rng.choice(np.flatnonzero(env.action_masks()))))
    assert info["end_reason"] == "eos"
    n, grammar = made.count(env.episode.prompt), made.grammar
    assert may_become(info["text"], grammar.labels, grammar.separator, n) == (True, True)


@every_task
def test_masks_of_no_rows_of_no_words_and_of_texts_beyond_repair(name):
    for tokenizer in ("byte_bpe", "character"):
        made = task(name, tokenizer=tokenizer)
        assert made.legal_tokens(*observe(made, [], [])).shape == (0, made.vocabulary.size)
        if name != "topic":
            (row,) = made.legal_tokens(*observe(made, [Episode("")], [[]]))
            assert np.flatnonzero(row).tolist() == [made.vocabulary.eos]
    made = task(name, tokenizer="byte_bpe")
    broken = [made.vocabulary.encode(text).tolist() for text in ("x", "  ", "é", "OX")]
    for row in made.legal_tokens(*observe(made, [made.episode(0)] * 4, broken)):
        assert np.flatnonzero(row).tolist() == [made.vocabulary.eos]


# -- arguments, and every machine


def test_errors():
    with pytest.raises(ValueError, match="unknown language 'fr'. Allowed: chinese, english"):
        EntityTagging("fr")
    with pytest.raises(TypeError):
        Classification(topics=3)


def test_fixed_episodes_are_the_same_on_every_machine():
    assert {name: task(name, "train").episode(0).prompt for name in TASKS} == {
        "english": "Lena Berg , a baker from Florence , arrives on Friday morning .",
        "chinese": "西安在北京的北边。",
        "topic": "she spoke about the album and the storm . first there was the frost , then the racket . all of it "
        "began with the humidity .",
    }
