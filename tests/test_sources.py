"""Rows out of files and datasets, texts out of rows, and what is said about those that are malformed."""

import gzip
import json
import os
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_data import write_csv, write_jsonl, write_lines

from textgym.tasks.row_files import BadRow
from textgym.tasks.sources import open_sources
from textgym.tasks.templates import Template


def refuse(error):
    raise error


def rows_of(source, bad=refuse):
    return [row for _, _, row in source.rows(bad)]


def only(path, **options):
    sources = open_sources(path, **options)
    assert list(sources) == ["train"]
    return sources["train"]


def write_raw(path, data):
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


# Reading

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NO_NUL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)  # csv of Python 3.10
LINES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\0"), max_size=12)
CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\t\0"), max_size=12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rows")


def table(texts):
    return st.lists(st.builds(lambda x, y: {"a b": x, "c": y}, texts, texts), min_size=1, max_size=8)


def as_jsonl(folder, rows):
    return write_jsonl(folder / "x.jsonl", rows)


def as_csv(folder, rows):
    return write_csv(folder / "x.csv", rows)


def as_tsv(folder, rows):
    return write_lines(folder / "x.tsv", ["a b\tc", *("\t".join(row.values()) for row in rows)])


def as_parallel(folder, rows):
    return {column: write_lines(folder / column, (row[column] for row in rows)) for column in rows[0]}


@pytest.mark.parametrize(
    "texts, write",
    [(TEXTS, as_jsonl), (NO_NUL, as_csv), (CELLS, as_tsv), (LINES, as_parallel)],
    ids=["jsonl", "csv", "tsv", "parallel"],
)
def test_every_row_is_read_as_it_was_written_in_order_and_by_position(texts, write, folder):
    @settings(max_examples=150, deadline=None)
    @given(table(texts))
    def check(rows):
        source = only(write(folder, rows))
        found = list(source.rows(refuse))
        assert [row for _, _, row in found] == rows
        source = pickle.loads(pickle.dumps(source))
        assert [source.read(position) for _, position, _ in reversed(found)] == rows[::-1]

    check()


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.NDJSON", "x.csv", "x.tsv"])
@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_compression_byte_order_marks_and_line_ends_make_no_difference(tmp_path, name, gzipped, mark, end):
    lines = {"csv": ["a,b", "1,ü", "", '3,"4"'], "tsv": ["a\tb", "1\tü", "", "3\t4"]}.get(
        name[-3:], ['{"a": "1", "b": "ü"}', "", ' {"b": "4", "a": "3"}']
    )
    data = mark + end.join(line.encode() for line in lines)
    source = only(write_raw(tmp_path / (name + ".gz" * gzipped), data))
    found = list(source.rows(refuse))
    assert [row for _, _, row in found] == [{"a": "1", "b": "ü"}, {"a": "3", "b": "4"}]
    assert source.seekable != gzipped
    if source.seekable:
        assert [source.read(position) for _, position, _ in found] == [row for _, _, row in found]


def test_lines_of_parallel_text_end_with_a_line_feed_and_nothing_else(tmp_path):
    odd = "a\u2028b\x85c\x0cd\x1ce"  # str.splitlines would cut all of these
    paths = {"x": write_lines(tmp_path / "x", [odd, "2"]), "y": write_lines(tmp_path / "y.gz", ["1", "2"])}
    assert rows_of(only(paths)) == [{"x": odd, "y": "1"}, {"x": "2", "y": "2"}]


def test_tabs_separate_without_quoting(tmp_path):
    path = write_lines(tmp_path / "x.tsv", ["q\ta", 'He said "no\t"yes"'])
    assert rows_of(only(path)) == [{"q": 'He said "no', "a": '"yes"'}]


def test_the_splits_of_files(tmp_path):
    for name in ("train", "val", "flickr"):
        write_jsonl(tmp_path / f"{name}.jsonl", [{"a": name}])
    path = str(tmp_path / "{split}.jsonl")
    found = open_sources(path, {"validation": "val", "test": "flickr"})
    assert {split: rows_of(source) for split, source in found.items()} == {
        "train": [{"a": "train"}], "validation": [{"a": "val"}], "test": [{"a": "flickr"}]
    }  # fmt: skip
    assert list(open_sources(path, {"validation": "val", "test": None})) == ["train", "validation"]
    assert list(open_sources(tmp_path / "val.jsonl")) == ["train"]


# Hugging Face datasets


@pytest.fixture
def datasets(monkeypatch, tmp_path):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()
    return datasets


ROWS = [{"q": f"q{i}", "answers": {"text": [f"a{i}", "b"], "start": [0, 1]}} for i in range(1500)]


def test_datasets_on_disk(datasets, tmp_path):
    whole = datasets.Dataset.from_list(ROWS)
    whole.save_to_disk(tmp_path / "one")
    parts = {"train": whole, "dev": whole.select([3, 4])}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "several")
    source = only(tmp_path / "one")
    found = list(source.rows(refuse))
    assert [row for _, _, row in found] == ROWS and source.columns == ["q", "answers"]
    assert [source.read(found[i][1]) for i in (1499, 0, 7)] == [ROWS[i] for i in (1499, 0, 7)]
    assert source.place(3).endswith("one, split 'train', row 3")
    assert list(open_sources(tmp_path / "several")) == ["train"]
    assert rows_of(open_sources(tmp_path / "several", {"validation": "dev"})["validation"]) == ROWS[3:5]
    with pytest.raises(ValueError, match="unknown split .*'devv'. Did you mean 'dev'"):
        open_sources(tmp_path / "several", {"test": "devv"})


def test_datasets_of_files(datasets, tmp_path):
    whole = datasets.Dataset.from_list(ROWS)
    os.mkdir(tmp_path / "folder")
    whole.to_json(tmp_path / "folder" / "train.jsonl")
    whole.select([0]).to_json(tmp_path / "folder" / "test.jsonl")
    found = open_sources(tmp_path / "folder")
    assert list(found) == ["train", "test"] and rows_of(found["train"]) == ROWS
    for i in range(2):
        whole.select(range(700 * i, 700 * (i + 1))).to_parquet(tmp_path / f"train-{i}.parquet")
    assert rows_of(only(tmp_path / "train-*.parquet")) == ROWS[:1400]
    assert len(rows_of(open_sources(tmp_path / "{split}.parquet", {"train": "train-1", **NO_OTHERS})["train"])) == 700


NO_OTHERS = {"validation": None, "test": None}


@pytest.mark.parametrize("path", ["squad", "nobody/has-this"])
def test_a_dataset_that_cannot_be_loaded(datasets, path):
    with pytest.raises(ValueError, match=rf"no dataset can be loaded from '{path}', name='x' \(.*Allowed: a file"):
        open_sources(path, subset="x")


def test_without_the_library_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(ImportError, match=r'pip install "textgym\[datasets\]"'):
        open_sources("squad")


# Malformed rows


def jsonl_lines(*lines):
    return "x.jsonl", [b'{"a": "1"}', *lines, b'{"a": "2"}']


def csv_lines(*lines):
    return "x.csv", [b"a,b", b"1,1", *lines, b"2,2"]


BAD = {
    "cut": (jsonl_lines(b'{"a": "x'), "not JSON", "x.jsonl:2:7: not JSON (Unterminated string"),
    "no object": (jsonl_lines(b"[1]"), "no JSON object", "x.jsonl:2: [1] is no JSON object"),
    "deep": (jsonl_lines(b"[" * 100_000), "not JSON", "x.jsonl:2:1: not JSON (nested too deeply)"),
    "json bytes": (jsonl_lines(b'{"a": "\xff"}'), "not UTF-8", "x.jsonl:2: byte 8 of the line, 0xff"),
    "cells": (csv_lines(b"1,2,3"), "wrong number of cells", "x.csv:3: 3 cells; the header has 2: a, b"),
    "cell": (csv_lines(b"1"), "wrong number of cells", "x.csv:3: 1 cells"),
    "quotes": (csv_lines(b'"1"2,3'), "not CSV", "x.csv:3: not CSV ("),
    "csv bytes": (csv_lines(b"\xe4,3"), "not UTF-8", "x.csv:3: byte 1 of the line, 0xe4"),
    "tabs": (("x.tsv", [b"a\tb", b"1\t1", b"a b", b"2\t2"]), "wrong number of cells", "x.tsv:3: 1 cells"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_row_says_where_it_stands_or_is_left_out(tmp_path, name):
    (file, lines), reason, words = BAD[name]
    source = only(write_raw(tmp_path / file, b"\n".join(lines) + b"\n"))
    with pytest.raises(BadRow) as raised:
        rows_of(source)
    assert str(raised.value).startswith(f"{tmp_path}/{words}") and "on_bad_row='skip'" in str(raised.value)
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)
    left_out = []
    assert [row["a"] for row in rows_of(source, left_out.append)] == ["1", "2"]
    assert [error.reason for error in left_out] == [reason]


@pytest.mark.parametrize("longer", ["x", "y"])
def test_parallel_files_of_different_lengths(tmp_path, longer):
    paths = {c: write_lines(tmp_path / c, ["1", "2", "3", "4"][: 4 if c == longer else 2]) for c in ("x", "y")}
    shorter = "y" if longer == "x" else "x"
    with pytest.raises(BadRow, match=f"/{shorter}:3: there is no such line, but .*/{longer} has it"):
        rows_of(only(paths))
    left_out = []
    assert len(rows_of(only(paths), left_out.append)) == 2
    assert [error.reason for error in left_out] == ["files of different lengths"] * 2


def test_bytes_of_parallel_text_that_are_no_text(tmp_path):
    paths = {"x": write_lines(tmp_path / "x", ["1", "2"]), "y": write_raw(tmp_path / "y", b"1\n\xff\n")}
    with pytest.raises(BadRow, match="/y:2: byte 1 of the line, 0xff, is not UTF-8"):
        rows_of(only(paths))


# What cannot be opened


@pytest.mark.parametrize(
    "path, options, error, words",
    [
        ("{}/trian.jsonl", {}, FileNotFoundError, "Did you mean '{}/train.jsonl'"),
        ("{}/no/x.csv", {}, FileNotFoundError, "there is no folder '{}/no'"),
        ("{}/sub.jsonl", {}, FileNotFoundError, "is a folder"),
        ("{}/text.txt", {}, ValueError, "read as {{'text': '{}/text.txt'}}"),
        ("{}/empty.csv", {}, ValueError, "empty.csv is empty"),
        ("{}/twice.csv", {}, ValueError, "twice.csv:1: two columns are called 'a'"),
        ("{}/no.jsonl.gz", {}, ValueError, "no gzip file"),
        ({"x": "{}/text.txt", "y": "{}/{{split}}.txt"}, {}, ValueError, "all parallel files have '{{split}}'"),
        ("{}/train.jsonl", {"splits": {"test": "dev"}}, ValueError, "has none"),
        ("{}/train.jsonl", {"subset": "x"}, ValueError, "subset='x' is for Hugging Face datasets"),
        ("{}/{{split}}.jsonl", {"splits": {"tset": "dev"}}, ValueError, "Did you mean 'test'"),
        ("{}/{{split}}.jsonl", {"splits": {"train": None}}, ValueError, "'train' cannot be None"),
        ("{}/{{split}}.jsonl", {"splits": ["dev"]}, TypeError, "splits is a dict such as"),
        ("{}/{{split}}.jsonl", {"splits": {"test": 3}}, TypeError, "splits is a dict such as"),
        (3, {}, TypeError, "path is a file (.jsonl"),
        ({}, {}, TypeError, "path is a file (.jsonl"),
        ({"x": 3}, {}, TypeError, "path is a file (.jsonl"),
    ],
    ids=str,
)
def test_what_cannot_be_opened(tmp_path, path, options, error, words):
    (tmp_path / "sub.jsonl").mkdir()
    (tmp_path / "no.jsonl.gz").write_bytes(b"no gzip")
    for name, lines in {"train.jsonl": ["{}"], "text.txt": ["x"], "empty.csv": [], "twice.csv": ["a,a"]}.items():
        write_lines(tmp_path / name, lines)
    if isinstance(path, dict):
        path = {c: p.format(tmp_path) if isinstance(p, str) else p for c, p in path.items()}
    elif isinstance(path, str):
        path = path.format(tmp_path)
    with pytest.raises(error) as raised:
        rows_of(open_sources(path, **options)["train"])
    assert words.format(tmp_path) in str(raised.value)


def test_half_a_gzip_file(tmp_path):
    data = gzip.compress(os.urandom(100_000))
    (tmp_path / "x.jsonl.gz").write_bytes(data[:50_000])
    with pytest.raises(ValueError, match="not a whole one"):
        rows_of(only(tmp_path / "x.jsonl.gz"), lambda error: None)


def test_a_file_that_has_changed_is_not_read_at_old_positions(tmp_path):
    path = write_jsonl(tmp_path / "x.jsonl", [{"a": "1"}])
    source = only(path)
    ((_, position, _),) = source.rows(refuse)
    write_jsonl(path, [{"b": "22"}])
    with pytest.raises(RuntimeError, match="has changed"):
        source.read(position)


# Templates

ROW = {
    "q": "Why {x}?", "n": 3, "r": 2.5, "a b": "c", "a.b": "dotted", "many": ["x", "y"], "none": None, "yes": True,
    "nan": float("nan"), "answers": {"text": ["p", "q"], "n": 2}, "turns": [{"text": "hi"}, {"text": "ho"}],
    "empty": [],
}  # fmt: skip


@pytest.mark.parametrize(
    "template, texts",
    [
        ("{q}", ["Why {x}?"]),
        ("", [""]),
        ("Q: {q} {n}/{r} {{{a b}}}", ["Q: Why {x}? 3/2.5 {c}"]),
        ("{a.b}", ["dotted"]),
        ("{answers.n}", ["2"]),
        ("{n}: {answers.text}!", ["3: p!", "3: q!"]),
        ("{turns.text}", ["hi", "ho"]),
        ("{many}, {many}", ["x, x", "y, y"]),
        ("{empty}", []),
    ],
)
def test_templates(template, texts):
    made = Template("reference", template)
    assert made.write_all(ROW) == texts
    if len(texts) == 1:
        assert made.write(ROW) == texts[0]


@pytest.mark.parametrize(
    "template, reason, words",
    [
        ("{question}", "no such column", "unknown column 'question'. Allowed"),
        ("{answer.text}", "no such column", "unknown column 'answer'. Did you mean 'answers'"),
        ("{answers.txt}", "no such column", "unknown column 'txt'. Did you mean 'text'"),
        ("{q.text}", "no such column", "'Why {x}?' has no 'text'"),
        ("{none}", "no text", "column 'none' holds None"),
        ("{yes}", "no text", "holds True"),
        ("{nan}", "no text", "holds nan"),
        ("{answers}", "no text", "holds {'text'"),
        ("{many} {turns.text}", "several lists", "many and turns.text hold lists"),
    ],
)
def test_rows_that_do_not_fit_a_template(template, reason, words):
    with pytest.raises(BadRow) as raised:
        Template("reference", template).write_all(ROW)
    assert raised.value.reason == reason and words in raised.value.details


def test_a_prompt_is_one_text():
    with pytest.raises(BadRow, match="column 'many' holds"):
        Template("prompt", "{many}").write(ROW)


@pytest.mark.parametrize("template", ["{q", "q}", "{}", "{q!r}", "{q:>5}", 3, None])
def test_what_is_no_template(template):
    with pytest.raises((ValueError, TypeError), match="prompt"):
        Template("prompt", template)


def test_json_is_read_strictly_enough_to_write_it_again(tmp_path):
    rows = [{"a": "\u2028"}, {"a": ["\ud83d\ude00"]}]
    path = write_lines(tmp_path / "x.jsonl", map(json.dumps, rows))
    assert rows_of(only(path)) == [{"a": "\u2028"}, {"a": ["😀"]}]
