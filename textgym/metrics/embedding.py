"""Similarity of meaning: how near the text's embedding is to a reference's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from textgym.errors import one_of, usable_device
from textgym.metrics.base import BatchMetric
from textgym.running import Recipe

POOLINGS = ("mean", "cls", "last")
KEPT = 4096  # embeddings of references


class EmbeddingSimilarity(BatchMetric):
    """The cosine of the angle between the embeddings of the text and of the best reference; below 0 it counts as 0.

    Embeddings as those of Sentence-BERT (Reimers & Gurevych 2019). In [0, 1]; without references 0. The whole text is
    read again at every token, all rows in one batch, so that the cost of a token grows with the text. Embeddings of
    references are kept. Texts that are longer than the model reads are cut at their end. An empty text is what the
    model makes of it, and 0 where the tokenizer makes no token of it. In float32 the number of rows read at once
    changes values by about 1e-7.

    Args:
        model: a directory with an encoder of ``transformers`` (any that ``AutoModel`` loads; of an encoder-decoder
            model the encoder) and its tokenizer, or with a model of ``sentence_transformers``.
        pooling: how the vectors of the tokens become one: their "mean", that of the first ("cls") or of the "last"
            token. None: as the directory says, if it is of ``sentence_transformers`` (which must be installed), else
            "mean".
        device: "cpu", "cuda", "cuda:1", ..., or "auto": a GPU where there is one.

    Raises:
        FileNotFoundError: no such directory, or no tokenizer in it.
        ValueError: no encoder in it, no such pooling or device.
        ImportError: ``transformers`` (or ``sentence_transformers``) is not installed.
    """

    name = "embedding_similarity"
    needs_references = True

    def __init__(self, model: str | os.PathLike, pooling: str | None = None, device: str = "cpu"):
        path = os.fspath(model)
        self.arguments = (path, pooling, device)
        if pooling is not None:
            one_of("pooling", pooling, POOLINGS)
        if pooling is None and (Path(path) / "modules.json").is_file():
            self.encoder = _SentenceTransformer(path, device)
        else:
            self.encoder = _Encoder(path, pooling or "mean", device)
        self._known: dict[str, object] = {}  # reference -> its embedding, on the device

    def __reduce__(self):
        return type(self), self.arguments

    def start_rows(self, n, vocabulary=None):
        from textgym.metrics.pretrained import Reread

        return Reread(self)

    def score_rows(self, step):
        texts, references = step.texts, [episode.references for episode in step.episodes]
        pairs = [(i, reference) for i, each in enumerate(references) for reference in each]
        values = np.zeros(len(texts))
        if pairs:
            rows, of_pairs = zip(*pairs, strict=True)
            np.maximum.at(values, np.array(rows), self._cosines(texts, rows, of_pairs))
        return np.minimum(values, 1.0)  # rounding

    def _cosines(self, texts: Sequence[str], rows: Sequence[int], references: Sequence[str]) -> np.ndarray:
        """Of the text of each of ``rows`` and the reference beside it."""
        import torch

        if len(self._known) > KEPT:
            self._known.clear()
        new = [reference for reference in dict.fromkeys(references) if reference not in self._known]
        embedded = self.encoder.embed([*texts, *new])
        self._known.update(zip(new, embedded[len(texts) :].clone(), strict=True))
        right = torch.stack([self._known[reference] for reference in references])
        return (embedded[list(rows)] * right).sum(1).cpu().numpy()


class TextReader(Recipe):
    """A model of ``transformers`` that reads texts, and its tokenizer. Too long texts are cut at their end.

    Args:
        kind: "sequence classifier" or "text encoder".
        path, device: as of :func:`textgym.metrics.pretrained.load_model`, which says what is raised.

    Attributes:
        pad: the id that stands where there is no token: a padding token, else EOS; None: there is neither.
    """

    def __init__(self, kind: str, path: str, device: str):
        from textgym.metrics import pretrained

        self.model, self.tokenizer = pretrained.load_model(kind, path, device), pretrained.load_tokenizer(path)
        self.device = self.model.device
        config = self.model.config.get_text_config()
        # the encoder reads; a classifier of an encoder-decoder model makes the decoder's inputs itself
        self.reads = self.model
        if config.is_encoder_decoder and kind == "text encoder":
            self.reads = self.model.get_encoder()
        ids = (getattr(config, "pad_token_id", None), self.tokenizer.pad_token_id, self.tokenizer.eos_token_id)
        self.pad = next((i for i in ids if i is not None), None)
        limit = min(self.tokenizer.model_max_length, pretrained.longest(self.model) or 10**9)
        self.cut = {"truncation": True, "max_length": limit} if limit < 10**9 else {}

    def read(self, texts: Sequence[str]):
        """What the model makes of k texts, in one call, and which of the places hold their tokens.

        Returns:
            The model's output; bool tensor (k, longest). A text without a token is read as one padding token.
        """
        import torch

        from textgym.metrics.pretrained import padded

        ids, held = padded(self.tokenizer(list(texts), **self.cut)["input_ids"], self.pad or 0)
        ids, held = torch.from_numpy(ids).to(self.device), torch.from_numpy(held).to(self.device)
        looks = held.long()
        looks[:, 0] = 1
        with torch.no_grad():
            return self.reads(input_ids=ids, attention_mask=looks), held


class _Encoder(Recipe):
    def __init__(self, path: str, pooling: str, device: str):
        self.reader = TextReader("text encoder", path, device)
        self.pooling = pooling

    def embed(self, texts: Sequence[str]):
        """float64 tensor (k, size), of length 1; 0 for a text without a token."""
        output, held = self.reader.read(texts)
        hidden = output.last_hidden_state.double() * held[..., None]  # (k, longest, size)
        if self.pooling == "mean":
            pooled = hidden.sum(1)  # what it is divided by does not change its direction
        elif self.pooling == "cls":
            pooled = hidden[:, 0]
        else:
            pooled = hidden.take_along_dim((held.sum(1).clamp(min=1) - 1)[:, None, None], 1)[:, 0]
        return pooled / pooled.norm(dim=1, keepdim=True).clamp(min=1e-12)


class _SentenceTransformer(Recipe):
    def __init__(self, path: str, device: str):
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise ImportError(
                f"{path!r} holds a model of sentence_transformers: pip install sentence-transformers, "
                f"or name a pooling ({', '.join(POOLINGS)}) to load it without"
            ) from error
        self.model = SentenceTransformer(path, device=str(usable_device(device)), local_files_only=True).eval()

    def embed(self, texts: Sequence[str]):
        """As :meth:`_Encoder.embed`."""
        found = self.model.encode(
            list(texts),
            batch_size=len(texts),
            convert_to_tensor=True,
            normalize_embeddings=True,
            show_progress_bar=False,
        )
        return found.double()
