"""Where rows come from: files or a Hugging Face dataset, and which of their parts our splits are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from textgym.errors import one_of, unknown
from textgym.tasks.base import SPLITS
from textgym.tasks.row_files import Delimited, JsonLines, ParallelText, Source, file_state

DataPath = str | Mapping[str, str]


class HuggingFace(Source):
    """A split of a Hugging Face dataset: memory-mapped, so that any row is read at once."""

    def __init__(self, dataset: Any, name: str):
        self.dataset = dataset
        self.name = name
        self.columns = list(dataset.column_names)

    def rows(self, bad):
        number = 0
        for batch in self.dataset.iter(1000):
            for values in zip(*batch.values(), strict=True):
                yield number, (number,), dict(zip(batch, values, strict=True))
                number += 1

    def read(self, position):
        return self.dataset[int(position[0])]

    def place(self, number):
        return f"{self.name}, row {number}"

    def only(self, columns):
        """Others may hold pictures, which take long to decode."""
        return HuggingFace(self.dataset.select_columns(list(columns)), self.name)


def parquet(path: str) -> HuggingFace:
    """The rows of a ``.parquet`` file, or of all that a pattern such as ``"train-*.parquet"`` fits."""
    return HuggingFace(_loaded("parquet", path, data_files=path, split="train"), path)


FILES = {
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
    ".json": JsonLines,
    ".csv": Delimited,
    ".tsv": Delimited,
    ".parquet": parquet,
}
ALLOWED = (
    f"a file ({', '.join(FILES)}; all but the last also with .gz), text files as a dict {{column: file}}, or the name "
    "or folder of a Hugging Face dataset"
)


def open_sources(
    path: DataPath, splits: Mapping[str, str | None] | None = None, subset: str | None = None
) -> dict[str, Source]:
    """The parts that the data have: our name of a split -> its rows. "train" is always there.

    Args:
        path: what :data:`ALLOWED` says; ``{split}`` in the names of files is filled with the name of each split.
        splits: our names -> those of the data, where they differ; None where the data have no such split.
        subset: which one, of a Hugging Face dataset that has several ("configurations").

    Raises:
        FileNotFoundError, ValueError, TypeError: what cannot be read, with what can.
        ImportError: ``datasets`` is needed and not installed.
    """
    path = checked_path(path)
    splits = checked_splits(splits)
    if isinstance(path, str) and _suffix(path) not in FILES:
        return _of_hugging_face(path, splits, subset)
    if subset is not None:
        raise ValueError(f"subset={subset!r} is for Hugging Face datasets; {path!r} is a file")
    filled = {split: name for split in SPLITS if (name := splits.get(split, split)) is not None}
    has_split = {"{split}" in each for each in ([path] if isinstance(path, str) else path.values())}
    if has_split == {True}:
        return {split: _open(_filled(path, name)) for split, name in filled.items()}
    if len(has_split) > 1:
        raise ValueError(f"either all parallel files have '{{split}}' in their names or none, got {path!r}")
    if splits:
        raise ValueError(f"splits={splits!r} says what '{{split}}' in the name of a file stands for; {path!r} has none")
    return {"train": _open(path)}


def states_of(path: Any, splits: Any) -> tuple[tuple[int, int], ...]:
    """What changes when one of the files that are meant is written to."""
    try:
        path, splits = checked_path(path), checked_splits(splits)
    except (ValueError, TypeError):  # open_sources says so
        return ()
    names = [splits.get(split) or split for split in SPLITS]
    each = [path] if isinstance(path, str) else list(path.values())
    files = dict.fromkeys(_filled(one, name) for one in each for name in names)
    return tuple(file_state(file) for file in files if os.path.isfile(file))


def checked_path(path: Any) -> DataPath:
    """``path`` out of strings; TypeError where it is none."""
    try:
        if isinstance(path, Mapping) and path:
            return {column: os.fspath(file) for column, file in path.items()}
        return os.fspath(path)
    except TypeError:
        raise TypeError(f"path is {ALLOWED}; got {path!r}") from None


def checked_splits(splits: Any) -> dict[str, str | None]:
    splits = {} if splits is None else splits
    if not isinstance(splits, Mapping) or not all(isinstance(name, str | None) for name in splits.values()):
        raise TypeError(f"splits is a dict such as {{'validation': 'dev'}}, got {splits!r}")
    for split in splits:
        one_of("split", split, SPLITS)
    if splits.get("train", "") is None:
        raise ValueError("splits: 'train' cannot be None, because what is missing is made of it")
    return dict(splits)


def _suffix(path: str) -> str:
    return os.path.splitext(path.removesuffix(".gz"))[1].lower()


def _filled(path: DataPath, name: str) -> DataPath:
    if isinstance(path, str):
        return path.replace("{split}", name)
    return {column: file.replace("{split}", name) for column, file in path.items()}


def _open(path: DataPath) -> Source:
    return FILES[_suffix(path)](path) if isinstance(path, str) else ParallelText(path)


def _of_hugging_face(path: str, splits: Mapping[str, str | None], subset: str | None) -> dict[str, Source]:
    if os.path.isfile(path):
        raise ValueError(f"{path!r} cannot be read. Allowed: {ALLOWED}. Plain text is read as {{'text': {path!r}}}")
    found = _loaded(path, path, name=subset)
    parts = found if isinstance(found, Mapping) else {"train": found}
    sources = {}
    for split in SPLITS:
        name = splits.get(split, split)
        if name in parts:
            sources[split] = HuggingFace(parts[name], f"{path}, split {name!r}")
        elif name is not None and (split == "train" or split in splits):
            raise unknown(f"split of {path}", name, parts)
    return sources


def _loaded(builder: str, path: str, **options: Any) -> Any:
    """What the ``datasets`` library makes of ``path``: a dataset, or a mapping from its splits to datasets."""
    try:
        import datasets
    except ImportError as error:
        raise ImportError(
            f'{path!r} is read by the datasets library: pip install "textgym[datasets]" ({error}). Allowed: {ALLOWED}'
        ) from error
    saved = any(os.path.isfile(os.path.join(path, name)) for name in ("dataset_dict.json", "state.json"))
    try:
        return datasets.load_from_disk(path) if saved else datasets.load_dataset(builder, **options)
    except Exception as error:  # many kinds, of several libraries
        given = "".join(f", {name}={value!r}" for name, value in options.items() if value is not None and value != path)
        raise ValueError(
            f"no dataset can be loaded from {path!r}{given} ({type(error).__name__}: {error}). Allowed: {ALLOWED}"
        ) from error
