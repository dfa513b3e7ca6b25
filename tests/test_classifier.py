"""The probability that a classifier gives a label."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from saved_models import BYTES, TEXTS, finished  # noqa: E402

from textgym import Episode  # noqa: E402
from textgym.metrics.classifier import ClassifierProbability  # noqa: E402


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
