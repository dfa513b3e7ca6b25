"""Embedding similarity: the cosine with the best reference."""

import json
import sys
import types

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from saved_models import BYTES, TEXTS, WORDS, finished  # noqa: E402

from textgym import Episode  # noqa: E402
from textgym.metrics.embedding import EmbeddingSimilarity  # noqa: E402


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
