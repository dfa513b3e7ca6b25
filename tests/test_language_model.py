"""Log-likelihood: that of a plain forward over the whole text at every prefix, whatever rows do meanwhile."""

import copy
import pickle

import numpy as np
import pytest
from helpers import MODES, Phrases, some_tokens
from tokenizers import processors

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from saved_models import (  # noqa: E402
    BUDGET,
    CACHED,
    CAUSAL,
    IN_FLOAT32,
    LETTERS,
    PROMPTS,
    Oracle,
    along,
    finished,
    make,
    save_tokenizer,
)

from textgym import Episode, EveryStep, Terminal, TextGenVectorEnv, Vocabulary  # noqa: E402
from textgym.episode import Step  # noqa: E402
from textgym.metrics.language_model import FORMS, LogLikelihood  # noqa: E402


class Rows:
    """Texts of n rows as an environment holds them, any of which take part in a step."""

    def __init__(self, n, vocabulary=LETTERS):
        self.vocabulary = vocabulary
        self.written, self.lengths = np.full((n, BUDGET), vocabulary.pad, np.int32), np.zeros(n, np.int64)
        self.episodes = [Episode()] * n

    def reset(self, progress, rows, prompts):
        for row, prompt in zip(rows, prompts, strict=True):
            self.episodes[row] = Episode(prompt)
        self.lengths[rows] = 0
        progress.reset(np.array(rows), [self.episodes[row] for row in rows])

    def step(self, rows, actions):
        rows, actions = np.array(rows), np.array(actions)
        self.written[rows, self.lengths[rows]] = actions
        self.lengths[rows] += 1
        step = Step(rows, actions, self.episodes, self.written, self.vocabulary)
        step.lengths, step.ended = self.lengths[rows], step.finished
        return step

    def pairs(self, rows, begin=8):
        """The contexts and texts of ``rows`` in ids; ``begin``: the one before a text without prompt."""
        contexts = [self.vocabulary.encode(self.episodes[row].prompt).tolist() or [begin] for row in rows]
        return [(tuple(c), tuple(self.written[r, : self.lengths[r]])) for c, r in zip(contexts, rows, strict=True)]


def play(metric, seed, n=4, steps=30):
    """Random steps of random rows, resets, copies, restores: contexts and texts at all steps, values, final scores."""
    rng, rows = np.random.default_rng(seed), Rows(n)
    progress, saved = metric.start_rows(n, LETTERS), None
    pairs, values, scores = [], [], []
    rows.reset(progress, list(range(n)), rng.choice(PROMPTS, n))
    for _ in range(steps):
        chance = rng.random()
        if chance < 0.15:
            some = np.flatnonzero(rng.random(n) < 0.5).tolist() or [0]
            rows.reset(progress, some, rng.choice(PROMPTS, len(some)))
        elif chance < 0.2:
            saved = copy.deepcopy(rows), pickle.loads(pickle.dumps(progress.get_state()))
        elif chance < 0.3 and saved:
            rows = copy.deepcopy(saved[0])
            progress.set_state(saved[1])
        elif chance < 0.33:
            progress = copy.deepcopy(progress)
        present = 0.6 if rng.random() < 0.3 else 1.0
        some = np.flatnonzero((rng.random(n) < present) & (rows.lengths < BUDGET)).tolist()
        if some:
            step = rows.step(some, rng.integers(0, LETTERS.size, len(some)))
            pairs += rows.pairs(some)
            values += progress.value(step).tolist()
            scores += metric.score_rows(step).tolist()
    return pairs, values, scores


def check_play(path, seeds, rel):
    metric, oracle = LogLikelihood(path, "sum"), Oracle(path)
    for seed in seeds:
        pairs, values, scores = play(metric, seed)
        expected = pytest.approx(oracle(pairs), rel=rel, abs=rel / 100)
        assert values == expected and scores == expected
    return metric


@pytest.mark.parametrize("kind", ["gpt2", "sliding", "recurrent"])
def test_the_log_likelihood_is_that_of_a_plain_forward_at_every_prefix(kind, models):
    rel = 1e-4 if kind in IN_FLOAT32 else 1e-9
    metric = check_play(models(kind, torch.float64), range(2), rel)
    assert metric.model.cached == (kind in CACHED)


def test_it_is_so_in_float32(models):
    check_play(models("gpt2"), range(2), 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CAUSAL)
def test_it_is_so_for_many_plays_of_many_models(kind, models):
    check_play(models(kind), range(20), 1e-4)
    metric = check_play(models(kind, torch.float64), range(20), 1e-4 if kind in IN_FLOAT32 else 1e-9)
    assert metric.model.cached == (kind in CACHED)


def test_a_token_costs_the_reading_of_one(models, monkeypatch):
    metric, rows, read = LogLikelihood(models("gpt2")), Rows(3), []
    forward = metric.model.model.forward
    monkeypatch.setattr(
        metric.model.model, "forward", lambda *a, **k: read.append(k["input_ids"].shape) or forward(*a, **k)
    )
    progress = metric.start_rows(3, LETTERS)
    rows.reset(progress, [0, 1, 2], ["abc", "", "deed"])
    for t in range(BUDGET):
        if t == 12:
            rows.reset(progress, [1], ["cab"])
        progress.value(rows.step([0, 1, 2], [0, 1, 2]))
    one = (3, 1)
    assert read == [(3, 4), *[one] * 11, one, (1, 3), *[one] * 7]
    state = progress.get_state()
    assert list(state) == ["sums"]  # keys and values are not saved
    progress.set_state(state)
    rows.lengths[:] = BUDGET - 1
    read.clear()
    progress.value(rows.step([0, 1, 2], [0, 1, 2]))
    assert read == [(3, 4 + BUDGET - 1)]  # read again, once


def test_a_restored_row_is_not_taken_for_one_of_the_same_length(models):
    metric, rows = LogLikelihood(models("gpt2"), "sum"), Rows(1)
    progress = metric.start_rows(1, LETTERS)
    rows.reset(progress, [0], ["abc"])
    progress.value(rows.step([0], [2]))
    saved = copy.deepcopy(rows), progress.get_state()
    rows.reset(progress, [0], ["deed"])
    progress.value(rows.step([0], [3]))
    rows = saved[0]
    progress.set_state(saved[1])
    value = progress.value(rows.step([0], [1]))
    assert value == pytest.approx(Oracle(models("gpt2"))(rows.pairs([0])), rel=1e-4)


def test_a_token_that_the_model_holds_impossible_counts_as_little_as_float32_allows(models, monkeypatch):
    metric, rows = LogLikelihood(models("gpt2")), Rows(1)
    logits = metric.model.logits
    monkeypatch.setattr(
        metric.model, "logits", lambda *a, **k: logits(*a, **k).index_fill(-1, torch.tensor([2]), -np.inf)
    )
    progress = metric.start_rows(1, LETTERS)
    rows.reset(progress, [0], ["a"])
    step = rows.step([0], [2])
    assert progress.value(step) == metric.score_rows(step) == -100.0


def test_forms_and_conditions(models):
    path, rows = models("gpt2", torch.float64), Rows(2)
    metrics = {form: LogLikelihood(path, form) for form in FORMS}
    followed = {form: metric.start_rows(2, LETTERS) for form, metric in metrics.items()}
    alone = LogLikelihood(path, "sum", condition="none")
    followed["alone"] = alone.start_rows(2, LETTERS)
    for progress in followed.values():
        rows.reset(progress, [0, 1], ["abc", ""])
    oracle, eos = Oracle(path), LETTERS.eos
    for t, actions in enumerate([(0, 5), (3, 3), (eos, 1)], 1):  # EOS is a token as any other
        step = rows.step([0, 1], actions)
        values = {form: progress.value(step) for form, progress in followed.items()}
        sums = oracle(rows.pairs([0, 1]))
        assert values["sum"] == pytest.approx(sums) and values["mean"] == pytest.approx(sums / t)
        assert values["perplexity"] == pytest.approx(np.exp(-sums / t)) and (values["perplexity"] > 1).all()
        assert values["probability"] == pytest.approx(np.exp(sums / t)) and (values["probability"] < 1).all()
        assert values["alone"] == pytest.approx(oracle([((8,), text) for _, text in rows.pairs([0, 1])]))
        for form, metric in metrics.items():
            assert metric.score_rows(step) == pytest.approx(values[form])
    assert values["alone"][1] == values["sum"][1] and values["alone"][0] != values["sum"][0]
    worst = {form: metric.worst for form, metric in metrics.items()}
    assert worst == {"mean": -20, "sum": -1e4, "perplexity": np.exp(20), "probability": 0}
    assert LogLikelihood(path, worst=-3).worst == -3.0


def test_a_model_without_bos_begins_texts_with_eos(models, tmp_path):
    for bos, eos, begin in ((8, 6, 8), (None, 7, 7), (99, 7, 7), (None, None, LETTERS.eos)):
        model = transformers.AutoModelForCausalLM.from_pretrained(models("gpt2"))
        model.config.bos_token_id, model.config.eos_token_id = bos, eos
        model.save_pretrained(tmp_path)
        metric, rows = LogLikelihood(tmp_path, "sum"), Rows(1)
        progress = metric.start_rows(1, LETTERS)
        rows.reset(progress, [0], [""])
        value = progress.value(rows.step([0], [2]))
        assert value == pytest.approx(Oracle(tmp_path)(rows.pairs([0], begin)), rel=1e-4)


# -- in environments ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["single", *MODES])
def test_environments_pay_it_at_every_token_and_report_it_at_the_end(mode, phrases):
    path, vocabulary = phrases
    metric = LogLikelihood(path)
    kwargs = {"tokenizer": vocabulary, "reward": [EveryStep(metric), Terminal(metric)], "metrics": [metric]}
    kwargs |= {"mask": {"name": "banned", "tokens": [3]}, "budget": 8}
    env, n = make(mode, 3, **kwargs)
    oracle = transformers.GPT2LMHeadModel.from_pretrained(path)
    likely, ends, illegal = [*range(40, 60), 3, vocabulary.eos], 0, 0
    for texts, episodes, rewards, taking_part, over, info in along(env, mode, likely, 75 // n):
        for row in np.flatnonzero(taking_part):
            expected = metric.worst
            if texts[row][-1] != 3:
                context = vocabulary.encode(episodes[row].prompt).tolist() or [8]
                ids = torch.tensor([context + texts[row]])
                labels = ids.clone()
                labels[:, : len(context)] = -100
                with torch.no_grad():
                    expected = -oracle(ids, labels=labels).loss.item()
            assert rewards[row] == pytest.approx(expected * (1 + over[row]), rel=1e-4)
            if over[row]:
                reported = np.atleast_1d(info.get("final_info", info)["log_likelihood"])[row]
                assert reported == pytest.approx(expected, rel=1e-4)
            ends, illegal = ends + over[row], illegal + (expected == metric.worst)
    assert ends > 5 and illegal > 1


def test_environments_with_a_model_are_saved_copied_and_pickled_in_mid_episode(phrases):
    path, vocabulary = phrases
    reward = {"name": "every_step", "metric": LogLikelihood(path, "sum")}
    env = TextGenVectorEnv(Phrases, 3, tokenizer=vocabulary, reward=reward, autoreset_mode="SameStep")
    rng = np.random.default_rng(0)
    observation, _ = env.reset(seed=0)
    for _ in range(7):
        observation, *_ = env.step(some_tokens(rng, env, observation))
    saved = pickle.loads(pickle.dumps(env.get_state()))
    copies = [copy.deepcopy(env), pickle.loads(pickle.dumps(env)), env]
    metrics = [each.state.paying.metrics.followed[0].metric for each in copies]
    assert metrics[0] is metrics[2] is not metrics[1]  # a copy shares the model, what is unpickled has loaded it again
    actions = rng.integers(0, 60, (6, 3))
    paid = [[each.step(tokens)[1] for tokens in actions] for each in copies]
    env.set_state(saved)
    paid.append([env.step(tokens)[1] for tokens in actions])
    for again in paid[1:]:
        np.testing.assert_allclose(again, paid[0], rtol=1e-4)


# -- the model's own tokens ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["single", "SameStep"])
def test_own_tokens_are_those_of_prompt_and_text_as_one_string(mode, phrases):
    path, vocabulary = phrases
    letters = Phrases(tokenizer="character").vocabulary
    metric = LogLikelihood(path, "sum", tokens="own")
    kwargs = {"tokenizer": letters, "reward": [EveryStep(metric)], "metrics": [metric], "budget": 12}
    env, n = make(mode, 2, **kwargs)
    oracle = Oracle(path)
    for texts, episodes, rewards, _, over, info in along(env, mode, letters.size, 25):
        for row in range(n):
            prompt, text = episodes[row].prompt, letters.decode(texts[row])
            before, ids = vocabulary.encode(prompt).tolist(), vocabulary.encode(prompt + text).tolist()
            while before != ids[: len(before)]:
                before.pop()  # cut in another way, or one token with the beginning of the text
            context = tuple(before) or (8,)
            expected = oracle([(context, tuple(ids[len(before) :]))])[0] if text else metric.worst
            assert rewards[row] == pytest.approx(expected, rel=1e-4)
            if over[row]:
                assert np.atleast_1d(info.get("final_info", info)[metric.name])[row] == pytest.approx(
                    expected, rel=1e-4
                )


def test_own_tokens_by_hand(phrases):
    path, vocabulary = phrases
    metric, oracle = LogLikelihood(path, "sum", tokens="own"), Oracle(path)
    the, *rest = the_ca = vocabulary.encode("the ca").tolist()  # the, ␠c, a
    ab = vocabulary.encode("ab").tolist()
    assert len(rest) == 2 and len(ab) == 1
    contexts, texts = metric.own.cut(["", "the", "th", "a", "the ca"], ["the ca", " ca", "e ca", "b", ""])
    assert contexts == [[8], [the], [8], [8], the_ca] and texts == [the_ca, rest, the_ca, ab, []]
    episodes = [Episode(""), Episode("the"), Episode("a"), Episode("the ca")]
    values = metric.score_rows(finished(["the ca", " ca", "b", ""], episodes))
    expected = oracle([((8,), tuple(the_ca)), ((the,), tuple(rest)), ((8,), tuple(ab))])
    assert values == pytest.approx([*expected, metric.worst], rel=1e-4)
    alone = LogLikelihood(path, "sum", "none", "own").score_rows(finished(["the ca"], [Episode("the")]))
    assert alone == pytest.approx(expected[:1], rel=1e-4)


def test_a_bos_that_the_tokenizer_puts_first_stands_before_prompt_and_text(phrases, tmp_path):
    path, vocabulary = phrases
    transformers.AutoModelForCausalLM.from_pretrained(path).save_pretrained(tmp_path)
    tokenizer = Vocabulary.load(path).tokenizer
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<eos> $A <eos>", special_tokens=[("<eos>", vocabulary.eos)]
    )
    save_tokenizer(tmp_path, tokenizer, bos_token="<eos>", eos_token="<eos>")
    metric, (the, *rest) = LogLikelihood(tmp_path, tokens="own"), vocabulary.encode("the ca").tolist()
    contexts, texts = metric.own.cut(["the", "", ""], [" ca", "the ca", ""])
    eos = vocabulary.eos
    assert contexts == [[eos, the], [eos], [eos]] and texts == [rest, [the, *rest], []]
