"""Records: whole or absent; whatever must not enter a figure is refused by name."""

import gzip
import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from experiments import records
from experiments.records import RecordError, path_of, read, read_experiment, write
from experiments.registry import Comparison, Experiment

EXPERIMENT = Experiment(
    name="toy", page="A question?", tags=(), budget=8, seeds=3,
    settings={
        "start": {"agent": "likelihood", "env": "textgym/Copy-v0", "updates": 3},
        "delta": {"agent": "transformer", "env": "textgym/Copy-v0", "init": "start", "reward": "delta"},
    },
    seconds={}, smoke={}, primary=Comparison("delta", "start"), score=lambda runs: np.zeros(len(runs)),
    columns={"greedy": "score"},
)  # fmt: skip


def header_of(run, **changes):
    policy = f"policy-{run.seed}"
    header = {"experiment": run.experiment, "arm": run.arm, "seed": run.seed, "id": run.id, "settings": run.settings}
    header |= {"given": {}, "fingerprint": "f", "versions": {}, "seconds": 1.0}
    return {**header, "policy": None if run.init else policy, "init": policy if run.init else None, **changes}


def rows():
    return [{"tokens": t, "greedy": t / 8, "sampled": None} for t in (0, 4, 8)]


@pytest.fixture
def folder(tmp_path):
    for run in EXPERIMENT.runs():
        write(path_of(tmp_path, run), header_of(run), rows())
    return tmp_path


def path(folder, name):
    return folder / "toy" / f"{name}{records.SUFFIX}"


def rewrite(file, change):
    """The record with another header and a right checksum: not damaged, but another."""
    record = read(file)
    header = {**record.header, **change}
    write(file, {k: v for k, v in header.items() if k != "format"}, record.evaluations)


def problems(folder, **kwargs):
    with pytest.raises(RecordError) as caught:
        read_experiment(folder, EXPERIMENT, **kwargs)
    return caught.value.problems


def test_what_was_written_is_read(folder):
    found = read_experiment(folder, EXPERIMENT)
    assert [(r.arm, r.seed) for r in found] == [(run.arm, run.seed) for run in EXPERIMENT.runs()]
    assert found[0].tokens.tolist() == [0, 4, 8]
    assert found[0].last("greedy") == 1.0
    assert np.isnan(found[0].curve("sampled")).all()


def test_the_same_lines_give_the_same_bytes(folder, tmp_path):
    run = EXPERIMENT.runs()[0]
    write(tmp_path / "again", header_of(run), rows())
    assert (tmp_path / "again").read_bytes() == path_of(folder, run).read_bytes()


def test_every_cut_and_every_changed_byte_is_noticed(folder):
    file = path(folder, "delta-s1")
    whole = file.read_bytes()
    for end in range(len(whole)):
        file.write_bytes(whole[:end])
        with pytest.raises(RecordError, match="delta-s1"):
            read(file)
    for at in range(10, len(whole)):  # before: gzip's own header, some of which says nothing
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(RecordError, match="delta-s1"):
            read(file)


def test_lines_cut_or_changed_within_a_whole_file_are_noticed(folder):
    file = path(folder, "delta-s1")
    lines = gzip.decompress(file.read_bytes()).decode().splitlines()
    for fewer in (lines[:-1], lines[:2], lines[:1] + lines[2:], [*lines, lines[1]], lines[1:]):
        file.write_bytes(gzip.compress(("\n".join(fewer) + "\n").encode()))
        with pytest.raises(RecordError, match="delta-s1"):
            read(file)
    better = [line.replace('"greedy": 0.5', '"greedy": 0.9') for line in lines]
    assert better != lines
    file.write_bytes(gzip.compress(("\n".join(better) + "\n").encode()))
    with pytest.raises(RecordError, match="changed"):
        read(file)


def test_a_damaged_record_is_named_and_not_called_missing_too(folder):
    path(folder, "delta-s1").write_bytes(b"no gzip")
    (found,) = problems(folder)
    assert "delta-s1.jsonl.gz: damaged" in found


def test_a_missing_seed_is_named(folder):
    path(folder, "delta-s2").unlink()
    assert problems(folder) == [f"{path(folder, 'delta-s2')}: missing: arm delta, seed 2 has not been run"]
    assert len(read_experiment(folder, EXPERIMENT, partial=True)) == 5


def test_a_run_that_is_there_twice_is_named(folder):
    shutil.copy(path(folder, "delta-s1"), path(folder, "copy-of-delta-s1"))
    (found,) = problems(folder)
    assert "copy-of-delta-s1.jsonl.gz: a second record of delta-s1" in found
    shutil.move(path(folder, "copy-of-delta-s1"), path(folder, "delta-s2"))  # in another's place
    assert any("delta-s2.jsonl.gz: a second record of delta-s1" in each for each in problems(folder, partial=True))


def test_a_foreign_record_is_named(folder):
    rewrite(path(folder, "delta-s1"), {"id": "0" * 16, "experiment": "other"})
    assert "delta-s1.jsonl.gz: of another run" in problems(folder)[0] and "other" in problems(folder)[0]
    write(path(folder, "delta-s7"), header_of(EXPERIMENT.runs()[0], id="1" * 16, seed=7), rows())
    write(path(folder, "other-s0"), header_of(EXPERIMENT.runs()[0], id="2" * 16, arm="other"), rows())
    found = problems(folder, partial=True)
    assert any("delta-s7.jsonl.gz: of another run" in each for each in found)
    assert any("other-s0.jsonl.gz: foreign" in each for each in found)


@pytest.mark.parametrize("change", [{"seed": "one"}, {"settings": None}, {"id": None}, {"policy": 1}])
def test_a_header_that_is_none_of_a_run_is_named(folder, change):
    rewrite(path(folder, "delta-s1"), change)
    (found,) = problems(folder)
    assert "delta-s1.jsonl.gz: foreign: its header lacks" in found and next(iter(change)) in found


def test_a_run_without_evaluations_is_named(folder):
    run = next(run for run in EXPERIMENT.runs() if run.name == "delta-s1")
    write(path(folder, "delta-s1"), header_of(run), [])
    assert problems(folder) == [f"{path(folder, 'delta-s1')}: it has no evaluations"]


def test_later_seeds_are_left_out(folder):
    assert [r.seed for r in read_experiment(folder, replace(EXPERIMENT, seeds=2))] == [1, 1, 2, 2]


def test_other_settings_are_named(folder):
    rewrite(path(folder, "start-s1"), {"id": "0" * 16, "settings": {**EXPERIMENT.settings["start"], "updates": 4}})
    assert any("updates was 4, is 3" in each for each in problems(folder))


def test_other_data_are_named_and_never_pooled(folder):
    rewrite(path(folder, "delta-s1"), {"fingerprint": "g"})
    for partial in (False, True):
        (found,) = problems(folder, partial=partial)
        assert "delta-s1.jsonl.gz: of other data: fingerprint g, of 5 others f" in found


def test_another_warm_start_is_named(folder):
    rewrite(path(folder, "delta-s2"), {"init": "policy-1"})
    (found,) = problems(folder)
    assert "delta-s2.jsonl.gz: it did not start from the policy of start-s2" in found


def test_all_problems_are_told_at_once(folder):
    path(folder, "delta-s3").write_bytes(b"")
    path(folder, "delta-s1").unlink()
    rewrite(path(folder, "delta-s2"), {"fingerprint": "g"})
    assert len(problems(folder)) == 3


def test_a_write_that_is_killed_leaves_no_record(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    run = EXPERIMENT.runs()[0]
    with pytest.raises(KeyboardInterrupt):
        write(path_of(tmp_path, run), header_of(run), rows())
    assert not path_of(tmp_path, run).exists()
    assert records.experiments_in(tmp_path) == []


def test_an_id_is_that_of_what_is_run(tmp_path):
    ids = {run.id for run in EXPERIMENT.runs()}
    assert len(ids) == 6
    assert ids == {run.id for run in EXPERIMENT.runs()}
    run = EXPERIMENT.runs()[1]
    assert json.loads(json.dumps(header_of(run)))["id"] == run.id
