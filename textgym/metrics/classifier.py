"""A classifier's opinion of the text: the probability that it gives to a class."""

from __future__ import annotations

import os

from textgym.errors import one_of, whole_number
from textgym.metrics.base import BatchMetric
from textgym.metrics.embedding import TextReader


class ClassifierProbability(BatchMetric):
    """The probability, in [0, 1], that a sequence classifier gives to a class (a sentiment, say), for the text so far.

    A softmax over the classes. Of a model with one output (a reward model) or of ``problem_type``
    "multi_label_classification" it is the sigmoid of the label's own output. The whole text is read again at every
    token, all rows in one batch, so that the cost of a token grows with the text. Texts that are longer than the model
    reads are cut at their end. References do not matter. In float32 the number of rows that are read at once changes
    values by about 1e-7.

    Args:
        model: a directory with a sequence classifier of ``transformers`` and its tokenizer.
        label: the class: its name (``id2label`` of the model's config) or its index.
        device: "cpu", "cuda", "cuda:1", ..., or "auto": a GPU where there is one.
        with_prompt: the classifier reads the prompt, too, directly before the text.

    Raises:
        FileNotFoundError: no such directory, or no tokenizer in it.
        ValueError: no sequence classifier in it, no such label or device, or neither a padding token nor EOS.
        ImportError: ``transformers`` is not installed.

    Attributes:
        labels: the names of the classes.
        index: of the class in ``labels``.
    """

    name = "classifier_probability"

    def __init__(self, model: str | os.PathLike, label: str | int, device: str = "cpu", with_prompt: bool = False):
        path = os.fspath(model)
        self.arguments = (path, label, device, with_prompt)
        self.with_prompt = with_prompt
        self.reader = TextReader("sequence classifier", path, device)
        config = self.reader.model.config
        self.labels = [config.id2label[i] for i in range(config.num_labels)]
        if isinstance(label, str):
            self.index = self.labels.index(one_of("label", label, self.labels))
        else:
            labels = ", ".join(f"{i} ({name})" for i, name in enumerate(self.labels))
            kind = f"label of a classifier with the labels {labels}"
            self.index = whole_number(kind, label, 0, len(self.labels) - 1)
        self.each_alone = config.num_labels == 1 or config.problem_type == "multi_label_classification"
        if self.reader.pad is None:
            raise ValueError(f"the tokenizer in {path!r} has neither a padding token nor EOS: give it a pad_token")
        config.get_text_config().pad_token_id = self.reader.pad  # decoders look for the last token that is none

    def __reduce__(self):
        return type(self), self.arguments

    def start_rows(self, n, vocabulary=None):
        from textgym.metrics.pretrained import Reread

        return Reread(self)

    def score_rows(self, step):
        texts = step.texts
        if self.with_prompt:
            texts = [episode.prompt + text for episode, text in zip(step.episodes, texts, strict=True)]
        logits = self.reader.read(texts)[0].logits.double()  # (k, classes)
        p = logits.sigmoid() if self.each_alone else logits.softmax(1)
        return p[:, self.index].cpu().numpy()
