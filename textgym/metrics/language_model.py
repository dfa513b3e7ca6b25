"""Likelihood: how likely a causal language model on disk finds the text."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from textgym.episode import Episode, Step
from textgym.errors import one_of
from textgym.metrics.base import BatchMetric, BatchProgress
from textgym.running import Recipe
from textgym.tokenizers import Vocabulary

# form -> name of the metric, its worst value, how the sums (k,) over sizes (k,) of tokens become it
FORMS = {
    "mean": ("log_likelihood", -20.0, lambda sums, sizes: sums / sizes),
    "sum": ("sum_log_likelihood", -1e4, lambda sums, sizes: sums),
    "perplexity": ("perplexity", math.exp(20.0), lambda sums, sizes: np.exp(-sums / sizes)),
    "probability": ("token_probability", 0.0, lambda sums, sizes: np.exp(sums / sizes)),
}
MOST_LOGITS = 2**26  # how many are computed at once


class LogLikelihood(BatchMetric):
    """The log-likelihood of the text so far under a causal language model: the sum of log p(token | all before it).

    Natural logarithms; each counts at least -100. A text that says one likely thing again and again is likely: pay it
    beside a reward for the content. Values are as exact as the model's dtype: in float32 the number of rows read
    at once changes them by about 1e-7.

    With ``tokens="task"`` the token ids of the environment are the model's, EOS counts as a token of the text, and the
    model's keys and values are cached: a token costs the reading of one token. Models without such a cache (recurrent
    ones, say: ``model.cached`` is False) read the whole text again. With ``tokens="own"`` the model's tokenizer cuts
    prompt and text, as one string, into tokens at every step, and the model reads them all: the cost of a token grows
    with the text. EOS does not count there; where the text changes how the prompt's end is cut, that end is the text's.

    Args:
        model: a directory with a causal language model of ``transformers``; for "own" with its tokenizer, too.
        form: "mean" (per token, in [-100, 0]), "sum" (over all tokens, <= 0), "perplexity" (exp(-mean), in
            [1, e^100], smaller is better), or "probability" (exp(mean), in [0, 1]: the geometric mean of the tokens'
            probabilities).
        condition: what stands before the text: the "prompt", or "none". Where nothing does (an empty prompt), it begins
            after the model's BOS or, where that is not named, EOS (else the vocabulary's EOS).
        tokens: "task" or "own", as above.
        device: "cpu", "cuda", "cuda:1", ..., or "auto": a GPU where there is one.
        worst: what an illegal end counts as, and a text without a token. None: -20 for "mean" (below that of any
            text one would show), -10,000 for "sum", e^20 for "perplexity", 0 for "probability".

    Raises:
        FileNotFoundError: no such directory, or no tokenizer in it.
        ValueError: no causal language model in it, an argument that is not allowed, no such device. When an
            environment is made: the vocabulary has other tokens than the model's tokenizer, or more than the model;
            prompt and text can become longer than the model reads ("own": when they do).
        ImportError: ``transformers`` is not installed.
    """

    def __init__(
        self,
        model: str | os.PathLike,
        form: str = "mean",
        condition: str = "prompt",
        tokens: str = "task",
        device: str = "cpu",
        worst: float | None = None,
    ):
        self.path = os.fspath(model)
        self.arguments = (self.path, form, condition, tokens, device, worst)
        self.name, self.worst, self.of_sums = FORMS[one_of("form of a log-likelihood", form, FORMS)]
        self.with_prompt = one_of("condition of a log-likelihood", condition, ("prompt", "none")) == "prompt"
        self.of_task = one_of("tokens of a log-likelihood", tokens, ("task", "own")) == "task"
        if worst is not None:
            if not math.isfinite(worst):
                raise ValueError(f"worst must be a finite number, got {worst}")
            self.worst = float(worst)
        self.model = CausalModel(self.path, device)
        self.own = None if self.of_task else _OwnTokens(self.path, self.model.begin)
        self._checked: Vocabulary | None = None

    def __reduce__(self):
        return type(self), self.arguments

    def resolve(self, task):
        if self.of_task:
            self._check(task.vocabulary)
            before = max(1, task.prompt_length if self.with_prompt else 0)
            self.model.check_length(before + task.budget - 1)  # nothing is read after the last token
        return self

    def start_rows(self, n, vocabulary):
        from textgym.metrics.pretrained import Reread

        if self.of_task:
            self._check(vocabulary)
        return _Followed(self, n) if self.of_task and self.model.cached else Reread(self)

    def score_rows(self, step):
        if self.of_task:
            self._check(step.vocabulary)
            contexts = [self.context(episode, step.vocabulary) for episode in step.episodes]
            lengths = np.atleast_1d(step.lengths).tolist()
            texts = [tokens[:length] for tokens, length in zip(step.tokens, lengths, strict=True)]
        else:
            prompts = [episode.prompt if self.with_prompt else "" for episode in step.episodes]
            contexts, texts = self.own.cut(prompts, step.texts)
        return self.in_form(self.model.log_likelihoods(contexts, texts), np.array([len(text) for text in texts]))

    def in_form(self, sums: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """The metric, float64 (k,), of texts of ``sizes`` tokens, given the sums of their log-probabilities."""
        return np.where(sizes > 0, self.of_sums(sums, np.maximum(sizes, 1)), self.worst)

    def context(self, episode: Episode, vocabulary: Vocabulary) -> np.ndarray:
        """The token ids that stand before the text, at least one."""
        ids = vocabulary.encode(episode.prompt) if self.with_prompt else ()
        begin = vocabulary.eos if self.model.begin is None else self.model.begin
        return ids if len(ids) else np.array([begin], np.int32)

    def _check(self, vocabulary: Vocabulary | None) -> None:
        """Raises ValueError unless the model has the tokens of ``vocabulary``."""
        if vocabulary is None:
            raise ValueError("tokens='task' are token ids: give the environment's vocabulary, or use tokens='own'")
        if vocabulary is self._checked:
            return
        known, needed = self.model.size, vocabulary.size
        if known < needed:
            raise ValueError(f"the model in {self.path!r} has {known} tokens, the vocabulary has {needed}")
        if (file := Path(self.path) / "tokenizer.json").is_file():
            theirs = Tokenizer.from_file(str(file))
            for i in np.flatnonzero(vocabulary.legal).tolist():
                ours, other = vocabulary.tokenizer.id_to_token(i), theirs.id_to_token(i)
                if other not in (None, ours):
                    raise ValueError(
                        f"token {i} is {ours!r} in the vocabulary and {other!r} in the model's tokenizer: "
                        f"make the environment with tokenizer={self.path!r}, or use tokens='own'"
                    )
        self._checked = vocabulary


class _Followed(BatchProgress):
    """The sums of the log-probabilities, token by token. What is cached is made again from the tokens when needed."""

    not_saved = frozenset({"metric", "cache"})

    def __init__(self, metric: LogLikelihood, n: int):
        from textgym.metrics.pretrained import CachedRows

        self.metric = metric
        self.cache = CachedRows(metric.model, n)
        self.sums = np.zeros(n)

    def reset(self, rows, episodes):
        self.sums[rows] = 0.0  # the cache sees itself that a text of one token is not the one that it follows

    def value(self, step):
        at = np.arange(len(step.rows)) if step.illegal is None else np.flatnonzero(~step.illegal)
        if len(at):
            self._read(step, at)
        return self.metric.in_form(self.sums[step.rows], step.lengths)

    def _read(self, step: Step, at: np.ndarray) -> None:
        """Add the newest tokens of the rows ``at`` of the step: those that were written."""
        rows, lengths, tokens = step.rows[at], step.lengths[at], step.tokens[at]
        before = tokens[np.arange(len(at)), np.maximum(lengths - 2, 0)]

        def whole(i: int) -> np.ndarray:
            context = self.metric.context(step.episodes[at[i]], step.vocabulary)
            return np.concatenate([context, tokens[i, : lengths[i] - 1]])

        self.sums[rows] += self.cache.next_log_probs(rows, lengths, before, step.actions[at], whole)

    def set_state(self, saved):
        super().set_state(saved)
        self.cache.forget()


class _OwnTokens(Recipe):
    """The model's own tokenizer; ``begin`` stands before a text where nothing else does."""

    def __init__(self, path: str, begin: int | None):
        from textgym.metrics.pretrained import load_tokenizer

        self.tokenizer = load_tokenizer(path)
        bos, eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        self.head = [bos] if bos is not None and self.tokenizer("")["input_ids"][:1] == [bos] else []
        self.begin = next((i for i in (bos, begin, eos) if i is not None), 0)

    def cut(self, prompts: Sequence[str], texts: Sequence[str]) -> tuple[list[list[int]], list[list[int]]]:
        """The ids before each text (BOS where the tokenizer puts it; at least one), and those of the text."""
        wholes = [prompt + text for prompt, text in zip(prompts, texts, strict=True)]
        ids = self.tokenizer([*prompts, *wholes], add_special_tokens=False)["input_ids"]
        contexts, own = [], []
        for prompt, whole in zip(ids[: len(wholes)], ids[len(wholes) :], strict=True):
            same = len(os.path.commonprefix([prompt, whole]))
            contexts.append([*self.head, *whole[:same]] or [self.begin])
            own.append(whole[same:])
        return contexts, own


class CausalModel(Recipe):
    """A causal language model on disk.

    Args:
        path, device: as of :func:`textgym.metrics.pretrained.load_model`.

    Attributes:
        size: how many tokens it knows.
        begin: the token that begins a text: BOS or else EOS; None: it names neither.
        longest: how many tokens it reads; None: it names no limit.
        cached: texts can be followed in :class:`~textgym.metrics.pretrained.CachedRows`: attention over all tokens or
            a sliding window of them, and positions that the model is told.

    Raises:
        ValueError: as of ``load_model``, or the model looks at the tokens to come.
    """

    def __init__(self, path: str, device: str):
        import torch

        from textgym.metrics.pretrained import has_plain_cache, load_model, longest

        self.path, self.model = path, load_model("causal language model", path, device)
        self.device = self.model.device
        config, takes = self.model.config.get_text_config(), inspect.signature(self.model.forward).parameters
        config.use_cache = False  # unless a call says so
        self.size = self.model.get_input_embeddings().num_embeddings
        ids = (config.bos_token_id, config.eos_token_id)
        self.begin = next((i for i in ids if isinstance(i, int) and 0 <= i < self.size), None)
        self.longest = longest(self.model)
        self.keeps_some = "logits_to_keep" in takes
        self.cached = {"past_key_values", "position_ids"} <= set(takes) and has_plain_cache(self.model)
        first, second = self.logits(torch.tensor([[0, 0], [0, self.size - 1]], device=self.device))[:, 0]
        if not torch.allclose(first, second, rtol=1e-2, atol=1e-3 * first.abs().max().item()):
            raise ValueError(f"the {type(self.model).__name__} in {path!r} looks at the tokens to come: not causal")

    def logits(self, ids, keep: int = 0, **more):
        """What follows the last ``keep`` (0: all) of the tokens ``ids`` (k, L): (k, keep, V), float32 or float64."""
        import torch

        if keep and self.keeps_some:
            more["logits_to_keep"] = keep
        with torch.no_grad():
            logits = self.model(input_ids=ids, **more).logits[:, -keep:]
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def check_length(self, tokens: int) -> None:
        """Raises ValueError where the model cannot read that many."""
        if self.longest is not None and tokens > self.longest:
            raise ValueError(f"the model in {self.path!r} reads {self.longest} tokens, prompt and text need {tokens}")

    def log_likelihoods(self, contexts: Sequence[Sequence[int]], texts: Sequence[Sequence[int]]) -> np.ndarray:
        """The sums of the log-probabilities of the tokens of k texts, each after its context: float64 (k,).

        Whole texts, in one batch, or in several where that would make more than ``MOST_LOGITS`` logits.
        """
        import torch

        most = max(len(context) + len(text) for context, text in zip(contexts, texts, strict=True))
        self.check_length(most - 1)
        k = max(1, MOST_LOGITS // (most * self.size))
        parts = [self._log_likelihoods(contexts[i : i + k], texts[i : i + k]) for i in range(0, len(texts), k)]
        return torch.cat(parts).cpu().numpy()

    def _log_likelihoods(self, contexts, texts):
        import torch

        from textgym.metrics.pretrained import log_prob, padded

        after = np.array([len(context) for context in contexts])
        ids, held = padded([np.concatenate(both) for both in zip(contexts, texts, strict=True)])
        counts = held & (np.arange(ids.shape[1]) >= after[:, None])
        if not counts.any():
            return torch.zeros(len(ids), dtype=torch.float64, device=self.device)
        keep = ids.shape[1] - int(after.min())
        ids, held, counts = (torch.from_numpy(array).to(self.device) for array in (ids, held, counts))
        # padded to the right: no token looks at the padding, whatever positions and states the model has
        logits = self.logits(ids[:, :-1], keep, attention_mask=held[:, :-1].long())
        return torch.where(counts[:, -keep:], log_prob(logits, ids[:, -keep:]), 0.0).sum(1)
