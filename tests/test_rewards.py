"""When and how a metric is paid: schedules against recomputation on prefixes, sums, spellings."""

import numpy as np
import pytest
from helpers import MODES, Lottery, Phrases, assert_same, play, some_tokens
from hypothesis import given, settings
from hypothesis import strategies as st

import textgym
from textgym import (
    CharacterMatch,
    Delta,
    EditDistance,
    Episode,
    EveryStep,
    ExactMatch,
    Terminal,
    TextGenEnv,
    TextGenVectorEnv,
    make_reward,
)

VOCABULARIES = {kind: Phrases(tokenizer=kind).vocabulary for kind in ("character", "byte_bpe")}


def share_of_vowels(text, references):
    return sum(map("aeiou".count, text)) / (1 + len(text))


@textgym.metric
def longest_match(text, references):
    return max((sum(a == b for a, b in zip(text, r, strict=False)) for r in references), default=0)


METRICS = {
    "cer": EditDistance("character", "rate"),
    "word_accuracy": EditDistance("word"),
    "character_match": CharacterMatch(),
    "exact_match": ExactMatch(),
    "share_of_vowels": share_of_vowels,
    "longest_match": longest_match,
}


def values_at_prefixes(metric, vocabulary, tokens, episode):
    """The metric of the text after each token, computed anew each time."""
    metric = textgym.make_metric(metric)
    return [metric.score(vocabulary.decode(tokens[: t + 1]), episode) for t in range(len(tokens))]


def make(reward, kind="byte_bpe", **kwargs):
    return TextGenEnv(Phrases, tokenizer=VOCABULARIES[kind], reward=reward, **kwargs)


@st.composite
def texts(draw):
    """(kind of vocabulary, token ids, references): ids are near a reference, or any."""
    kind = draw(st.sampled_from(sorted(VOCABULARIES)))
    vocabulary = VOCABULARIES[kind]
    pieces = st.sampled_from([item[1][0] for item in Phrases.ITEMS if item[1]] + ["a", "我爱"])
    references = draw(st.lists(pieces, max_size=3))
    tokens = vocabulary.encode(draw(pieces)).tolist() if draw(st.booleans()) else []
    tokens += draw(st.lists(st.integers(0, vocabulary.size - 2), max_size=6))
    return kind, [*tokens, vocabulary.eos][:28], references


# -- schedules ----------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=150)
@given(texts(), st.sampled_from(sorted(METRICS)))
def test_schedules_pay_what_their_table_says(text, name):
    kind, tokens, references = text
    metric = METRICS[name]
    env = make([Terminal(metric), Delta(metric), EveryStep(metric)], kind)
    results = play(env, tokens, options={"prompt": "a", "references": references})[1:]
    values = values_at_prefixes(metric, env.vocabulary, tokens, Episode("a", references))
    assert len(results) == len(tokens) == len(values)
    terms = [info["reward_terms"] for *_, info in results]
    name = textgym.make_metric(metric).name
    assert [paid[f"terminal:{name}"] for paid in terms] == [0.0] * (len(tokens) - 1) + values[-1:]
    assert [paid[f"delta:{name}"] for paid in terms] == np.diff([0.0, *values]).tolist()
    assert [paid[f"every_step:{name}"] for paid in terms] == values
    assert [reward for _, reward, *_ in results] == pytest.approx([sum(paid.values()) for paid in terms])
    assert sum(paid[f"delta:{name}"] for paid in terms) == pytest.approx(values[-1])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("metric", [None, "token_match", "wer", share_of_vowels])
def test_delta_adds_up_to_terminal_in_every_mode(mode, metric):
    envs = [
        TextGenVectorEnv(Phrases, 4, autoreset_mode=mode, reward=reward(metric), mask={"name": "banned", "tokens": [1]})
        for reward in (Delta, Terminal)
    ]
    rng, collected, ends = np.random.default_rng(0), np.zeros(4), 0
    observations = [env.reset(seed=0)[0] for env in envs][0]
    for _ in range(120):
        actions = some_tokens(rng, envs[0], observations)
        (observations, paid, over, *_), (_, at_end, other_over, *_) = (env.step(actions) for env in envs)
        assert_same(over, other_over)
        collected += paid
        assert (at_end[~over] == 0).all()
        assert collected[over] == pytest.approx(at_end[over], abs=1e-12)
        collected[over] = 0
        ends += over.sum()
        if mode == "Disabled" and over.any():
            observations = [env.reset(options={"reset_mask": over})[0] for env in envs][0]
    assert ends > 20


def test_a_schedule_without_a_metric_pays_the_tasks_own_score():
    for spec in ("delta", "delta:score", Delta(), {"name": "delta"}, {"name": "delta", "metric": "score"}):
        results = play(
            make(spec), VOCABULARIES["byte_bpe"].encode("the cat"), options={"prompt": "", "references": ["the cat"]}
        )
        assert sum(reward for _, reward, *_ in results[1:]) == pytest.approx(1.0)
        assert list(results[1][4]["reward_terms"]) == ["delta:character_accuracy"]
    with pytest.raises(ValueError, match="task's own score"):
        Delta().run(1, [None])


# -- sums ---------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(texts(), st.lists(st.tuples(st.sampled_from(sorted(METRICS)), st.floats(-3, 3)), min_size=1, max_size=4))
def test_a_sum_pays_the_weighted_terms_and_keeps_them_apart(text, parts):
    kind, tokens, references = text
    reward = parts[0][1] * Delta(METRICS[parts[0][0]])
    for name, weight in parts[1:]:
        reward = reward + weight * Delta(METRICS[name])
    options = {"prompt": "", "references": references}
    together = play(make(reward, kind), tokens, options=options)[1:]
    alone = [play(make(Delta(METRICS[name]), kind), tokens, options=options)[1:] for name, _ in parts]
    for t, (_, paid, _, _, info) in enumerate(together):
        expected = [weight * results[t][1] for (_, weight), results in zip(parts, alone, strict=True)]
        assert list(info["reward_terms"].values()) == pytest.approx(expected)
        assert paid == pytest.approx(sum(expected))


def test_sums_can_be_written_with_signs_and_numbers():
    a, b = Delta("cer"), Terminal("wer")
    reward = 0.7 * a + b * 0.3 - 2 * a - b + -a
    assert [weight for weight, _ in reward.parts] == [0.7, 0.3, -2.0, -1.0, -1.0]
    assert [part for _, part in reward.parts] == [a, b, a, b, a]
    assert [weight for weight, _ in (2 * (a - 0.5 * b)).parts] == [2.0, -1.0]
    for wrong in ("2", None):
        with pytest.raises(TypeError):
            a * wrong
        with pytest.raises(TypeError):
            a + wrong
    with pytest.raises(ValueError, match="finite"):
        float("nan") * a


def test_terms_of_one_name_are_numbered():
    env = make([Delta("cer"), "delta:cer", {"name": "delta", "metric": "cer", "weight": 3}, "terminal:cer"])
    terms = play(env, [4], options={"prompt": "", "references": ["ab"]})[1][4]["reward_terms"]
    assert list(terms) == ["delta:cer", "delta:cer#2", "delta:cer#3", "terminal:cer"]
    assert terms["delta:cer#3"] == 3 * terms["delta:cer"] != 0


# -- spellings ----------------------------------------------------------------------------------------


pays_length = Delta(lambda text, references: len(text))


@pytest.mark.parametrize(
    "spec, terms",
    [
        ("delta:cer", ["delta:cer"]),
        ("every_step:test_rewards:share_of_vowels", ["every_step:share_of_vowels"]),
        ("terminal:test_rewards:longest_match", ["terminal:longest_match"]),
        ("test_rewards:pays_length", ["delta:<lambda>"]),
        ("helpers:Vowels", ["new_vowels", "many"]),
        ({"name": "delta", "metric": "cer"}, ["delta:cer"]),
        ({"name": "delta", "metric": share_of_vowels, "weight": -1}, ["delta:share_of_vowels"]),
        ({"name": "delta:cer", "weight": 0.5}, ["delta:cer"]),
        ({"name": "helpers:Lottery", "weight": 2}, ["lottery"]),
        (
            ["delta", {"name": "terminal", "metric": "wer"}, Lottery()],
            ["delta:character_accuracy", "terminal:wer", "lottery"],
        ),
        (Delta(EditDistance("word", "distance")), ["delta:word_distance"]),
    ],
)
def test_a_reward_can_be_a_string_a_dict_a_list_or_an_object(spec, terms):
    env = make(spec)
    assert list(play(env, [4])[1][4]["reward_terms"]) == terms
    assert list(TextGenVectorEnv(Phrases, 2, reward=spec).state.reward.resolve(env.task).name) == list(
        env.state.reward.name
    )


@pytest.mark.parametrize(
    "spec, error, words",
    [
        ("termnal", ValueError, "Did you mean 'terminal'"),
        ("delta:exact_mach", ValueError, "Did you mean 'exact_match'"),
        ("delta:terminal:cer", ValueError, "'terminal:cer' is a reward, which says when a metric is paid"),
        ("detla:cer", ValueError, "Did you mean 'delta'"),
        ("nowhere.at_all:x", ValueError, "nowhere"),
        ("helpers:Vowel", ValueError, "Did you mean 'Vowels'"),
        ({"metric": "cer"}, ValueError, "'name'"),
        ({"name": "delta", "metrics": "cer"}, TypeError, "Did you mean 'metric'"),
        ({"name": "delta", "weight": "2"}, ValueError, "weight must be a finite number"),
        ({"name": "detla"}, ValueError, "Did you mean 'delta'"),
        (Delta, TypeError, "Delta is a class, and a reward an object of it: Delta(...)"),
        ("noisy", TypeError, '{"name": "noisy", "reward": "delta"}; it takes reward, std'),
        ({"name": "delayed", "metric": "cer"}, TypeError, '{"name": "delayed", "reward": "delta:cer"}'),
        ({"name": ["delta"]}, (TypeError, ValueError), "delta"),
        ([], TypeError, "[]"),
        (None, TypeError, "None"),
        (3.0, TypeError, "3.0"),
        (Delta, TypeError, "Delta"),
    ],
)
def test_what_is_no_reward_is_refused_with_the_nearest_right_name(spec, error, words):
    with pytest.raises(error) as raised:
        make_reward(spec)
    assert words in str(raised.value)
