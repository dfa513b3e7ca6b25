"""What the metrics of a model on disk share: reading texts again in environments, recipes, what cannot be loaded."""

import copy
import json
import pickle

import numpy as np
import pytest
from helpers import MODES, Phrases

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from saved_models import BYTES, SMALL, along, finished, make  # noqa: E402

from textgym import EveryStep, Terminal, TextGenEnv  # noqa: E402
from textgym.metrics.classifier import ClassifierProbability  # noqa: E402
from textgym.metrics.embedding import EmbeddingSimilarity  # noqa: E402
from textgym.metrics.language_model import LogLikelihood  # noqa: E402


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
    for fails, error, words in [
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
            fails()
    env_of(LogLikelihood(phrases[0], condition="none"), phrases[1], budget=80)


def env_of(metric, vocabulary, budget=20):
    return TextGenEnv(Phrases, tokenizer=vocabulary, reward=Terminal(metric), budget=budget)
