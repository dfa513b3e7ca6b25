"""The framework of experiments: what a user starts, kills, starts again, and reads."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import textgym
from experiments import __main__ as command
from experiments import analysis, arms, launch, records, registry, report
from experiments.records import read_experiment
from experiments.registry import Comparison, load, names, select

ROOT = os.path.dirname(os.path.dirname(textgym.__file__))


@contextmanager
def inline(jobs):
    """A launcher without processes."""

    def submit(call, *arguments):
        future = Future()
        try:
            future.set_result(call(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    yield submit


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setitem(launch.LAUNCHERS, "local", inline)

    def run_all(experiments, folder, agent=None):
        launch.run_all(experiments, folder, agent=agent, jobs=1, launcher="local", progress=False)

    return run_all


# -- the suite -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", names())
def test_every_experiment_says_what_it_asks_and_what_would_refute_it(name):
    experiment = load(name)
    for word in ("?", "Hypothesis:", "Controls:", "Refuted where"):
        assert word in experiment.page, f"{name} says nothing of {word}"
    assert experiment.seeds * len(experiment.settings) == len(experiment.runs())
    assert all(run.seconds > 0 for run in experiment.runs())
    assert len({run.id for run in experiment.runs()}) == len(experiment.runs())
    seen = set()
    for each in experiment.runs():
        assert each.init is None or each.init.id in seen  # what it starts from comes before it
        seen.add(each.id)


@pytest.mark.parametrize("name", names())
def test_the_settings_of_every_arm_are_ones_that_its_trainer_takes(name):
    from agents.sb3 import settings as sb3
    from agents.transformer import settings as transformer

    trainers = {"sb3": sb3, "transformer": transformer}
    for experiment in (load(name), load(name).tiny()):
        for arm in experiment.settings.values():
            if arm["agent"] in trainers:
                skip = (*arms.NOT_THE_AGENTS, "evaluations")
                flags = {name: value for name, value in arm.items() if name not in skip}
                resolved = trainers[arm["agent"]].resolve(trainers[arm["agent"]].TrainArgs(**flags))
                assert resolved["gamma"] == arm.get("gamma", 1.0)  # of agents that have 0.99 unless told


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'hacking'"):
        select("hackin")
    with pytest.raises(ValueError, match="only the experiment 'mine'"):
        load("hacking", env="textgym/Copy-v0")
    with pytest.raises(ValueError, match="unknown"):
        select("nothing_like_it")


def test_tags_select_and_quick_has_few_seeds():
    quick = select("quick")
    assert {e.name for e in quick} == {name for name in names() if "quick" in load(name).tags}
    assert {e.seeds for e in quick} == {registry.QUICK_SEEDS}
    assert [e.name for e in select("smoke")] == names()
    assert load("hacking", 4).seeds == 4
    # few seeds are some of the many: their records count there too
    assert {r.id for r in load("hacking", 2).runs()} < {r.id for r in load("hacking").runs()}


def test_log_spaced_evaluations_grow_by_the_root_of_two():
    at = arms.log_spaced(32_000, 7)
    assert at[-1] == 32_000 and at[-3] == 16_000 and len(at) == 7
    assert arms.log_spaced(1, 5) == (1,)


# -- running -----------------------------------------------------------------------------------------


def test_runs_leave_records_and_a_second_time_there_is_nothing_to_do(tmp_path, run, monkeypatch):
    experiment = load("constant_reward").tiny()
    run([experiment], tmp_path)
    found = read_experiment(tmp_path / "records", experiment)
    assert [(r.arm, r.seed) for r in found] == [(r.arm, r.seed) for r in experiment.runs()]
    assert all(record.tokens[-1] == 200 for record in found)
    monkeypatch.setattr(arms, "perform", lambda *_: pytest.fail("it has a record"))
    run([experiment], tmp_path)


def test_arms_of_a_seed_start_from_one_warm_start(tmp_path, run):
    experiment = load("warm_start_and_reward").tiny()
    run([experiment], tmp_path)
    found = {(r.arm, r.seed): r for r in read_experiment(tmp_path / "records", experiment)}
    for seed in (1, 2):
        start = found["warm_start", seed]
        for arm in ("terminal", "delta", "constant", "more_likelihood", "tuned_temperature"):
            record = found[arm, seed]
            assert record.header["init"] == start.header["policy"]
            assert record.evaluations[0]["greedy"] == start.last("greedy")  # fitting the values changed no token
            assert record.header["config"]["env"] == "textgym/Spelling-v0"
        assert found["delta", seed].header["config"]["gamma"] == 1.0
        last = found["delta", seed].evaluations[-1]
        assert last["tokens"] == 264 and last["entropy"] > 0 and last["kl"] >= 0
        assert last["terms"] == {"delta:character_accuracy": pytest.approx(last["return"])}
        assert last["return"] == pytest.approx(last["greedy"])  # gamma 1: the same return
    assert found["warm_start", 1].header["policy"] != found["warm_start", 2].header["policy"]
    work = tmp_path / "work" / "warm_start_and_reward"
    for path in work.rglob("*.pt"):
        path.unlink()
    (tmp_path / "records" / "warm_start_and_reward" / "delta-s1.jsonl.gz").unlink()
    run([experiment], tmp_path)  # the checkpoint is made again, and must be the same one
    again = read_experiment(tmp_path / "records", experiment)
    assert len(again) == len(found)
    same = {(r.arm, r.seed): r for r in again}["delta", 1]
    assert [e["greedy"] for e in same.evaluations] == [e["greedy"] for e in found["delta", 1].evaluations]


def test_a_run_that_fails_is_named_and_the_others_have_their_records(tmp_path, run):
    experiment = load("warm_start_and_reward").tiny()
    broken = {**experiment.settings["warm_start"], "env": "textgym/Speling-v0"}
    experiment = replace(experiment, settings={**experiment.settings, "warm_start": broken})
    with pytest.raises(launch.RunsFailed) as caught:
        run([experiment], tmp_path)
    assert "warm_start-s1" in str(caught.value) and "Spelling" in str(caught.value)
    assert "delta-s2: warm_start-s2, which it starts from, has failed" in str(caught.value)
    with pytest.raises(records.RecordError, match="delta-s1.jsonl.gz: missing"):
        read_experiment(tmp_path / "records", experiment)
    assert [r.arm for r in read_experiment(tmp_path / "records", experiment, partial=True)] == ["copy_prompt"] * 2


def test_only_the_arms_of_an_agent_with_what_they_start_from():
    runs = load("warm_start_and_reward", 1).runs("transformer")
    rewards = {"terminal", "delta", "constant", "shuffled_time", "shuffled_texts"}
    assert {r.arm for r in runs} == {"warm_start"} | rewards


PROGRAM = [
    sys.executable,
    "-m",
    "experiments",
    "run",
    "rank_rule",
    "--no-progress",
    "--seeds",
    "1",
    "--jobs",
    "2",
]


def test_killed_and_started_again_it_goes_on(tmp_path):
    """The main process is killed while runs are made; its workers end too, and what has a record stays as it is."""
    started = subprocess.Popen([*PROGRAM, "--folder", str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    folder = tmp_path / "records" / "rank_rule"
    until = time.monotonic() + 240
    while not (folder.exists() and list(folder.glob("*.gz"))):
        assert started.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    started.send_signal(signal.SIGKILL)
    started.wait()
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.gz")}
    done = subprocess.run([*PROGRAM, "--folder", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert "10 runs, " in done.stdout and "projected" in done.stdout.splitlines()[0]
    found = read_experiment(tmp_path / "records", load("rank_rule", 1))
    assert len(found) == 10
    assert all(path.stat().st_mtime_ns == mtime for path, mtime in before.items())
    assert (tmp_path / "report.html").exists()


def test_ray_gives_the_same_records(tmp_path):
    pytest.importorskip("ray")
    experiment = load("warm_start_and_reward").tiny()
    for launcher in ("local", "ray"):
        launch.run_all([experiment], tmp_path / launcher, agent=None, jobs=2, launcher=launcher, progress=False)
    ours, theirs = (read_experiment(tmp_path / name / "records", experiment) for name in ("local", "ray"))
    for one, other in zip(ours, theirs, strict=True):
        for record in (one, other):
            del record.header["seconds"]
            for row in record.evaluations:
                del row["wall_s"]
        assert (one.header, one.evaluations) == (other.header, other.evaluations)


# -- the analysis and the report --------------------------------------------------------------------


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """Records and report of an experiment, and the experiment."""
    folder = tmp_path_factory.mktemp("reported")
    experiment = replace(load("constant_reward").tiny(), seeds=3)
    before = launch.LAUNCHERS["local"]
    launch.LAUNCHERS["local"] = inline
    try:
        launch.run_all([experiment], folder, agent=None, jobs=1, launcher="local", progress=False)
    finally:
        launch.LAUNCHERS["local"] = before
    report.write([experiment], folder)
    return folder, experiment


def test_a_report_is_made_again_from_records_alone_to_the_last_byte(reported, tmp_path):
    folder, experiment = reported
    os.symlink(folder / "records", tmp_path / "records")
    report.write([experiment], tmp_path)
    files = [p.relative_to(folder) for p in [*folder.glob("report.*"), *folder.glob("figures/*")]]
    assert len(files) == 6
    for file in files:
        assert (tmp_path / file).read_bytes() == (folder / file).read_bytes(), file


def test_every_record_is_named_and_the_page_needs_nothing_else(reported):
    folder, experiment = reported
    page, text = (folder / "report.html").read_text(), (folder / "report.md").read_text()
    for each in experiment.runs():
        for written in (page, text):
            assert f"{each.name}.jsonl.gz: id {each.id}" in written
    assert page.count("<svg") == 2
    assert not re.search(r"""(src|href)=["'](?!#)""", page.replace('xlink:href="#', ""))
    ids = re.findall(r'id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for figure in re.findall(r"\((figures/[^)]+)\)", text):
        assert (folder / figure).stat().st_size > 1000


def test_the_table_says_what_the_records_say(reported):
    folder, experiment = reported
    found = read_experiment(folder / "records", experiment)
    entropies = [record.last("entropy") for record in found if record.arm == "constant"]
    row = next(r for r in (folder / "report.md").read_text().splitlines() if r.startswith("| constant |"))
    assert row.split(" | ")[1:3] == ["3", f"{np.mean(entropies):.4f}"]  # the interquartile mean of 3 is their mean


def test_records_that_are_missing_stop_the_report_unless_that_is_allowed_and_said(reported, tmp_path):
    folder, experiment = reported
    more = replace(experiment, seeds=4)
    with pytest.raises(records.RecordError, match="constant-s4.jsonl.gz: missing"):
        report.write([more], folder)
    os.symlink(folder / "records", tmp_path / "records")
    report.write([more], tmp_path, partial=True)
    assert "Not run: constant-s4" in (tmp_path / "report.md").read_text()
    report.write([replace(experiment, seeds=2)], tmp_path)
    assert "2 more records, of other seeds or panels" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize(
    ("expect", "margin", "interval", "said"),
    [
        ("greater", 0.0, (0.1, 0.2), "confirmed"),
        ("greater", 0.0, (-0.1, 0.2), "not decided"),
        ("greater", 0.0, (-0.2, -0.1), "refuted"),
        ("greater", 0.0, (-np.inf, np.inf), "not decided"),
        ("less", 0.0, (-0.2, -0.1), "confirmed"),
        ("less", 0.0, (0.1, 0.2), "refuted"),
        ("equal", 0.1, (-0.05, 0.05), "confirmed"),
        ("equal", 0.1, (-0.15, 0.05), "not decided"),
        ("equal", 0.1, (0.15, 0.2), "refuted"),
    ],
)
def test_a_verdict_is_where_the_interval_lies(expect, margin, interval, said):
    assert analysis.judged(Comparison("a", "b", expect, margin), interval) == said


def record_of(arm, seed, score):
    return records.Record(None, {"arm": arm, "seed": seed}, [{"tokens": 0, "greedy": score}])


def test_differences_are_paired_by_seed_and_panels_averaged():
    settings = {f"{panel}/{arm}": {"agent": "x"} for panel in ("p", "q") for arm in ("a", "b")}
    experiment = replace(load("hacking"), settings=settings, seeds=3, primary=Comparison("a", "b"))
    scores = {"p/a": [1, 2, 3], "p/b": [0, 0, 0], "q/a": [5, 5], "q/b": [4, 2, 9]}
    found = [
        record_of(arm, seed, s) for arm, each in scores.items() for seed, s in enumerate(each, registry.FIRST_SEED)
    ]
    both = analysis.Analysis(experiment, found).difference("a", "b")
    assert both.differences.tolist() == [(1 + 1) / 2, (2 + 3) / 2, 3]
    only = analysis.Analysis(experiment, found).difference("a", "b", "q")
    assert only.differences.tolist() == [1, 3]
    assert analysis.Analysis(experiment, found).difference("b", "b") is None


# -- the command line ------------------------------------------------------------------------------


def test_a_reward_of_ones_own_is_an_arm_and_its_report_is_made_from_records(tmp_path, run, capsys, monkeypatch):
    monkeypatch.setattr(registry, "load", lambda name, seeds=None, **given: load(name, seeds, **given).tiny())
    reward = {"name": "delta", "metric": "cer", "weight": -1}
    command.run(command.Run("mine", reward=reward, env="SpellingNoisy-v0", jobs=1, folder=tmp_path, progress=False))
    command.report(command.Report(folder=tmp_path))  # the flags are in the records
    said = capsys.readouterr().out
    assert "mine" in (tmp_path / "report.md").read_text() and "core-hours" in said
    found = records.read(tmp_path / "records" / "mine" / "mine-s1.jsonl.gz")
    assert found.header["settings"]["reward"] == reward
    assert list(found.evaluations[-1]["terms"]) == ["delta:cer"]
    with pytest.raises(records.RecordError, match="reward was"):
        command.run(command.Run("mine", reward="terminal", env="SpellingNoisy-v0", folder=tmp_path))


def test_the_list_says_what_each_would_cost(capsys):
    command.list_experiments(command.List())
    said = capsys.readouterr().out
    assert all(name in said for name in names()) and "core-h" in said


def test_a_dry_run_makes_nothing(tmp_path, capsys):
    command.run(command.Run("hacking", folder=tmp_path / "x", dry=True))
    assert "70 runs, 0 of which" in capsys.readouterr().out
    assert not (tmp_path / "x").exists()
    with pytest.raises(ValueError, match="no arm of hacking has agent 'transformer'; there are baseline, sb3"):
        command.run(command.Run("hacking", agent="transformer", folder=tmp_path / "x"))
    with pytest.raises(ValueError, match="no records"):
        command.report(command.Report(folder=tmp_path / "x"))


def test_records_are_json_without_what_no_reader_knows(reported):
    folder, experiment = reported
    record = read_experiment(folder / "records", experiment)[0]
    assert json.loads(json.dumps(record.header)) == record.header
    assert all("NaN" not in json.dumps(row) for row in record.evaluations)


def test_the_published_report_is_what_its_records_say(tmp_path):
    published = Path(ROOT) / "experiments" / "published"
    os.symlink(published / "records", tmp_path / "records")
    command.report(command.Report(folder=tmp_path, partial=True))
    assert (tmp_path / "report.md").read_text() == (published / "report.md").read_text()
