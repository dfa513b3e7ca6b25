"""Measurements of the benchmarks: a record each, whole; pages from records alone; what is no record is named."""

import gzip
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

from experiments import __main__ as command  # noqa: E402
from experiments import measurements, records, report  # noqa: E402
from experiments.benchmarks.flags import flags  # noqa: E402
from experiments.launch import RunsFailed  # noqa: E402
from experiments.measurements import Table, measuring, newest  # noqa: E402
from experiments.records import RecordError  # noqa: E402

BENCHMARKS = Path(measurements.__file__).parent / "benchmarks"


def measure(folder, name="toy", seconds=1.5, smoke=False):
    args = flags("m", "What is timed.").parse_args(["--folder", str(folder), *(["--smoke"] if smoke else [])])
    with measuring(name, "What is timed.\n\nAnd how.\n", args, ("numpy",), device="an abacus") as tables:
        columns = [("what", "{}"), ("s", "{:.2f}"), ("times as fast", "{:.1f}x ({:.1f}-{:.1f})")]
        tables.append(Table("Both", columns, [["this", seconds, [2.0, 1.0, 3.25]], ["that", None, None]]))


def path(folder):
    return next((folder / "records" / "benchmarks").iterdir())


def test_a_record_holds_numbers_and_its_page_shows_them(tmp_path, capsys):
    measure(tmp_path)
    row = "| this | 1.50 | 2.0x (1.0-3.2) |"
    assert row in capsys.readouterr().out
    (found,) = newest(tmp_path / "records")
    assert found.tables[0].rows[0] == ["this", 1.5, [2.0, 1.0, 3.25]]
    header = found.record.header
    assert header["machine"]["cores"] >= 1 and header["machine"]["processor"] and "numpy" in header["versions"]
    page = found.page()
    assert row in page and "| that |  |  |" in page
    for word in ("# What is timed.", path(tmp_path).name, "device an abacus", header["when"], "numpy", "load before"):
        assert word in page
    assert "Tiny" not in page


def test_without_a_folder_no_record_is_left_and_a_failure_leaves_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args = flags("m", "d").parse_args([])
    with measuring("toy", "d", args, ()):
        pass
    args.folder = tmp_path
    with pytest.raises(ZeroDivisionError), measuring("toy", "d", args, ()):
        1 / 0  # noqa: B018
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("idle, cores", [(100, 0.0), (75, 1.0), (0, 4.0)])
def test_the_load_is_what_others_do_just_now(monkeypatch, idle, cores):
    """Whatever the last minute was like, which the benchmark before has filled."""
    ticks = iter([np.zeros(8), np.array([100 - idle, 0, 0, idle, 0, 0, 0, 0])])
    monkeypatch.setattr(measurements, "_ticks", lambda: next(ticks))
    monkeypatch.setattr(measurements.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(measurements.os, "getloadavg", lambda: (9.0, 9.0, 9.0))
    assert measurements.load(0.0) == cores
    monkeypatch.setattr(measurements, "_ticks", lambda: np.zeros(8))
    assert measurements.load(0.0) == 9.0


def later(folder, seconds):
    """A record of another number, an hour after the one that is there."""
    record = records.read(path(folder), of="benchmark")
    header = {name: value for name, value in record.header.items() if name != "format"}
    header["when"] = header["when"].replace(header["when"][:4], "2999")
    table = {**record.evaluations[0], "rows": [["this", seconds, None]]}
    records.write(path(folder).with_name(measurements._file(header)), header, [table])


def test_the_newest_is_shown_and_the_older_is_kept(tmp_path):
    measure(tmp_path)
    later(tmp_path, 7.0)
    (found,) = newest(tmp_path / "records")
    assert found.tables[0].rows[0][1] == 7.0
    assert len(list((tmp_path / "records" / "benchmarks").iterdir())) == 2


def test_what_is_damaged_foreign_or_there_twice_is_named(tmp_path):
    measure(tmp_path)
    whole = path(tmp_path)
    bytes_of = whole.read_bytes()
    whole.write_bytes(bytes_of[:-40])
    with pytest.raises(RecordError, match=f"{whole.name}: damaged"):
        newest(tmp_path / "records")
    lines = gzip.decompress(bytes_of).decode().replace("1.5", "0.5")
    whole.write_bytes(gzip.compress(lines.encode()))
    with pytest.raises(RecordError, match=f"{whole.name}: changed"):
        newest(tmp_path / "records")
    whole.write_bytes(bytes_of)
    shutil.copy(whole, whole.with_name("envs-2026-01-01-000000.jsonl.gz"))
    records.write(whole.with_name("delta-s1.jsonl.gz"), {"experiment": "toy", "arm": "delta", "seed": 1}, [])
    with pytest.raises(RecordError) as caught:
        newest(tmp_path / "records")
    assert any(f"envs-2026-01-01-000000.jsonl.gz: foreign: the record {whole.name}" in p for p in caught.value.problems)
    assert any("delta-s1.jsonl.gz: foreign: no record of any benchmark" in p for p in caught.value.problems)
    assert len(caught.value.problems) == 2


def test_a_benchmark_is_no_run_of_an_experiment(tmp_path):
    measure(tmp_path)
    (tmp_path / "hacking").mkdir()
    shutil.copy(path(tmp_path), tmp_path / "hacking" / "delta-s1.jsonl.gz")
    with pytest.raises(RecordError, match="delta-s1.jsonl.gz: foreign: no record of any experiment"):
        records.read_experiment(tmp_path, command.registry.load("hacking"), partial=True)


def test_every_benchmark_is_in_the_list():
    with_main = {file.stem for file in BENCHMARKS.glob("*.py") if "def main()" in file.read_text()}
    assert with_main == set(measurements.BENCHMARKS)
    assert all(measurements.question(name) for name in with_main)


def test_one_command_measures_what_has_no_record_and_reports(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(measurements, "BENCHMARKS", ("feedback",))
    run = command.Run("benchmarks", smoke=True, folder=tmp_path)
    command.run(run)
    page = (tmp_path / "benchmark-feedback.md").read_text()
    assert "Tiny, to see that it runs" in page and len(re.findall(r"\| next \w+", page)) == 16
    html = (tmp_path / "report.html").read_text()
    assert "How long an annotator waits" in html and "<td>progress</td>" in html
    before = {file: file.read_bytes() for file in tmp_path.glob("*.*")}
    command.run(run)
    assert len(list((tmp_path / "records" / "benchmarks").iterdir())) == 1
    command.report(command.Report(("benchmarks",), folder=tmp_path))
    command.report(command.Report(folder=tmp_path))
    assert before == {file: file.read_bytes() for file in tmp_path.glob("*.*")}
    with pytest.raises(ValueError, match="benchmarks take no --seeds"):
        command.run(command.Run("benchmarks", seeds=3, folder=tmp_path))
    with pytest.raises(ValueError, match="benchmarks take no --tune"):
        command.run(command.Run("benchmarks", tune=3, folder=tmp_path))
    with pytest.raises(ValueError, match="only benchmarks take --again"):
        command.run(command.Run("hacking", again=True, folder=tmp_path))
    monkeypatch.setattr(measurements, "BENCHMARKS", ("nothing", "feedback"))
    monkeypatch.setattr(measurements, "question", lambda name: "?")
    with pytest.raises(RunsFailed, match="1 of 2 benchmarks failed: nothing"):
        measurements.measure_all(tmp_path, smoke=True, again=False)


def test_benchmarks_run_apart_one_after_the_other_where_no_such_record_is_there(tmp_path, monkeypatch):
    commands = []

    class Done:
        returncode = 0

    def run(command, env):
        assert env["OMP_NUM_THREADS"] == "1"
        commands.append(command[2:])
        return Done()

    monkeypatch.setattr(measurements.subprocess, "run", run)
    measure(tmp_path, "envs")
    measure(tmp_path, "agents", smoke=True)
    measurements.measure_all(tmp_path, smoke=False, again=False)
    others = [name for name in measurements.BENCHMARKS if name != "envs"]
    assert commands == [[f"experiments.benchmarks.{name}", "--folder", str(tmp_path)] for name in others]
    commands.clear()
    measurements.measure_all(tmp_path, smoke=True, again=True)
    assert len(commands) == len(measurements.BENCHMARKS) and all(command[-1] == "--smoke" for command in commands)


@pytest.mark.slow
def test_every_benchmark_runs_tiny(tmp_path):
    command.run(command.Run("benchmarks", smoke=True, folder=tmp_path))
    assert {each.name for each in newest(tmp_path / "records")} == set(measurements.BENCHMARKS)


def test_the_committed_pages_are_what_their_records_say():
    results = Path(measurements.__file__).parent / "results"
    found = newest(results / "records")
    assert {each.name for each in found} >= {"envs", "metrics", "agents", "feedback"}
    for each in found:
        assert (results / f"benchmark-{each.name}.md").read_text() == each.page()


def test_a_report_has_experiments_and_benchmarks_side_by_side(tmp_path):
    measure(tmp_path)
    report.write([], tmp_path, benchmarks=True)
    text = (tmp_path / "report.md").read_text()
    assert (
        "## benchmark-toy" in text
        and "| this | 1.50 |" in text
        and f"`records/benchmarks/{path(tmp_path).name}`" in text
    )
