"""Tasks over a user's own data: which items there are, in which split, in memory or streamed; what is refused."""

import copy
import gzip
import json
import pickle
from collections import Counter, defaultdict

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_data import GIVEN, SENTENCES, write_csv, write_jsonl, write_lines

import textgym.__main__ as cli
from textgym import Episode, Vocabulary
from textgym.errors import ArgumentNeeded
from textgym.tasks import SPLITS, base
from textgym.tasks.collection import Collection
from textgym.tasks.own_data import Dataset
from textgym.tasks.row_files import BadRow, LineFile
from textgym.tasks.sources import open_sources
from textgym.tasks.templates import Template

BYTES = {"name": "byte_bpe", "size": 257}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def pairs(folder):
    return GIVEN["Dataset-v0"](folder)["path"]


def fixed(task):
    return [task.episode(i) for i in range(len(task))]


# Which items, and where


def expected(parts, group):
    """split -> its items, and reason -> how many rows are left out, by dicts instead of sorted checksums."""
    made = [split for split in SPLITS if split not in parts]
    dropped = {split: Counter() for split in SPLITS}
    seen = defaultdict(dict)  # split -> key -> prompt, references, contents
    for name, rows in parts.items():
        for prompt, texts in rows:
            references = tuple(dict.fromkeys(text for text in texts if text.strip()))
            if not references:
                for split in (name, *made) if name == "train" else (name,):
                    dropped[split]["no reference"] += 1
                continue
            key = prompt if group else "\0".join((prompt, *references))
            split = base.split_of(key)
            split = split if name == "train" and split in made else name
            seen[split].setdefault(key, []).append((prompt, references))
    items = {}
    for i, split in enumerate(SPLITS):
        items[split] = []
        for key, rows in seen[split].items():
            later = [other for other in SPLITS[i + 1 :] if key in seen[other]]
            if later:
                dropped[split][f"also in {later[-1]}"] += len(rows)
            else:
                dropped[split]["duplicate"] += len(rows) - len(set(rows))
                references = dict.fromkeys(r for _, references in rows for r in references)
                items[split].append(Episode(rows[0][0], tuple(references)))
    return items, {split: +counts for split, counts in dropped.items()}


ROWS = st.lists(st.tuples(st.text("abc", max_size=3), st.lists(st.text("xy ", max_size=2), max_size=3)), max_size=12)


@pytest.mark.parametrize("own", [("train",), ("train", "test"), ("train", "validation"), SPLITS])
def test_every_item_is_in_one_split_and_every_row_accounted_for(own, tmp_path_factory):
    folder = tmp_path_factory.mktemp("splits")

    @settings(max_examples=100, deadline=None)
    @given(st.tuples(*[ROWS] * len(own)), st.booleans(), st.booleans())
    def check(several, group, keep):
        parts = dict(zip(own, several, strict=True))
        for split, rows in parts.items():
            write_jsonl(folder / f"{split}.jsonl", [{"p": prompt, "r": texts} for prompt, texts in rows])
        sources = open_sources(str(folder / "{split}.jsonl"), {split: None for split in SPLITS if split not in own})
        made = Collection(sources, Template("prompt", "{p}"), [Template("reference", "{r}")], group=group, keep=keep)
        items, dropped = expected(parts, group)
        assert {split: list(made.items[split]) for split in SPLITS} == items
        assert {split: +counts for split, counts in made.dropped.items()} == dropped
        keys = [item.prompt if group else item for split in SPLITS for item in made.items[split]]
        assert len(set(map(repr, keys))) == len(keys)

    check()


def test_splits_by_content_do_not_move_when_rows_are_added(tmp_path):
    rows = [{"prompt": f"number {i}", "reference": str(i)} for i in range(2000)]
    found = []
    for part in (rows, rows[500:1500]):
        path = write_jsonl(tmp_path / f"{len(part)}.jsonl", part)
        found.append({split: set(map(repr, Dataset(path, split=split).items)) for split in SPLITS})
    assert all(found[1][split] < found[0][split] for split in SPLITS)
    assert [round(len(found[0][split]) / 2000, 1) for split in SPLITS] == [0.8, 0.1, 0.1]


def test_published_test_sets_stay_whole_and_are_not_trained_on(tmp_path):
    rows = {"train": "abcdef", "val": "axy", "test": "bxz"}
    for name, letters in rows.items():
        write_jsonl(tmp_path / f"{name}.jsonl", [{"prompt": letter, "reference": letter} for letter in letters])
    made = {
        split: Dataset(str(tmp_path / "{split}.jsonl"), splits={"validation": "val"}, split=split) for split in SPLITS
    }
    assert {split: "".join(sorted(item.prompt for item in task.items)) for split, task in made.items()} == {
        "train": "cdef", "validation": "ay", "test": "bxz"
    }  # fmt: skip
    assert made["train"].dropped == {"also in validation": 1, "also in test": 1}
    assert made["validation"].dropped == {"also in test": 1}


def test_references_that_are_also_trained_on_are_reported(tmp_path):
    for name, answers in {"train": "xxy", "validation": "xz", "test": "zw"}.items():
        write_jsonl(
            tmp_path / f"{name}.jsonl", [{"prompt": name + str(i), "reference": a} for i, a in enumerate(answers)]
        )
    for streaming in (False, True):
        made = [Dataset(str(tmp_path / "{split}.jsonl"), split=split, streaming=streaming) for split in SPLITS]
        assert [task.overlap for task in made] == [1, 0.5, 0]


def test_several_references(tmp_path):
    rows = [{"q": "a", "r": "1", "s": ["2", "3"]}, {"q": "a", "r": "4", "s": []}, {"q": "b", "r": " ", "s": ["5"]}]
    path = write_jsonl(tmp_path / "x.jsonl", rows)

    def found(reference, **more):
        references = [Template("reference", each) for each in reference]
        made = Collection(open_sources(path), Template("prompt", "{q}"), references, **more)
        return sorted((item.prompt, item.references) for split in SPLITS for item in made.items[split])

    assert found(reference=["{r}"]) == [("a", ("1", "4"))]
    assert found(reference=["{r}", "{s}"]) == [("a", ("1", "2", "3", "4")), ("b", ("5",))]
    assert found(reference=["{r}", "{s}"], group=False) == [("a", ("1", "2", "3")), ("a", ("4",)), ("b", ("5",))]


def test_prompts_that_do_not_tell_rows_apart_are_refused_when_they_are_to_be_grouped(tmp_path):
    path = write_lines(tmp_path / "train", (f"sentence {i}" for i in range(1000)))
    with pytest.raises(ValueError, match="have only 1 different prompts.*group=False"):
        Dataset({"text": path}, prompt="", reference="{text}")
    tasks = [Dataset({"text": path}, prompt="", reference="{text}", group=False, split=split) for split in SPLITS]
    assert sum(map(len, tasks)) == 1000 and min(map(len, tasks)) > 70
    assert tasks[0].prompt_length == 1 and tasks[0].episode(0).prompt == ""


# In memory and streamed


@pytest.mark.parametrize("name", GIVEN)
def test_streamed_or_in_memory_the_task_is_the_same(name, tmp_path):
    from textgym.registration import IDS

    given = {**IDS[name][1], **GIVEN[name](tmp_path)}
    if isinstance(given["path"], dict):
        for file in tmp_path.glob("*.gz"):
            file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
        given["path"] = {column: path.removesuffix(".gz") for column, path in given["path"].items()}
    for split in SPLITS:
        one, other = (Dataset(**{**given, "split": split, "streaming": streaming}) for streaming in (False, True))
        assert fixed(one) == fixed(other) and one.dropped == other.dropped
        assert (one.prompt_length, one.budget) == (other.prompt_length, other.budget)
        assert one.vocabulary.fingerprint == other.vocabulary.fingerprint
        assert one.overlap == other.overlap
        drawn = [[task.sample(rng) for _ in range(400)] for task, rng in ((one, rng()), (other, rng()))]
        assert set(map(repr, drawn[0])) == set(map(repr, drawn[1])) or split == "train"
        assert set(map(repr, drawn[1])) <= set(map(repr, fixed(one)))


def rng():
    return np.random.default_rng(5)


def test_a_dataset_on_disk_is_streamed_by_index(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = [{"id": i, "prompt": f"p {i % 400}", "reference": [f"{i}", "r"], "other": b"x"} for i in range(500)]
    datasets.DatasetDict({"train": datasets.Dataset.from_list(rows)}).save_to_disk(tmp_path / "set")
    for split in SPLITS:
        one, other = (Dataset(tmp_path / "set", split=split, streaming=streaming) for streaming in (False, True))
        assert fixed(one) == fixed(other) and one.overlap == other.overlap
        assert "validation and test made of train" in one.notes[0]
        again = pickle.loads(pickle.dumps(other))
        assert [again.sample(rng()) for _ in range(5)] == [other.sample(rng()) for _ in range(5)]
    assert {len(item.references) for item in fixed(Dataset(tmp_path / "set"))} == {2, 3}


def test_more_rows_than_are_fixed_are_streamed(tmp_path):
    path = write_jsonl(
        tmp_path / "x.jsonl", [{"prompt": f"{i}", "reference": "a" * (1 + i % 7)} for i in range(14_000)]
    )
    task = Dataset(path, streaming=True, budget=7, tokenizer=BYTES)
    assert 8500 < len(task) < 8700 and task.dropped["reference too long"] + len(task) == 10_000
    drawn = [task.sample(np.random.default_rng(seed)) for seed in range(300)]
    assert drawn == [task.sample(np.random.default_rng(seed)) for seed in range(300)]
    assert all(len(item.references[0]) < 7 for item in drawn)
    outside = set(map(repr, drawn)) - set(map(repr, fixed(task)))
    assert len(outside) > 20  # they are not fixed ones
    assert "streams 11" in task.notes[-1]
    assert Dataset(path, streaming=True, budget=7, tokenizer=BYTES).fingerprint == task.fingerprint


def test_a_draw_reads_one_row_however_many_there_are(tmp_path, monkeypatch):
    path = write_jsonl(tmp_path / "x.jsonl", [{"prompt": f"{i:05}", "reference": "r"} for i in range(3000)])
    task, reads = Dataset(path, streaming=True), []
    read = LineFile.lines_from
    monkeypatch.setattr(LineFile, "lines_from", lambda file, offset: reads.append(offset) or read(file, offset))
    drawn = [task.sample(np.random.default_rng(seed)) for seed in range(50)]
    assert len(reads) == 50 and len(set(map(repr, drawn))) > 40
    assert task.episode(7) == task.episode(7) and len(reads) == 50  # fixed ones are kept


def test_a_streamed_task_can_be_copied_and_sent_to_another_process(pairs):
    task = Dataset(pairs, streaming=True)
    again = pickle.loads(pickle.dumps(task))
    assert copy.deepcopy(task) is task
    assert [task.sample(rng()) for _ in range(9)] == [again.sample(rng()) for _ in range(9)]
    assert len(pickle.dumps(task)) < 400_000


def test_compressed_files_are_not_streamed(tmp_path):
    path = write_lines(tmp_path / "x.jsonl.gz", ['{"prompt": "a", "reference": "b"}'])
    with pytest.raises(ValueError, match="unpack .*x.jsonl.gz"):
        Dataset(path, streaming=True)


def test_a_file_that_is_written_to_is_read_anew(tmp_path):
    path = write_jsonl(tmp_path / "x.jsonl", [{"prompt": str(i), "reference": "old"} for i in range(50)])
    env, same = (gym.make("textgym/Dataset-v0", path=path).unwrapped for _ in range(2))
    assert env.task is same.task
    write_jsonl(path, [{"prompt": str(i), "reference": "newer"} for i in range(50)])
    assert gym.make("textgym/Dataset-v0", path=path).unwrapped.task.episode(0).references == ("newer",)


# Sizes


def test_sizes_fit_the_training_items_but_for_outliers(tmp_path):
    lengths = [5] * 2000 + [9] * 998 + [400] * 2
    rows = [{"prompt": f"{i:04}" + "p" * n, "reference": "r" * n} for i, n in enumerate(lengths)]
    for name, part in {"train": rows, "validation": [{"prompt": "v", "reference": "r" * 10}] + rows[:3]}.items():
        write_jsonl(tmp_path / f"{name}.jsonl", part)
    arguments = {"path": str(tmp_path / "{split}.jsonl"), "splits": {"test": None}, "tokenizer": BYTES}
    train, validation = (Dataset(**arguments, split=split) for split in ("train", "validation"))
    assert (train.prompt_length, train.budget) == (13, 10) == (validation.prompt_length, validation.budget)
    dropped = train.dropped + validation.dropped + Dataset(**arguments, split="test").dropped
    assert dropped["prompt too long"] == 2 and validation.dropped["reference too long"] == 1
    assert "prompt_length=13 and budget=10" in "; ".join(train.notes)
    chosen = Dataset(**arguments, prompt_length=500, budget=500)
    assert sum(chosen.dropped.values()) == 3 and "999" not in "; ".join(chosen.notes)  # also in validation


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.builds(Episode, st.text("abé ", max_size=8), st.lists(st.text("abé ", max_size=8), max_size=3))),
    st.sampled_from([Vocabulary.characters("ab "), Vocabulary.words(["a b ab"]), Vocabulary.byte_bpe("ab", 260)]),
    st.integers(0, 6),
    st.integers(1, 7),
)
def test_items_are_dropped_in_batches_for_the_reasons_they_would_be_dropped_for_alone(
    items, vocabulary, length, budget
):
    task = Dataset.__new__(Dataset)
    base.Task.__init__(task, vocabulary=vocabulary, prompt_length=length, budget=budget)
    assert task._misfits(items) == [task._misfit(item) for item in items]


def test_a_character_vocabulary_drops_what_it_cannot_write(tmp_path):
    for name, letters in {"train": "abc", "validation": "abd"}.items():
        write_jsonl(tmp_path / f"{name}.jsonl", [{"prompt": name[0] + a, "reference": a} for a in letters])
    arguments = {"path": str(tmp_path / "{split}.jsonl"), "splits": {"test": None}}
    task = Dataset(**arguments, split="validation", tokenizer=Vocabulary.characters(["abc", "tv"]))
    assert len(task) == 2 and task.dropped == {"not in the vocabulary": 1}


def test_words_that_are_unknown_are_refused_unless_lossy(pairs):
    small = {"name": "word", "size": 20}
    with pytest.raises(ValueError, match="lossy=True"):
        Dataset(pairs, tokenizer=small)
    assert len(Dataset(pairs, tokenizer=small, lossy=True)) > 300
    assert len(Dataset(pairs, tokenizer="word")) > 300


# Scores


@pytest.mark.parametrize(
    "metric, words",
    [
        ("wer", "lower is better"),
        ("ter", "lower is better"),
        ({"name": "edit_distance", "form": "distance"}, "lower is better"),
        ("length", r"gives \d+ for .* a true score is in \[0, 1\]"),
        ("token_match", "not told texts but tokens"),
        ("character_acuracy", "Did you mean 'character_accuracy'"),
    ],
)
def test_what_is_no_true_score_is_refused(pairs, metric, words):
    with pytest.raises(ValueError, match=words):
        Dataset(pairs, metric=metric)


@pytest.mark.parametrize("name", GIVEN)
def test_the_reference_scores_one_and_nothing_zero(name, tmp_path):
    from textgym.registration import IDS

    task = Dataset(**IDS[name][1], **GIVEN[name](tmp_path))
    episodes = fixed(task)[:50]
    for reference in range(len(episodes[0].references)):
        texts = [episode.references[reference] for episode in episodes]
        assert task.score_all(texts, episodes) == pytest.approx([1.0] * 50)
    assert task.score_all([""] * 50, episodes) == [0.0] * 50


def test_the_shapes_of_well_known_data(tmp_path):
    rows = [{"id": "1", "title": "t", "context": f"In {i} it was.", "question": "When?",
             "answers": {"text": [str(i), f"in {i}"], "answer_start": [3, 0]}} for i in range(60)]  # fmt: skip
    task = gym.make("textgym/QuestionAnsweringDataset-v0", path=write_jsonl(tmp_path / "s.jsonl", rows)).unwrapped.task
    assert task.episode(0).prompt.endswith("it was.\nWhen?") and len(task.episode(0).references) == 2
    rows = [{"mr": f"name[{i // 2}]", "ref": f"{i}, it is"} for i in range(120)]
    task = gym.make("textgym/DialogueDataset-v0", path=write_csv(tmp_path / "e.csv", rows)).unwrapped.task
    assert {len(episode.references) for episode in fixed(task)} == {2}


# Malformed rows


def test_a_malformed_row_is_an_error_that_names_file_line_and_column_or_is_counted(tmp_path):
    good = [{"prompt": f"p{i}", "reference": "r"} for i in range(40)]
    bad = ['{"prompt": "x"}', '{"prompt": "x", "reference": 1', '{"prompt": null, "reference": "r"}',
           '{"prompt": "\\ud800", "reference": "r"}', '{"prompt": "x", "reference": ""}']  # fmt: skip
    lines = [*map(json.dumps, good), *bad]
    path = write_lines(tmp_path / "x.jsonl", lines)
    with pytest.raises(BadRow, match="x.jsonl:41: unknown column 'reference'. Allowed: prompt"):
        gym.make("textgym/Dataset-v0", path=path)
    for number, words in ((2, ":41:31: not JSON"), (3, "column 'prompt' holds None"), (4, "not Unicode")):
        write_lines(path, lines[:40] + lines[39 + number :])
        with pytest.raises(BadRow, match=words):
            gym.make("textgym/Dataset-v0", path=path)
    write_lines(path, lines)
    for split in SPLITS:
        for streaming in (False, True):
            task = Dataset(path, on_bad_row="skip", split=split, streaming=streaming)
            assert task.dropped == {"no such column": 1, "not JSON": 1, "no text": 1, "not UTF-8": 1, "no reference": 1}
    assert sum(len(Dataset(path, on_bad_row="skip", split=split)) for split in SPLITS) == 40


# What is refused


@pytest.mark.parametrize("make", [gym.make, gym.make_vec])
@pytest.mark.parametrize("name", GIVEN)
def test_an_id_without_data_says_what_it_needs(name, make):
    with pytest.raises(ArgumentNeeded, match="needs path=.*columns .*a file.*For example path=") as raised:
        make(f"textgym/{name}")
    again = pickle.loads(pickle.dumps(raised.value))
    assert (str(again), again.needs) == (str(raised.value), raised.value.needs)


def test_the_commands_say_what_it_needs(capsys, pairs, monkeypatch):
    from textgym.commands import listing

    monkeypatch.setattr(listing, "IDS", {name: line for name, line in listing.IDS.items() if name in GIVEN})
    assert cli.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert lines[1] == "TranslationDataset-v0: needs path=..., data with the columns source, target"
    assert len(lines) == len(GIVEN) and all(": needs path=" in line for line in lines)
    assert cli.main(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0] == {
        "id": "Dataset-v0", "needs": "needs path=..., data with the columns prompt, reference"
    }  # fmt: skip
    assert cli.main(["show", "Dataset-v0"]) == 2
    assert "needs path=" in capsys.readouterr().err
    assert cli.main(["show", "Dataset-v0", "--set", f"path={pairs}"]) == 0
    assert "validation and test made of train" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ({"group": 1}, TypeError, "group must be True or False"),
        ({"streaming": "yes"}, TypeError, "streaming must be True or False"),
        ({"on_bad_row": "skipp"}, ValueError, "Did you mean 'skip'"),
        ({"split": "dev"}, ValueError, "unknown split 'dev'"),
        ({"prompt": "{promt}"}, BadRow, "Did you mean 'prompt'"),
        ({"reference": []}, TypeError, "reference is a template"),
        ({"reference": 3}, TypeError, "reference is a template"),
        ({"prompt": 3}, TypeError, "prompt is a text with columns"),
        ({"prompt_length": 0}, ValueError, "prompt_length must be a whole number, at least 1"),
        ({"budget": 1}, ValueError, "none fits"),
        ({"pth": "x"}, TypeError, "Did you mean 'path'"),
    ],
    ids=str,
)
def test_bad_arguments(pairs, arguments, error, words):
    with pytest.raises(error, match=words):
        gym.make("textgym/Dataset-v0", **{"path": pairs, **arguments})


def test_a_column_that_a_header_does_not_have_is_never_skipped(tmp_path):
    path = write_csv(tmp_path / "x.csv", [{"source": "a", "target": "b"}])
    with pytest.raises(
        ValueError, match=r"x.csv, prompt='\{prompt\}': unknown column 'prompt'. Allowed: source, target"
    ):
        Dataset(path, on_bad_row="skip")


def test_an_empty_split_says_how_many_items_there_are(tmp_path):
    path = write_jsonl(tmp_path / "x.jsonl", [{"prompt": "a", "reference": "b"}])
    with pytest.raises(ValueError, match=r"split 'test' of .* is empty \(items: train 1, validation 0, test 0"):
        Dataset(path, split="test")


def test_arguments_are_json_and_paths_may_be_path_objects(pairs, folder):
    env = gym.make("textgym/Dataset-v0", path=pairs, splits=None, metric={"name": "chrf", "word_order": 2})
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.task is env.unwrapped.task
    assert len(Dataset(folder / "data.jsonl")) == len(env.unwrapped.task)


def test_other_splits_are_made_of_the_same_arguments(pairs):
    task = gym.make("textgym/Dataset-v0", path=pairs, split="test").unwrapped.task
    train = task.with_split("train")
    assert train.vocabulary is task.vocabulary and len(train) + len(task) < len(SENTENCES)
