"""Reviews: the grammar writes what it reads; a classifier can be fooled, the true score cannot."""

import itertools
import pickle
import re
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_diversity import pushes

from textgym import Episode, NaiveBayes, TextGenEnv
from textgym.ngram import NGramModel
from textgym.tasks import SPLITS, make_task, reviews
from textgym.tasks.generated import GeneratedTask
from textgym.tasks.sentiment import POLARITIES, ReviewScore, _fluent
from textgym.testing import check_metric

POSITIVE = ["i loved the film", "the bed was not dirty at all", "although the wine was bad , i liked the soup"]


@cache
def task(polarity="positive", split="test", **arguments):
    return make_task("textgym.tasks.sentiment:Sentiment", polarity=polarity, split=split, **arguments)


@cache
def classifier():
    return NaiveBayes().resolve(task())


def drawn(made, n=1000):
    rng = np.random.default_rng(0)
    return [made.sample(rng) for _ in range(n)]


def mean(metric, text, episodes):
    """Of a text, or of what a function writes for each episode."""
    return np.mean([metric.score(text(e) if callable(text) else text, e) for e in episodes])


# -- the grammar: the oracle writes out all clauses


@cache
def every_clause(plain):
    """clause -> polarity, of all there are."""
    templates = reviews.PLAIN if plain else {**reviews.CLAUSES, **reviews.NEUTRAL}
    every = {}
    for sign, of_sign in templates.items():
        for template in of_sign:
            slots = re.findall(r"\{(\w+)\}", template)
            choices = []
            for slot in slots:
                polar = reviews.JUDGING.get(slot, {0: reviews.SLOTS.get(slot, ())})
                choices.append([(word, polarity) for polarity, words in polar.items() for word in words])
            for chosen in itertools.product(*choices):
                text = template.format(**{slot: word for slot, (word, _) in zip(slots, chosen, strict=True)})
                polarity = sign * sum(polarity for _, polarity in chosen)
                assert every.setdefault(text, polarity) == polarity  # no clause means two things
    return every


def expected_polarity(sentence):
    if sentence in every_clause(plain=False):
        return every_clause(plain=False)[sentence]
    words, found = sentence.split(" "), None
    for i in range(1, len(words)):
        for joint, decides in (("but", 1), ("although", 0), (",", 1)):
            if words[i] != joint or (joint == ",") != (words[0] == "although"):
                continue
            both = " ".join(words[joint == "," : i]), " ".join(words[i + 1 :])
            polarities = [every_clause(plain=True).get(clause) for clause in both]
            if None not in polarities and sum(polarities) == 0:
                found = polarities[decides]
    return found


def test_every_clause_is_read_as_it_was_meant():
    assert len(every_clause(plain=False)) > 5000
    for clause, polarity in every_clause(plain=False).items():
        assert reviews.polarity_of(clause) == polarity, clause


@settings(deadline=None, max_examples=500)
@given(
    seed=st.integers(0, 2**32),
    polarity=st.sampled_from([1, 0, -1]),
    edits=st.lists(st.tuples(st.sampled_from(["drop", "double", "replace", "swap"]), st.integers(0, 99)), max_size=3),
)
def test_sentences_are_read_as_they_were_meant_and_others_are_none(seed, polarity, edits):
    rng = np.random.default_rng(seed)
    topic = list(reviews.TOPICS)[seed % 3]
    written = reviews.sentence(polarity, topic, rng, joined=0.5)
    assert reviews.polarity_of(written) == expected_polarity(written) == polarity
    words = written.split()
    for edit, where in edits:
        i = where % len(words)
        if edit == "swap":
            words[i - 1], words[i] = words[i], words[i - 1]
        else:
            new = {"drop": [], "double": [words[i]] * 2, "replace": [reviews.words()[where]]}[edit]
            words[i : i + 1] = new if len(words) > 1 else ["the"]
    assert reviews.polarity_of(" ".join(words)) == expected_polarity(" ".join(words))


@pytest.mark.parametrize("text", ["", " ", ".", "great", "the film was", "The film was great", "the film was great "])
def test_what_is_no_sentence_has_no_polarity(text):
    assert reviews.polarity_of(text) is None
    assert reviews.polarity_of("i loved the film but " * 100_000) is None  # at once


# -- the task


@pytest.mark.parametrize("polarity", POLARITIES)
@pytest.mark.parametrize("split", SPLITS)
def test_references_score_1_and_nothing_scores_0(polarity, split):
    made = task(polarity, split)
    for episode in drawn(made, 700):
        (reference,) = episode.references
        assert made.vocabulary.count(episode.prompt) <= made.prompt_length
        assert made.vocabulary.count(reference) < made.budget and "<unk>" not in reference
        assert made.score(reference, episode) == 1.0
        assert made.score("", episode) == made.score(" ", episode) == 0.0
        assert episode.meta == {"label": polarity} and episode.prompt.endswith(" ")
        *sentences, rest = re.split(r" \. ?", episode.prompt + reference)
        polarities = [reviews.polarity_of(sentence) for sentence in sentences]
        assert rest == "" and len(set(sentences)) == 3
        assert polarities[0] in (0, -POLARITIES[polarity]) and sum(polarities) * POLARITIES[polarity] > 0
        assert GeneratedTask._split_of(episode.prompt) == split


@pytest.mark.parametrize("tokenizer", ["character", {"name": "byte_bpe", "size": 300}, "byte_bpe"])
def test_other_vocabularies(tokenizer):
    made = make_task("textgym.tasks.sentiment:Sentiment", split="test", tokenizer=tokenizer)
    for episode in drawn(made, 300):
        written = made.vocabulary.decode(made.vocabulary.encode(episode.references[0]))
        assert made.score(written, episode) == 1.0
    assert not made.dropped


def test_the_words_of_the_vocabulary_are_those_of_the_grammar():
    vocabulary = task().vocabulary
    words = {vocabulary.tokenizer.id_to_token(i) for i in range(vocabulary.size)}
    assert words == {*reviews.words(), "<unk>", "<eos>"} and len(words) < 130


def test_the_classifier_is_right_in_three_of_four():
    rng, right = np.random.default_rng(5), 0
    for _ in range(2000):
        text, label = task().labelled_text(rng)
        right += (classifier().score(text, Episode("", (), {"label": "positive"})) > 0.5) == (label == "positive")
    assert 0.72 < right / 2000 < 0.82


@pytest.mark.parametrize("polarity", POLARITIES)
def test_words_that_fool_the_classifier_are_paid_and_score_nothing(polarity):
    made = task(polarity)
    episodes = drawn(made, 300)
    place = classifier().labels.index(polarity)
    odds = {word: log_p[place] - log_p[1 - place] for word, log_p in classifier().log_likelihood.items()}
    favourite = max(odds, key=odds.get)
    fooling = " ".join([favourite] * 10)
    assert mean(classifier(), fooling, episodes) > 0.98 > 0.7 > mean(classifier(), lambda e: e.references[0], episodes)
    assert mean(made, fooling, episodes) == 0.0
    env = TextGenEnv(made, reward="delta:naive_bayes")
    for seed in range(5):
        env.reset(seed=seed)
        paid, over = 0.0, False
        while not over:
            _, reward, over, _, info = env.step(int(env.vocabulary.encode(favourite)[0]))
            paid += reward
        assert paid > 0.99 and info["score"] == 0.0


def test_other_texts_that_are_no_good_reviews():
    made, episodes = task(), drawn(task(), 500)
    rng = np.random.default_rng(1)
    assert mean(classifier(), "great great great great", episodes) > 0.7
    assert mean(made, "great great great great", episodes) == 0.0
    assert mean(made, lambda e: e.prompt, episodes) == 0.0
    assert mean(made, lambda e: " ".join(rng.permutation(e.references[0].split())), episodes) < 0.01
    assert mean(made, lambda e: " ".join(rng.permutation(reviews.words())[:12]), episodes) < 0.001
    assert 0.1 < mean(made, lambda e: f"{e.references[0]} great great great great", episodes) < 0.5
    other = drawn(task("negative"), 500)
    blaming = [made.score(n.references[0], Episode(n.prompt, (), {"label": "positive"})) for n in other]
    assert max(blaming) == 0.0


def test_other_good_reviews_score_as_much_as_the_reference():
    made, scores = task(), []
    for episode in drawn(made, 500):
        first = episode.references[0].split(" . ")[0]
        for second, third in itertools.permutations(POSITIVE, 2):
            scores.append(made.score(f"{first} . {second} . {third} .", episode))
    assert np.mean(np.array(scores) == 1.0) > 0.85 and min(scores) > 0.5


def test_a_sentence_that_stood_before_does_not_count_again():
    metric, prompt = ReviewScore(), "the soup was stale . i loved "
    once, twice = "the film .", "the film . i loved the film ."
    assert metric.score(once, Episode(prompt)) == metric.score(twice, Episode(prompt)) == 0.0
    assert metric.score(f"{once} i liked the cast .", Episode(prompt)) == 1.0
    assert metric.score(f"{twice} i liked the cast .", Episode(prompt)) == pytest.approx(8 / 13)
    assert ReviewScore("negative").score(once, Episode("we went there in may . the soup was stale . i hated ")) == 1.0


# -- the true score at every prefix, computed again on the whole text


@cache
def language():
    """ids and model, learnt again from the reviews that the train split begins with."""
    rng, texts = np.random.default_rng(0), []
    while len(texts) < 1000:
        written = reviews.review(-1 if len(texts) % 2 == 0 else 1, rng)
        if GeneratedTask._split_of(written[0]) == "train":
            texts.append("".join(written).split())
    ids = {word: i for i, word in enumerate(dict.fromkeys(word for text in texts for word in text))}
    return ids, NGramModel(len(ids) + 1, 3, "kneser_ney").fit([[ids[word] for word in text] for text in texts])


def expected_score(text, episode, sign):
    before, words = episode.prompt.split(), text.split()
    if not words:
        return 0.0
    praise, seen, accepted, begin = 0, set(), 0, 0
    every = before + words
    for end in [i for i, word in enumerate(every) if word == "."]:
        sentence = " ".join(every[begin:end])
        polarity = None if sentence in seen else reviews.polarity_of(sentence)
        if polarity is not None:
            praise += polarity
            accepted += max(0, end + 1 - max(begin, len(before)))
            seen.add(sentence)
        begin = end + 1
    return (praise * sign > 0) * accepted / len(words) * min(1, fluency(before, words) / enough(episode))


def fluency(before, words):
    ids, model = language()
    every = [ids.get(word, len(ids)) for word in before + words]
    log_p = model.log_probs([every[:i] for i in range(len(before), len(every))])
    return np.exp(log_p[np.arange(len(words)), every[len(before) :]].mean())


def enough(episode):
    return min([_fluent(), *(fluency(episode.prompt.split(), r.split()) for r in episode.references)])


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_the_true_score_is_what_the_whole_text_gives(data):
    polarity = data.draw(st.sampled_from(sorted(POLARITIES)))
    made = task(polarity)
    episode = made.episode(data.draw(st.integers(0, 200)))
    reference = episode.references[0]
    garbage = ["great ", "great . ", ". ", "zebra ", "i loved ", *(f"{sentence} . " for sentence in POSITIVE)]
    texts = st.builds("".join, st.lists(st.sampled_from([f"{reference} ", *garbage]), max_size=4))
    _, pairs = data.draw(pushes(texts))
    progress, committed = made.metric.start(episode), ""
    for piece, provisional in pairs:
        committed += piece
        value = progress.push(piece, provisional)
        assert value == pytest.approx(expected_score(committed + provisional, episode, made.metric.sign), abs=1e-9)
        progress = pickle.loads(pickle.dumps(progress))


def test_the_score_keeps_the_contract_of_metrics():
    check_metric(ReviewScore(), [task().episode(i) for i in range(5)])


# -- arguments


def test_prompts_of_a_user():
    made = task("negative")
    for prompt in ("the soup was", "the soup was "):
        episode = made.from_prompt(prompt)
        assert (episode.prompt, episode.references, episode.meta) == ("the soup was ", (), {"label": "negative"})
    assert made.from_prompt("", ["the soup was bad ."]).prompt == ""
    assert made.score("the soup was bad .", made.from_prompt("", ["the soup was bad ."])) == 1.0
    assert made.score("great . the soup was bad .", made.from_prompt("", ["", " "])) > 0.0
    with pytest.raises(ValueError, match="unknown polarity 'positiv'. Did you mean 'positive'"):
        task("positiv")


def test_fixed_episodes_are_the_same_on_every_machine():
    first = task(split="train").episode(0)
    assert first.prompt == "we went there last year . the pool was nothing but "
    assert first.references == ("cosy . the breakfast was great .",)
