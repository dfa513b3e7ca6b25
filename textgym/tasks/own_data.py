"""Data of the user's own: files in the usual forms, or a Hugging Face dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

from textgym.episode import Episode
from textgym.errors import ArgumentNeeded, one_of, whole_number
from textgym.metrics import Metric, make_metric
from textgym.tasks.base import SPLITS
from textgym.tasks.collection import Collection
from textgym.tasks.dataset import DatasetTask
from textgym.tasks.sources import ALLOWED, DataPath, checked_path, checked_splits, open_sources, states_of
from textgym.tasks.templates import Template

_TOKENIZER = {"name": "byte_bpe", "size": 4096}
_TRIES = 1000


class Dataset(DatasetTask):
    """Write the texts of your own data.

    ## Description
    Prompts and references are made of the columns of a data set: JSON lines, CSV, TSV, parallel text, or a Hugging
    Face dataset. The ids differ in the columns and the score that they begin with, each of which can be given anew:

    * `Dataset-v0`: `{prompt}` -> `{reference}`, `character_accuracy`
    * `TranslationDataset-v0`: `{source}` -> `{target}`, `chrf`: on single sentences it says more than BLEU, which
      most of the time finds no four words in a row
    * `SummarizationDataset-v0` (CNN/DailyMail): `{article}` -> `{highlights}`, `rougeL`
    * `DialogueDataset-v0` (E2E): `{mr}` -> `{ref}`, `bleu`
    * `QuestionAnsweringDataset-v0` (SQuAD): `{context}`, a line break, `{question}` -> `{answers.text}`, `answer_f1`

    `gym.make("textgym/Dataset-v0", path="qa.jsonl", prompt="Q: {question} A: ", reference="{answer}")`
    `gym.make("textgym/TranslationDataset-v0", path={"source": "{split}.de.gz", "target": "{split}.en.gz"})`
    `gym.make("textgym/SummarizationDataset-v0", path="cnn_dailymail", subset="3.0.0", streaming=True)`

    ## Prompt and reference
    Templates: `"{question}"` is the text, or the number, in column `question`; `"{answers.text}"` what stands under
    `text` in column `answers`; `{{` is a brace. A column that holds a list, or a list of templates, gives several
    references, of which those of white space alone are left out. Rows with equal prompts are one episode with the
    references of all of them: what is right does not depend on which of the rows was drawn, and no prompt is in two
    splits. Where prompts do not tell the rows apart (a topic, nothing), `group=False` makes each row an episode.

    A malformed row (no JSON, a cell too many, a column that is not there or holds no text, bytes that are no UTF-8,
    parallel files of different lengths) is an error that says where it stands. With `on_bad_row="skip"` it is left out
    and counted in `dropped`. So are, always, rows without a reference, and equal rows but for the first.

    `{split}` in the name of a file stands for `train`, `validation` and `test`, or for what `splits` says. An item that
    is in several splits stays in the last of them, so that test sets stay whole and are not trained on. Splits that
    there are not are made of the train split, by a checksum of the content, with 1 in 10 of its items each.

    ## Action space
    `Discrete(V)`: the tokens of the vocabulary, by default byte-level BPE of at most 4,096 tokens trained on prompts
    and references of the train split. All are legal.

    ## Observation space
    `Box(0, V, (prompt_length + budget,), int32)`: the prompt, right-aligned in `prompt_length` columns, then the
    tokens written; PAD = V in empty columns. By default the least sizes that fit 999 in 1,000 prompts and
    references of a sample of the splits. Items that do not fit are dropped and counted, never cut.

    ## Rewards
    The task's own score is `metric`, a number in [0, 1] of which higher is better, by default the character accuracy
    `max(0, 1 - edit distance / characters of the reference)` of the best reference: it needs no words, and so takes
    any language. Another caption of Multi30k scores 0.17 by it, because letters agree by chance.

    ## Starting state
    An item of the split, drawn uniformly with replacement.

    ## Episode end
    EOS, or the budget is spent.

    ## Arguments
    * `path`: a file: `.jsonl`, `.ndjson` or `.json` with an object a line; `.csv` or, without quoting, `.tsv` with the
      names of the columns in the first line; each of them also with `.gz`; `.parquet`. Or a dict `{column: text file}`
      (plain or `.gz`), whose lines belong together. Or the name of a Hugging Face dataset, or a folder with one.
      `.parquet` and datasets need `pip install "textgym[datasets]"`. Files that have changed are read anew when an
      environment is made.
    * `prompt` (`"{prompt}"`), `reference` (`"{reference}"`): templates, as above; `reference` may be a list of them.
    * `metric` ("character_accuracy"): the true score, as :func:`~textgym.metrics.make_metric` takes it.
    * `splits` (None): a dict from `train`, `validation`, `test` to the names that they have in the data;
      `{"test": None}`: there is none.
    * `subset` (None): which one, of a Hugging Face dataset that has several (SuperGLUE, CNN/DailyMail).
    * `group` (True): equal prompts are one episode.
    * `streaming` (False): keep where the rows stand (12 bytes a row, 8 more for each further file of parallel text)
      and read them when they are visited. The fixed episodes, and those that `dropped` speaks of, are then up to
      10,000 items of the split, drawn once and for all; the vocabulary is trained on so many of the train split.
      Files must not be compressed.
    * `on_bad_row` ("raise"): or "skip".
    * `prompt_length` (None: as above): tokens of the longest prompt.
    * `split` ("train"), `tokenizer` (as above), `budget` (None: as above), `lossy` (False): as for every task.
      With words, references usually have some that the vocabulary lacks: `lossy=True` accepts that.

    ## Version history
    * v0: initial version.

    Attributes:
        overlap: share of the split's references that are a reference of the train split, too, in [0, 1].

    Raises:
        ValueError: no data are given (:class:`~textgym.errors.ArgumentNeeded`), a malformed row
            (:class:`~textgym.tasks.row_files.BadRow`), a split that is empty, or an argument out of its range.
        FileNotFoundError: no such file.
        ImportError: `datasets` is needed and not installed.
    """

    optimum = None

    def __init__(
        self,
        path: DataPath | None = None,
        *,
        prompt: str = "{prompt}",
        reference: str | Sequence[str] = "{reference}",
        metric: Any = "character_accuracy",
        splits: Mapping[str, str | None] | None = None,
        subset: str | None = None,
        group: bool = True,
        streaming: bool = False,
        on_bad_row: str = "raise",
        prompt_length: int | None = None,
        split: str = "train",
        tokenizer: Any = _TOKENIZER,
        budget: int | None = None,
        lossy: bool = False,
    ):
        one_of("split", split, SPLITS)
        one_of("on_bad_row", on_bad_row, ("raise", "skip"))
        for name, given in {"group": group, "streaming": streaming}.items():
            if not isinstance(given, bool):
                raise TypeError(f"{name} must be True or False, got {given!r}")
        templates = _templates(prompt, reference)
        if path is None:
            raise _no_data(*templates)
        if prompt_length is not None:
            whole_number("prompt_length", prompt_length, 1)
        self.metric = _true_score(metric)
        path, splits = checked_path(path), checked_splits(splits)
        spec = json.dumps([path, splits, subset, prompt, reference, group, streaming, on_bad_row])
        collection = self._collection = _read(spec, states_of(path, splits))
        items = collection.items[split]
        if not items:
            raise ValueError(_empty(split, collection, path))
        vocabulary = collection.vocabulary(tokenizer)
        fitting = collection.sizes(vocabulary) if prompt_length is None or budget is None else (0, 0)
        super().__init__(
            items.some() if streaming else items,
            vocabulary=vocabulary,
            prompt_length=fitting[0] if prompt_length is None else prompt_length,
            budget=fitting[1] if budget is None else budget,
            split=split,
            lossy=lossy,
        )
        self.dropped.update(collection.dropped[split])
        self._stream = items if streaming else None
        self._check_scores()
        self.notes = self._notes(prompt_length, budget)

    @classmethod
    def stamp(cls, arguments):
        return states_of(arguments.get("path"), arguments.get("splits"))

    def sample(self, rng):
        if self._stream is None:
            return super().sample(rng)
        for _ in range(_TRIES):
            item = self._stream[int(rng.random() * len(self._stream))]
            if self._misfit(item) is None:
                return self.present(item, rng)
        raise ValueError(
            f"{type(self).__name__}: none of {_TRIES} items drawn fits prompt_length={self.prompt_length} and "
            f"budget={self.budget} (of the fixed ones were dropped: {dict(self.dropped)})"
        )

    @cached_property
    def overlap(self) -> float:
        own = [reference for item in self.items for reference in item.references]
        known, seen = set(own), set()
        for item in self._collection.items["train"]:
            seen.update(known.intersection(item.references))
        return sum(reference in seen for reference in own) / len(own)

    def _fingerprinted(self):
        yield from super()._fingerprinted()
        if self._stream is not None:
            yield Episode(self._stream.checksum)

    def _check_scores(self) -> None:
        """Raise where the score of a text is not in [0, 1]."""
        for item in self.items[:20]:
            for text in ("", item.prompt, item.references[0]):
                score = self.score(text, item)
                if not 0 <= score <= 1:
                    raise ValueError(
                        f"metric={self.metric.name!r} gives {score:.4g} for {text!r}: a true score is in [0, 1]"
                    )

    def _notes(self, prompt_length: int | None, budget: int | None) -> tuple[str, ...]:
        notes = []
        if made := self._collection.made:
            notes.append(f"{' and '.join(made)} made of train, by content, with 1 in 10 of its items each")
        chosen = {"prompt_length": (prompt_length, self.prompt_length), "budget": (budget, self.budget)}
        fitting = [f"{name}={size}" for name, (given, size) in chosen.items() if given is None]
        if fitting:
            notes.append(f"{' and '.join(fitting)}: the least that 999 in 1,000 items of a sample need")
        if self._stream is not None:
            notes.append(f"streams {len(self._stream)} items, of which {len(self)} are fixed")
        return tuple(notes)


@lru_cache(maxsize=4)
def _read(spec: str, states: Any) -> Collection:
    """The data that are meant, read once for all splits; ``states``: of its files."""
    path, splits, subset, prompt, reference, group, streaming, on_bad_row = json.loads(spec)
    return Collection(
        open_sources(path, splits, subset),
        *_templates(prompt, reference),
        group=group,
        keep=not streaming,
        skip=on_bad_row == "skip",
    )


def _true_score(metric: Any) -> Metric:
    made = make_metric(metric)
    if not isinstance(made, Metric):
        raise ValueError(f"metric={metric!r} is not told texts but tokens; a true score is a metric of texts")
    if made.lower_is_better:
        raise ValueError(
            f"metric={metric!r}: lower is better there, and a true score is in [0, 1] with 1 for what is right: "
            "take 'character_accuracy', 'word_accuracy' or another one of which higher is better"
        )
    return made


def _templates(prompt: str, reference: str | Sequence[str]) -> tuple[Template, list[Template]]:
    several = [reference] if isinstance(reference, str) else reference
    if not (isinstance(several, (list, tuple)) and several):
        raise TypeError(f"reference is a template such as '{{answer}}', or a list of them, got {reference!r}")
    return Template("prompt", prompt), [Template("reference", each) for each in several]


def _no_data(prompt: Template, references: Sequence[Template]) -> ArgumentNeeded:
    columns = list(dict.fromkeys(column for template in (prompt, *references) for column in template.columns))
    line = json.dumps(dict.fromkeys(columns, "..."))
    return ArgumentNeeded(
        f"needs path=..., data with the columns {', '.join(columns)}",
        f"{ALLOWED}. For example path='data.jsonl' with lines like {line}; prompt= and reference= choose other columns",
    )


def _empty(split: str, collection: Collection, path: DataPath) -> str:
    left_out = dict(collection.dropped[split])
    sizes = ", ".join(f"{name} {len(items)}" for name, items in collection.items.items())
    return (
        f"split {split!r} of {path!r} is empty (items: {sizes}; left out: {left_out}). A split that is made of few "
        "items can be: give files of its own, path='data/{split}.jsonl'"
    )
