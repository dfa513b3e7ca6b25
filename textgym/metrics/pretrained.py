"""Models of ``transformers`` on disk: loading, batches, key-value caches. Loads torch: imported where it is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textgym.errors import usable_device
from textgym.metrics.base import BatchMetric, BatchProgress

try:
    import torch
    import transformers
    from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer
except ImportError as error:
    raise ImportError(f'metrics with a model need pip install "textgym[transformers]" ({error})') from error

if TYPE_CHECKING:
    from textgym.metrics.language_model import CausalModel

# kind -> the class that loads it, and how the classes end that may have saved it
KINDS = {
    "causal language model": ("AutoModelForCausalLM", ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")),
    "encoder-decoder model": ("AutoModelForSeq2SeqLM", ("ForConditionalGeneration",)),
    "masked language model": ("AutoModelForMaskedLM", ("ForMaskedLM", "ForPreTraining")),
    "sequence classifier": ("AutoModelForSequenceClassification", ("ForSequenceClassification",)),
    "text encoder": ("AutoModel", ("",)),
}
LEAST = -100.0  # a token's log-probability counts at least this much: float32 ends at e^-103


# -- loading -----------------------------------------------------------------------------------------------


def load_model(kind: str, path: str, device: str) -> torch.nn.Module:
    """The model that ``save_pretrained(path)`` wrote, in eval mode, on ``device``, in the dtype it was saved in.

    Args:
        kind: a key of ``KINDS``.
        path: the directory.
        device: "cpu", "cuda", "cuda:1", ..., or "auto": a GPU where there is one.

    Raises:
        FileNotFoundError: no directory at ``path``.
        ValueError: nothing of that kind in it (a model with another head, say), or no such device.
    """
    _check_directory(path, kind)
    loader, saved_by = KINDS[kind]
    load = getattr(transformers, loader).from_pretrained
    try:
        model, report = load(path, local_files_only=True, output_loading_info=True)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"no {kind} can be loaded from {path!r}: {_first_line(error)}") from error
    saved = (model.config.architectures or [type(model).__name__])[0]
    # nobody reads an encoder's pooler
    missing = sorted(name for name in report["missing_keys"] if kind != "text encoder" or "pooler" not in name)
    if missing or not saved.endswith(saved_by):
        lacking = f", which lacks {', '.join(missing[:3])}" if missing else ""
        raise ValueError(f"no {kind} is in {path!r}: it holds a {saved}{lacking}")
    return model.eval().requires_grad_(False).to(usable_device(device))


def load_tokenizer(path: str):
    """The ``transformers`` tokenizer in a directory.

    Raises:
        FileNotFoundError: no such directory, or no tokenizer in it.
    """
    _check_directory(path, "tokenizer")
    # where there is no file, transformers makes an empty tokenizer of the model's type
    if not any(any(Path(path).glob(name)) for name in ("tokenizer*", "vocab*", "*.model")):
        raise FileNotFoundError(f"no tokenizer is in {path!r}; a tokenizer's save_pretrained(path) writes it there")
    return transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)


def _check_directory(path: str, kind: str) -> None:
    if not Path(path).is_dir():
        raise FileNotFoundError(
            f"no directory {path!r} to load a {kind} from; save_pretrained(path) writes one, nothing is downloaded"
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def longest(model: torch.nn.Module) -> int | None:
    """How many tokens a model can read; None: it names no limit."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    for name, module in model.named_modules():
        if limit and name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            limit -= module.padding_idx + 1  # RoBERTa's positions begin behind that of padding
    return limit


def has_plain_cache(model: torch.nn.Module) -> bool:
    """Whether all layers keep keys and values of their own, of all tokens or of a sliding window of them."""
    config = model.config.get_text_config()
    kinds = {type(layer) for layer in DynamicCache(config=config).layers}
    return kinds <= {DynamicLayer, DynamicSlidingWindowLayer} and not getattr(config, "attention_chunk_size", None)


# -- reading -----------------------------------------------------------------------------------------------


def padded(texts: Sequence[Sequence[int]], pad: int = 0, left: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """k texts as int64 (k, longest, at least 1), and which of the places hold their tokens, bool."""
    sizes = np.array([len(text) for text in texts])[:, None]
    columns = np.arange(max(1, sizes.max()))
    held = columns >= len(columns) - sizes if left else columns < sizes
    ids = np.full(held.shape, pad, np.int64)
    ids[held] = np.concatenate(texts)
    return ids, held


def log_prob(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Natural logarithms of the probabilities of ``tokens`` (...,) under ``logits`` (..., V): float64, >= ``LEAST``."""
    chosen = logits.gather(-1, tokens[..., None])[..., 0]
    return (chosen - logits.logsumexp(-1)).double().clamp(min=LEAST)


class Reread(BatchProgress):
    """For metrics that read the whole text again at every step: what ``score_rows`` gives; nothing is remembered."""

    not_saved = frozenset({"metric"})

    def __init__(self, metric: BatchMetric):
        self.metric = metric

    def reset(self, rows, episodes):
        pass

    def value(self, step):
        return self.metric.score_rows(step)


class CachedRows:
    """n texts that a causal model follows, each token read once.

    All texts end at one column, as in ``generate``: text i has the ``sizes[i]`` columns before ``end``, so that one
    more token of every row is one forward of one column, and windows that slide over columns slide over tokens. A row
    that misses a step has a hole there; should it go on, it is read again from its first token. So is every row of a
    copy: keys and values are not copied, pickled or saved.

    Args:
        model: it is ``cached``.
        n: number of rows.
    """

    def __init__(self, model: CausalModel, n: int):
        self.model, self.n = model, n
        self.sizes = np.zeros(n, np.int64)  # tokens in the cache
        self.lengths = np.full(n, -1)  # of the texts when they were last read; -1: not in the cache
        self.cache = AlignedCache(n)

    def __reduce__(self):
        return type(self), (self.model, self.n)

    def forget(self, rows: np.ndarray | slice = slice(None)) -> None:
        """``rows`` are to be read from their first token."""
        self.lengths[rows] = -1
        self.sizes[rows] = 0

    def next_log_probs(
        self,
        rows: np.ndarray,
        lengths: np.ndarray,
        before: np.ndarray,
        tokens: np.ndarray,
        whole: Callable[[int], np.ndarray],
    ) -> np.ndarray:
        """The log-probabilities of the newest tokens of some texts, float64 (k,).

        One forward, and another where texts begin.

        Args:
            rows: int64 (k,).
            lengths: int64 (k,), of the texts, newest token included.
            before: int64 (k,), the tokens before the newest.
            tokens: int64 (k,), the newest.
            whole: gives all tokens before the newest of the i-th of ``rows``, context included.
        """
        goes_on = self.lengths[rows] == lengths - 1
        old, new = np.flatnonzero(goes_on), np.flatnonzero(~goes_on)
        others = np.ones(self.n, bool)
        others[rows[old]] = False
        self.forget(others)
        found = []
        if len(old):
            found.append(self._read_one(rows[old], before[old], tokens[old]))
        if len(new):
            found.append(self._read_whole(rows[new], [whole(i) for i in new.tolist()], tokens[new]))
        self.lengths[rows] = lengths
        log_p = np.empty(len(rows))
        log_p[np.concatenate([old, new])] = torch.cat(found).cpu().numpy()  # one transfer
        return log_p

    def _read_one(self, rows: np.ndarray, before: np.ndarray, tokens: np.ndarray) -> torch.Tensor:
        """One more column of all rows; what it holds of the others is looked at by nobody."""
        most = int(self.sizes.max())
        self.model.check_length(most + 1)
        self.cache.show(most)
        packed = np.zeros((3, self.n), np.int64)
        packed[0, rows], packed[1, rows], packed[2] = before, tokens, self.sizes
        ids, targets, sizes = torch.from_numpy(packed).to(self.model.device)[..., None]
        held = torch.arange(most, -1, -1, device=sizes.device) <= sizes  # (n, most + 1), its own column included
        logits = self.model.logits(
            ids, 1, attention_mask=held.long(), position_ids=sizes, past_key_values=self.cache, use_cache=True
        )
        self.sizes[rows] += 1
        return log_prob(logits, targets)[rows, 0]

    def _read_whole(self, rows: np.ndarray, texts: Sequence[np.ndarray], tokens: np.ndarray) -> torch.Tensor:
        """Texts from their first token on, in a cache of their own, whose columns are then put with the others."""
        ids, held = padded(texts, left=True)
        size = ids.shape[1]
        self.model.check_length(size)
        packed = np.stack([ids, held, np.maximum(held.cumsum(1) - 1, 0)])
        ids, mask, positions = torch.from_numpy(packed).to(self.model.device)
        read = DynamicCache()  # without a config: it keeps what a sliding window has left behind, too
        logits = self.model.logits(
            ids, 1, attention_mask=mask, position_ids=positions, past_key_values=read, use_cache=True
        )
        self.cache.put(rows, read, int(self.sizes.max()))
        self.sizes[rows] = held.sum(1)
        return log_prob(logits[:, 0], torch.from_numpy(tokens).to(self.model.device))


class AlignedCache(DynamicCache):
    """Keys and values of n texts in columns that all end at one, so that one more token of each is one more column.

    In columns before its first one a text has what others left there: the attention mask is to hide it.
    """

    def __init__(self, n: int):
        super().__init__()
        self.n = n
        self.begin = self.end = self.width = 0  # of the columns that the model sees, of those there are

    def show(self, size: int) -> None:
        """The model is to see the last ``size`` columns, and to write into the next one."""
        self._make_room(size, size, 1)
        self.begin, self.end = self.end - size, self.end + 1

    def put(self, rows: Any, read: DynamicCache, others: int) -> None:
        """Keys and values of k whole texts into ``rows`` (k,); those of ``read`` end at its last column.

        ``others``: columns of the longest of the other texts.
        """
        if not self.layers:
            self.layers = [_Columns(self, layer) for layer in read.layers]
        size = read.layers[0].keys.shape[2]
        self._make_room(others, size, 0)
        for columns, layer in zip(self.layers, read.layers, strict=True):
            columns.keys[rows, :, self.end - size : self.end] = layer.keys
            columns.values[rows, :, self.end - size : self.end] = layer.values

    def _make_room(self, kept: int, before: int, after: int) -> None:
        """At least ``before`` columns before ``end`` and ``after`` behind it; ``kept`` of them stay."""
        if before <= self.end and self.end + after <= self.width:
            return
        old, self.end = self.end, max(kept, before)
        self.width = 2 * (self.end + after)  # columns are moved once in as many steps as there are columns
        for columns in self.layers:
            columns.move(slice(old - kept, old), slice(self.end - kept, self.end), self.width)


class _Columns(DynamicLayer):
    """One layer's keys and values, (n, heads, width, head size), of which the model sees ``begin`` to ``end``."""

    def __init__(self, cache: AlignedCache, like: DynamicLayer):
        super().__init__()
        self.cache = cache
        shapes = ((kept, kept.shape[1], kept.shape[3]) for kept in (like.keys, like.values))
        self.keys, self.values = (kept.new_zeros(cache.n, heads, 0, size) for kept, heads, size in shapes)
        self.is_initialized = True

    def move(self, old: slice, new: slice, width: int) -> None:
        for name in ("keys", "values"):
            kept = getattr(self, name)
            moved = kept.new_zeros(*kept.shape[:2], width, kept.shape[3])
            moved[:, :, new] = kept[:, :, old]
            setattr(self, name, moved)

    def update(self, key_states, value_states, *args, **kwargs):
        begin, end = self.cache.begin, self.cache.end
        self.keys[:, :, end - 1 : end], self.values[:, :, end - 1 : end] = key_states, value_states
        return self.keys[:, :, begin:end], self.values[:, :, begin:end]

    def get_seq_length(self) -> int:
        return self.cache.end - 1 - self.cache.begin  # before the update
