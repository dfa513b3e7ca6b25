"""Metrics with a model: equal to a plain forward over the whole text at every prefix, whatever rows do meanwhile."""

import copy
import json
import pickle
import sys
import types

import numpy as np
import pytest
from helpers import MODES, Phrases, some_tokens
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers import models as models_of_tokens

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from textgym import Episode, EveryStep, Terminal, TextGenEnv, TextGenVectorEnv, Vocabulary  # noqa: E402
from textgym.episode import Step  # noqa: E402
from textgym.metrics.classifier import ClassifierProbability  # noqa: E402
from textgym.metrics.embedding import EmbeddingSimilarity  # noqa: E402
from textgym.metrics.language_model import FORMS, LogLikelihood  # noqa: E402

BYTES = Vocabulary.byte_bpe(["a"], size=257)
LETTERS = Vocabulary.characters("abcde ")  # 6 characters and EOS
PROMPTS = ["", "a", "abc", "bad cab deed"]
SIZE, POSITIONS, BUDGET = 11, 40, 20  # of the models: some more tokens than the vocabulary has
SMALL = {"vocab_size": SIZE, "hidden_size": 16, "num_attention_heads": 4, "num_hidden_layers": 2}
SMALL |= {"intermediate_size": 16, "max_position_embeddings": POSITIONS, "initializer_range": 0.5}
SMALL |= {"bos_token_id": 8, "eos_token_id": 6, "pad_token_id": 9}
CAUSAL = {
    "gpt2": lambda: transformers.GPT2Config(**SMALL),
    "llama": lambda: transformers.LlamaConfig(**SMALL, num_key_value_heads=2),
    "sliding": lambda: transformers.MistralConfig(**SMALL, num_key_value_heads=2, sliding_window=3),
    "mixed": lambda: transformers.Gemma3TextConfig(**SMALL, num_key_value_heads=1, head_dim=4, sliding_window=4),
    "local": lambda: transformers.GPTNeoConfig(
        **SMALL, window_size=4, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]]
    ),
    "opt": lambda: transformers.OPTConfig(**SMALL, ffn_dim=16, word_embed_proj_dim=16),
    "alibi": lambda: transformers.BloomConfig(**SMALL, n_head=4, n_layer=2),
    "recurrent": lambda: transformers.MambaConfig(**SMALL, state_size=4),
}
CACHED = set(CAUSAL) - {"alibi", "recurrent"}
IN_FLOAT32 = {"local", "alibi", "recurrent"}  # compute some things in float32, always


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def save_tokenizer(path, tokenizer, **special):
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(path)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Kind and dtype of a causal model -> the directory where it is, made once."""
    folder = tmp_path_factory.mktemp("models")

    def path_of(kind, dtype=torch.float32):
        path = folder / f"{kind}-{dtype}"
        if not path.exists():
            torch.manual_seed(1)
            transformers.AutoModelForCausalLM.from_config(CAUSAL[kind]()).to(dtype).save_pretrained(path)
        return str(path)

    return path_of


class Oracle:
    """The log-likelihoods of texts after their contexts, by plain forwards over both."""

    def __init__(self, path):
        self.model = transformers.AutoModelForCausalLM.from_pretrained(path).eval()

    def __call__(self, pairs):
        """float64 (k,), for pairs of tuples of ids; a text that begins another one has its part of its forward."""
        known = {}
        for context, text in sorted(pairs, key=lambda pair: -len(pair[1])):
            if (context, text) not in known:
                ids = torch.tensor([context + text])
                with torch.no_grad():
                    log_p = self.model(ids).logits.double().log_softmax(-1)[0]
                sums = [0.0]
                for i in range(len(context), ids.shape[1]):
                    sums.append(sums[-1] + log_p[i - 1, ids[0, i]].item())
                known |= {(context, text[:i]): value for i, value in enumerate(sums)}
        return np.array([known[pair] for pair in pairs])


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


@pytest.fixture(scope="module")
def phrases(tmp_path_factory):
    """A directory with a tokenizer, the vocabulary of ``Phrases`` that it makes, and a GPT-2 for it."""
    path = tmp_path_factory.mktemp("phrases")
    save_tokenizer(path, Phrases(tokenizer="byte_bpe").vocabulary.tokenizer, eos_token="<eos>")
    vocabulary = Vocabulary.load(path)
    config = transformers.GPT2Config(
        **SMALL | {"vocab_size": vocabulary.size, "max_position_embeddings": 80, "eos_token_id": vocabulary.eos}
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(path)
    return path, vocabulary


def make(mode, n, **kwargs):
    """An environment and its number of rows."""
    if mode == "single":
        return TextGenEnv(Phrases, **kwargs), 1
    return TextGenVectorEnv(Phrases, n, autoreset_mode=mode, **kwargs), n


def along(env, mode, likely, steps):
    """Random steps: the texts' tokens by hand, the episodes, rewards, which rows took part, which ended, infos."""
    single, rng = mode == "single", np.random.default_rng(0)
    env.reset(seed=0)
    n = 1 if single else env.num_envs
    texts, over = [[] for _ in range(n)], np.zeros(n, bool)
    for _ in range(steps):
        if over.any() and mode in ("single", "Disabled"):
            env.reset(**({} if single else {"options": {"reset_mask": over}}))
        waiting = over & (mode == "NextStep")
        texts = [[] if o else text for o, text in zip(over, texts, strict=True)]
        episodes, actions = list(env.state.episodes), rng.choice(likely, n)
        for row in np.flatnonzero(~waiting):
            texts[row] = [*texts[row], int(actions[row])]
        _, rewards, over, _, info = env.step(actions[0] if single else actions)
        over = np.atleast_1d(over)
        yield texts, episodes, np.atleast_1d(rewards), ~waiting, over, info


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


def finished(texts, episodes):
    """The last step of some texts, in bytes."""
    ids = [BYTES.encode(text) for text in texts]
    written = np.full((len(ids), 80), BYTES.pad, np.int32)
    for row, text in zip(written, ids, strict=True):
        row[: len(text)] = text
    step = Step(np.arange(len(ids)), np.zeros(len(ids), int), episodes, written, BYTES)
    step.lengths = np.array([len(text) for text in ids])
    return step


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


# -- embeddings and classes --------------------------------------------------------------------------------

WORDS = ["the", "cat", "sat", "on", "a", "mat", "dog", "ran", "far", "off"]
TEXTS = ["the cat sat", "a dog", "", "the cat", "mat on the mat far off the mat", "dog cat dog", "unknown"]


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    """Name -> directory: encoders and classifiers; tokens are words, GPT-2's without [CLS] and [SEP]."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer = Tokenizer(models_of_tokens.WordLevel({w: i for i, w in enumerate(special + WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]"}
    size = {**SMALL, "vocab_size": 14, "max_position_embeddings": 12, "pad_token_id": 0}
    labels = {"id2label": {0: "sad", 1: "so so", 2: "glad"}, "label2id": {"sad": 0, "so so": 1, "glad": 2}}
    bert, gpt2 = transformers.BertConfig, transformers.GPT2Config
    without_pad = {**size, "pad_token_id": None, "eos_token_id": 3}
    made = {
        "bert": transformers.BertModel(bert(**size)),
        "masked": transformers.BertForMaskedLM(bert(**size)),
        "classifier": transformers.BertForSequenceClassification(bert(**size, **labels)),
        "several": transformers.BertForSequenceClassification(bert(**size, problem_type="multi_label_classification")),
        "reward": transformers.BertForSequenceClassification(bert(**size, num_labels=1)),
        "roberta": transformers.RobertaModel(transformers.RobertaConfig(**size | {"pad_token_id": 1})),
        "t5": transformers.T5Model(
            transformers.T5Config(vocab_size=14, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
        ),
        "gpt2": transformers.GPT2Model(gpt2(**size)),
        "decoder": transformers.GPT2ForSequenceClassification(gpt2(**without_pad, **labels)),
    }
    folder = tmp_path_factory.mktemp("encoders")
    for name, model in made.items():
        model.save_pretrained(folder / name)
        if name in ("gpt2", "decoder"):
            tokenizer.post_processor = None
            save_tokenizer(folder / name, tokenizer, **({"eos_token": "[SEP]"} if name == "decoder" else names))
        else:
            tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
            save_tokenizer(folder / name, tokenizer, **names, cls_token="[CLS]", sep_token="[SEP]")
    return {name: str(folder / name) for name in made}


def embedded(path, text, pooling):
    """The embedding of one text, alone."""
    tokenizer, model = (
        transformers.AutoTokenizer.from_pretrained(path),
        transformers.AutoModel.from_pretrained(path).eval(),
    )
    inputs = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        reads = model.get_encoder() if model.config.is_encoder_decoder else model
        hidden = reads(**inputs).last_hidden_state[0]
    return {"mean": hidden.mean(0), "cls": hidden[0], "last": hidden[-1]}[pooling].double()


@pytest.mark.parametrize(
    "name, pooling",
    [("bert", "mean"), ("masked", "cls"), ("bert", "last"), ("t5", "mean"), ("gpt2", "last"), ("roberta", "cls")],
)
def test_the_similarity_is_the_cosine_with_the_best_reference(name, pooling, encoders):
    path = encoders[name]
    references = [("the cat sat", "a dog"), ("the cat sat",), ("a",), (), ("off", "a dog ran", "far"), ("off",), ("a",)]
    metric = EmbeddingSimilarity(path, pooling)
    step = finished(TEXTS, [Episode("", each) for each in references])
    values = metric.score_rows(step)
    expected = np.zeros(len(TEXTS))
    for i, (text, each) in enumerate(zip(TEXTS, references, strict=True)):
        if text or name != "gpt2":  # where its tokenizer adds nothing, an empty text has no token: 0
            ours = embedded(path, text, pooling)
            cosines = [torch.cosine_similarity(ours, embedded(path, r, pooling), dim=0).item() for r in each]
            expected[i] = max([0.0, *cosines])
    assert values == pytest.approx(expected, abs=1e-5) and values[0] == pytest.approx(1.0)
    assert (values[np.array(list(map(len, references))) == 0] == 0).all() and (values > 0).sum() > 2
    assert metric.score_rows(step) == pytest.approx(values)  # with the references' embeddings kept
    assert metric.start_rows(7, BYTES).value(step) == pytest.approx(values)
    assert EmbeddingSimilarity(path).encoder.pooling == "mean"


def test_references_are_read_once_and_few_are_kept(encoders, monkeypatch):
    metric = EmbeddingSimilarity(encoders["bert"])
    read, embed = [], metric.encoder.embed
    monkeypatch.setattr(metric.encoder, "embed", lambda texts: read.append(list(texts)) or embed(texts))
    episodes = [Episode("", ("a dog", "off")), Episode("", ("a dog",))]
    first = metric.score_rows(finished(["cat", "mat"], episodes))
    assert metric.score_rows(finished(["cat", "mat"], episodes)) == pytest.approx(first)
    assert read == [["cat", "mat", "a dog", "off"], ["cat", "mat"]]  # one call a step
    monkeypatch.setattr("textgym.metrics.embedding.KEPT", 1)
    assert metric.score_rows(finished(["cat", "mat"], episodes)) == pytest.approx(first)
    metric.score_rows(finished(["cat"], [Episode("", ("far",))]))
    assert set(metric._known) == {"far"}


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_what_is_longer_than_the_model_reads_is_cut(name, encoders):
    metric, long = EmbeddingSimilarity(encoders[name]), " ".join(WORDS * 2)
    cut = " ".join(WORDS[: 10 if name == "bert" else 8])  # beside [CLS] and [SEP]; RoBERTa has two positions less
    assert metric.score_rows(finished([long[:70]], [Episode("", (cut,))])) == pytest.approx([1.0])


def test_a_directory_of_sentence_transformers_is_loaded_by_it(encoders, tmp_path, monkeypatch):
    transformers.AutoModel.from_pretrained(encoders["bert"]).save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(encoders["bert"]).save_pretrained(tmp_path)
    (tmp_path / "modules.json").write_text(json.dumps([]))
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ImportError, match="pip install sentence-transformers, or name a pooling"):
        EmbeddingSimilarity(tmp_path)
    assert EmbeddingSimilarity(tmp_path, "cls").encoder.pooling == "cls"

    class SentenceTransformer:
        def __init__(self, path, device, local_files_only):
            self.given = path, device, local_files_only

        def eval(self):
            return self

        def encode(self, texts, batch_size, convert_to_tensor, normalize_embeddings, show_progress_bar):
            assert batch_size == len(texts) and convert_to_tensor and normalize_embeddings
            angles = torch.tensor([float(len(text)) for text in texts])
            return torch.stack([angles.cos(), angles.sin()], 1)

    module = types.SimpleNamespace(SentenceTransformer=SentenceTransformer)
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    metric = EmbeddingSimilarity(tmp_path)
    assert metric.encoder.model.given == (str(tmp_path), "cpu", True)
    values = metric.score_rows(finished(["abc", "a"], [Episode("", ("ab", "abcdefgh")), Episode("", ("abcd",))]))
    assert values == pytest.approx([np.cos(1), 0.0])


@pytest.mark.parametrize("with_prompt", [False, True])
@pytest.mark.parametrize(
    "name, label", [("classifier", "glad"), ("classifier", 0), ("decoder", "so so"), ("several", 1), ("reward", 0)]
)
def test_the_probability_is_the_classifiers(name, label, with_prompt, encoders):
    path = encoders[name]
    metric = ClassifierProbability(path, label, with_prompt=with_prompt)
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(path).eval()
    expected, episodes = [], [Episode("off the " * (i % 3)) for i in range(len(TEXTS))]
    for text, episode in zip(TEXTS, episodes, strict=True):
        read = episode.prompt * with_prompt + text
        with torch.no_grad():
            logits = model(**tokenizer(read or ("[SEP]" if name == "decoder" else ""), return_tensors="pt")).logits[0]
        p = logits.sigmoid() if name in ("several", "reward") else logits.softmax(0)
        expected.append(p[model.config.label2id.get(label, label)].item())
    step = finished(TEXTS, episodes)
    values = metric.start_rows(len(TEXTS), BYTES).value(step)
    assert values == pytest.approx(expected, rel=1e-4) and len(set(expected)) > 4
    assert metric.score_rows(step) == pytest.approx(expected, rel=1e-4) and values.dtype == np.float64


@pytest.mark.parametrize("mode", ["single", *MODES])
def test_environments_pay_what_is_read_again_at_every_token(mode, encoders):
    metrics = [
        EmbeddingSimilarity(encoders["bert"]),
        ClassifierProbability(encoders["classifier"], "sad", with_prompt=True),
    ]
    kwargs = {"reward": [EveryStep(metric) for metric in metrics], "metrics": metrics, "budget": 6}
    kwargs["tokenizer"] = vocabulary = Phrases(tokenizer="character").vocabulary
    env, n = make(mode, 2, **kwargs)
    ends = 0
    for texts, episodes, rewards, taking_part, over, info in along(env, mode, vocabulary.size, 30 // n):
        for row in np.flatnonzero(taking_part):
            step = finished([vocabulary.decode(texts[row])], [episodes[row]])
            assert rewards[row] == pytest.approx(sum(metric.score_rows(step)[0] for metric in metrics), rel=1e-4)
            ends += over[row]
            for metric in metrics if over[row] else ():
                reported = np.atleast_1d(info.get("final_info", info)[metric.name])[row]
                assert reported == pytest.approx(metric.score_rows(step)[0], rel=1e-4)
    assert ends > 1


# -- recipes and errors ------------------------------------------------------------------------------------


def test_recipes_are_shared_and_pickled_by_their_arguments(models, encoders):
    made = [
        LogLikelihood(models("gpt2"), "perplexity", "none", worst=30),
        EmbeddingSimilarity(encoders["bert"], "cls"),
        ClassifierProbability(encoders["classifier"], "glad", with_prompt=True),
    ]
    for metric in made:
        assert copy.deepcopy(metric) is metric
        pickled = pickle.dumps(metric)
        again = pickle.loads(pickled)
        assert len(pickled) < 1000 and again.arguments == metric.arguments
    assert (again.index, again.with_prompt) == (2, True)
    assert [metric.name for metric in made] == ["perplexity", "embedding_similarity", "classifier_probability"]


def test_errors_say_what_is_wrong(models, encoders, phrases, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    bare, bert, classifier = (encoders[name] for name in ("bert", "masked", "classifier"))
    not_causal = tmp_path / "not_causal"
    transformers.BertLMHeadModel(transformers.BertConfig(**SMALL)).save_pretrained(not_causal)
    character = Phrases(tokenizer="character").vocabulary
    for make, error, words in [
        (lambda: LogLikelihood("gpt2"), FileNotFoundError, "no directory 'gpt2' to load a causal language model"),
        (lambda: ClassifierProbability("x", 0), FileNotFoundError, "save_pretrained"),
        (lambda: LogLikelihood(tmp_path), ValueError, f"no causal language model can be loaded from '{tmp_path}'"),
        (lambda: LogLikelihood(tmp_path / "broken"), ValueError, "no file named model.safetensors"),
        (lambda: LogLikelihood(bert), ValueError, "it holds a BertForMaskedLM"),
        (lambda: LogLikelihood(classifier), ValueError, "it holds a BertForSequenceClassification, which lacks cls"),
        (lambda: LogLikelihood(not_causal), ValueError, "BertLMHeadModel .* looks at the tokens to come"),
        (lambda: ClassifierProbability(bare, 0), ValueError, "it holds a BertModel, which lacks classifier"),
        (lambda: LogLikelihood(models("gpt2"), tokens="own"), FileNotFoundError, "no tokenizer is in"),
        (lambda: LogLikelihood(models("gpt2"), device="cudo"), ValueError, "device 'cudo' cannot be used"),
        (lambda: LogLikelihood(models("gpt2"), "means"), ValueError, "Did you mean 'mean'"),
        (lambda: LogLikelihood(models("gpt2"), condition="promt"), ValueError, "Did you mean 'prompt'"),
        (lambda: LogLikelihood(models("gpt2"), tokens="mine"), ValueError, "own, task"),
        (lambda: LogLikelihood(models("gpt2"), worst=-np.inf), ValueError, "finite number, got -inf"),
        (lambda: EmbeddingSimilarity(bare, "max"), ValueError, "cls, last, mean"),
        (lambda: ClassifierProbability(classifier, "gald"), ValueError, "Did you mean 'glad'.*glad, sad, so so"),
        (
            lambda: ClassifierProbability(classifier, 3),
            ValueError,
            r"0 \(sad\), 1 \(so so\), 2 \(glad\).* from 0 to 2, got 3",
        ),
        (lambda: LogLikelihood(models("gpt2")).start_rows(1, None), ValueError, "environment's vocabulary"),
        (lambda: LogLikelihood(models("gpt2")).start_rows(1, BYTES), ValueError, "11 tokens, the vocabulary has 257"),
        (lambda: env_of(LogLikelihood(models("gpt2")), phrases[1]), ValueError, "11 tokens, the vocabulary has 326"),
        (lambda: env_of(LogLikelihood(phrases[0]), character), ValueError, "in the model's tokenizer: make the env"),
        (lambda: env_of(LogLikelihood(phrases[0]), phrases[1], budget=70), ValueError, "reads 80 tokens, .* need 83"),
    ]:
        with pytest.raises(error, match=words):
            make()
    env_of(LogLikelihood(phrases[0], condition="none"), phrases[1], budget=80)


def env_of(metric, vocabulary, budget=20):
    return TextGenEnv(Phrases, tokenizer=vocabulary, reward=Terminal(metric), budget=budget)
