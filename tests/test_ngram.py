"""Language models: n-grams against the formulas of the textbooks, causal models against one text at a time."""

import pickle
from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgym import Episode, Vocabulary
from textgym.envs.masks import TopK
from textgym.ngram import LanguageModel, NGramModel, PretrainedModel
from textgym.tasks import make_task

START = -1
SIZE = 4
corpora = st.lists(st.lists(st.integers(0, SIZE - 1), max_size=8), max_size=6)
texts = st.lists(st.integers(0, SIZE - 1), max_size=6)
smoothings = st.sampled_from([("laplace", 1.0, 0.75), ("laplace", 0.1, 0.75), ("kneser_ney", 1.0, 0.75)]) | st.tuples(
    st.just("kneser_ney"), st.just(1.0), st.floats(0.05, 1.0)
)


def occurrences(corpus, ngram):
    return sum(
        (START, *text)[i : i + len(ngram)] == ngram for text in corpus for i in range(len(text) + 2 - len(ngram))
    )


def kneser_ney(corpus, order, discount, context, token):
    """Interpolated, by its formula; counts are looked up in the corpus whenever they are needed."""

    def adjusted(c, w):
        if len(c) == order - 1 or c[:1] == (START,):
            return occurrences(corpus, (*c, w))
        return sum(occurrences(corpus, (v, *c, w)) > 0 for v in (START, *range(SIZE)))

    lower = kneser_ney(corpus, order, discount, context[1:], token) if context else 1 / SIZE
    after = [adjusted(context, w) for w in range(SIZE)]
    if not sum(after):
        return lower
    kept = max(after[token] - discount, 0)
    return (kept + discount * sum(count > 0 for count in after) * lower) / sum(after)


def laplace(corpus, order, alpha, context, token):
    after = [occurrences(corpus, (*context, w)) for w in range(SIZE)]
    if context and not sum(after):
        return laplace(corpus, order, alpha, context[1:], token)
    return (after[token] + alpha) / (sum(after) + alpha * SIZE)


@settings(deadline=None, max_examples=150)
@given(corpora, texts, st.integers(1, 4), smoothings)
def test_probabilities_are_those_of_the_formulas(corpus, text, order, smoothing):
    name, alpha, discount = smoothing
    model = NGramModel(SIZE, order, name, alpha, discount).fit(corpus)
    context = (START, *text)[max(0, len(text) + 2 - order) :]
    if name == "laplace":
        expected = [laplace(corpus, order, alpha, context, w) for w in range(SIZE)]
    else:
        expected = [kneser_ney(corpus, order, discount, context, w) for w in range(SIZE)]
    found = model.log_probs([np.array(text, np.int32)])
    assert found.shape == (1, SIZE) and found.dtype == np.float64
    np.testing.assert_allclose(np.exp(found[0]), expected, atol=1e-12)
    assert np.exp(found).sum() == pytest.approx(1.0, abs=1e-12)
    for token in range(SIZE):
        assert model.log_prob(text, token) == pytest.approx(found[0, token], abs=1e-12)
        assert model.log_prob(np.array(text[-3:]), token) == model.log_prob(text, token)  # order - 1 ids will do


@settings(deadline=None, max_examples=60)
@given(corpora, st.lists(texts, max_size=5), st.integers(1, 4), smoothings)
def test_many_texts_at_once_are_one_at_a_time(corpus, batch, order, smoothing):
    name, alpha, discount = smoothing
    model = pickle.loads(pickle.dumps(NGramModel(SIZE, order, name, alpha, discount).fit(corpus)))
    together = model.log_probs([np.array(text, np.int64) for text in batch])
    assert together.shape == (len(batch), SIZE) and np.isfinite(together).all()
    for row, text in zip(together, batch, strict=True):
        np.testing.assert_array_equal(row, model.log_probs([text])[0])


@pytest.mark.parametrize("smoothing", ["laplace", "kneser_ney"])
def test_every_context_of_a_longer_corpus_sums_to_one(smoothing):
    rng = np.random.default_rng(0)
    size = 50
    corpus = [rng.zipf(1.5, size=40) % size for _ in range(200)]
    model = NGramModel(size, 3, smoothing).fit(corpus)
    contexts = [*product(range(-1, size), repeat=2)]
    p = np.exp(model.log_probs([np.array([t for t in c if t >= 0]) for c in contexts]))
    assert (p > 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-12)


def test_kneser_ney_asks_how_many_contexts_a_token_follows():
    # 1 is frequent, but stands after 0 only; 2 is rarer and stands after everything
    corpus = [[0, 1]] * 9 + [[0, 2], [1, 2], [2, 2], [3, 2]]
    counts = Counter(token for text in corpus for token in text)
    assert counts[1] > counts[2]
    model = NGramModel(SIZE, 2, "kneser_ney").fit(corpus)
    after_3 = np.exp(model.log_probs([[3]])[0])
    after_0 = np.exp(model.log_probs([[0]])[0])
    assert after_3[2] > after_3[1] and after_0[1] > after_0[2]
    assert NGramModel(SIZE, 1, "laplace").fit(corpus).log_probs([[3]])[0].argmax() == 0


def test_what_was_learnt_before_is_forgotten_and_a_model_of_nothing_is_uniform():
    model = NGramModel(SIZE, 3, "kneser_ney")
    np.testing.assert_allclose(np.exp(model.log_probs([[], [1, 2, 3]])), 1 / SIZE)
    model.fit([[0, 1, 2]])
    again = model.fit([[3, 3]]).log_probs([[0, 1]])
    np.testing.assert_array_equal(again, NGramModel(SIZE, 3, "kneser_ney").fit([[3, 3]]).log_probs([[0, 1]]))
    assert np.exp(model.log_prob([3, 3], 3)) > np.exp(model.log_prob([3, 3], 0))


def test_a_model_of_a_task_learns_references_with_their_ends():
    task = make_task("textgym.tasks.symbolic:Copy", split="train")
    for smoothing in ("laplace", "kneser_ney"):
        model = NGramModel.of_task(task, order=2, smoothing=smoothing, episodes=50)
        assert model.smoothing == smoothing and model.size == task.vocabulary.size
        assert model.log_prob([], task.vocabulary.eos) < model.log_prob([0], task.vocabulary.eos)
    with pytest.raises(ValueError, match="split 'train'.*split 'validation'"):
        NGramModel.of_task(make_task("textgym.tasks.symbolic:Copy", split="validation"))


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"order": 0}, "order of an n-gram model must be a whole number, at least 1, got 0"),
        ({"alpha": 0}, "alpha > 0"),
        ({"alpha": float("nan")}, "alpha=nan"),
        ({"discount": 0.0}, "discount"),
        ({"discount": 1.5}, "discount=1.5"),
        ({"smoothing": "knese_ney"}, "Did you mean 'kneser_ney'"),
    ],
)
def test_bad_arguments_are_refused(arguments, words):
    with pytest.raises(ValueError) as raised:
        NGramModel(SIZE, **arguments)
    assert words in str(raised.value)


class Favourite(LanguageModel):
    """A user's model: the id that is as large as the text is long is the likeliest."""

    def log_probs(self, texts):
        scores = -np.abs(np.arange(9)[None] - np.array([len(text) for text in texts])[:, None])
        return np.log(np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True))


def test_a_users_model_is_asked_for_all_rows_at_once():
    asked = []

    class Recorded(Favourite):
        def log_probs(self, texts):
            asked.append([text.tolist() for text in texts])
            return super().log_probs(texts)

    task = make_task("textgym.tasks.symbolic:Copy")
    tokens = np.full((3, task.prompt_length + task.budget), task.vocabulary.pad, np.int32)
    tokens[0, :2] = tokens[1, :1] = tokens[2, task.prompt_length] = 5
    legal = TopK(task, 3, Recorded()).legal_tokens(tokens, np.array([0, 0, 1]), [Episode()] * 3)
    assert asked == [[[5, 5], [5], [5]]]
    assert [np.flatnonzero(row).tolist() for row in legal] == [[1, 2, 3], [0, 1, 2], [0, 1, 2]]
    assert Favourite().log_prob([5, 5, 5], 3) == Favourite().log_probs([[5, 5, 5]])[0, 3]


# -- causal models on disk --------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["gpt2", "llama", "mamba"])
def pretrained(request, tmp_path_factory):
    """(our model, theirs): with learnt positions, rotary ones, and a recurrent state."""
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    ends = {"bos_token_id": 8, "eos_token_id": 8, "pad_token_id": 8}
    config = {
        "gpt2": lambda: transformers.GPT2Config(
            vocab_size=12, n_positions=16, n_embd=8, n_layer=2, n_head=2, initializer_range=1.0, **ends
        ),
        "llama": lambda: transformers.LlamaConfig(
            vocab_size=12,
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=2,
            num_attention_heads=2,
            initializer_range=1.0,
            **ends,
        ),
        "mamba": lambda: transformers.MambaConfig(
            vocab_size=12, hidden_size=8, state_size=4, num_hidden_layers=2, initializer_range=1.0, **ends
        ),
    }[request.param]()
    path = tmp_path_factory.mktemp(request.param)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(path)
    return PretrainedModel(str(path), Vocabulary.characters(["abcdefgh"])), (
        transformers.AutoModelForCausalLM.from_pretrained(path).eval()
    )


@pytest.mark.parametrize("keeps_some", [True, False])
def test_texts_of_any_lengths_are_read_in_one_forward(pretrained, keeps_some, monkeypatch):
    import torch

    ours, theirs = pretrained
    monkeypatch.setattr(ours, "keeps_some", ours.keeps_some and keeps_some)
    calls = []
    hook = ours.model.register_forward_hook(lambda *_: calls.append(1))
    rng = np.random.default_rng(0)
    texts = [rng.integers(0, 9, size=n) for n in (3, 1, 0, 12, 7, 7, 2)]
    found = ours.log_probs(texts)
    hook.remove()
    assert len(calls) == 1 and found.shape == (7, 9) and found.dtype == np.float64
    for row, text in zip(found, texts, strict=True):
        with torch.no_grad():
            logits = theirs(torch.tensor([text.tolist() or [8]])).logits[0, -1, :9]
        np.testing.assert_allclose(row, logits.double().log_softmax(-1).numpy(), atol=1e-4)
    assert ours.log_prob(texts[3], 2) == pytest.approx(found[3, 2], abs=1e-4)
    assert ours.log_probs([]).shape == (0, 9)
