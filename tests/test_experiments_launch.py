"""Runs of experiments: what a user starts, kills, and starts again."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from launchers import inline

import textgym
from experiments import __main__ as command
from experiments import arms, launch, records
from experiments.records import read_experiment
from experiments.registry import load
from experiments.same import SameRuns

ROOT = os.path.dirname(os.path.dirname(textgym.__file__))


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setitem(launch.LAUNCHERS, "local", inline)

    def run_all(experiments, folder, agent=None):
        launch.run_all(experiments, folder, agent=agent, jobs=1, launcher="local", progress=False)

    return run_all


def test_runs_leave_records_and_a_second_time_there_is_nothing_to_do(tmp_path, run, monkeypatch):
    experiment = load("constant_reward").tiny()
    run([experiment], tmp_path)
    found = read_experiment(tmp_path / "records", experiment)
    assert [(r.arm, r.seed) for r in found] == [(r.arm, r.seed) for r in experiment.runs()]
    assert all(record.tokens[-1] == 200 for record in found)
    monkeypatch.setattr(arms, "perform", lambda *_: pytest.fail("it has a record"))
    run([experiment], tmp_path)


def test_what_does_not_fit_is_left_for_the_next_time(tmp_path, run, monkeypatch, capsys):
    experiment = replace(early(), seconds=dict.fromkeys(early().settings, 60))
    wanted = [each.name for each in experiment.runs()]
    monkeypatch.setattr(command.registry, "select", lambda *_, **__: [experiment])
    recorded = []
    for _ in range(len(wanted)):
        command.run(command.Run("early", core_hours=0.1, folder=tmp_path, jobs=1, progress=False))
        folder = tmp_path / "records" / experiment.name
        recorded.append(len(list(folder.glob(f"*{records.SUFFIX}"))))
        if "more is left" not in capsys.readouterr().out:
            break
    assert recorded[0] == 6 and recorded[-1] == len(wanted)  # of a minute each
    assert all(6 >= after - before > 0 for before, after in zip(recorded, recorded[1:], strict=False))
    with pytest.raises(ValueError, match="core_hours must be"):
        command.run(command.Run("early", core_hours=0, folder=tmp_path))


def early():
    """Arms that start from one warm start, tiny."""
    return replace(load("warm_start_and_reward").tiny(), only=("early",))


def test_arms_of_a_seed_start_from_one_warm_start(tmp_path, run):
    experiment = early()
    run([experiment], tmp_path)
    found = {(r.arm, r.seed): r for r in read_experiment(tmp_path / "records", experiment)}
    for seed in (1, 2):
        start = found["early/warm_start", seed]
        for arm in ("terminal", "delta", "more_likelihood", "tuned_temperature"):
            record = found[f"early/{arm}", seed]
            assert record.header["init"] == start.header["policy"]
            assert record.evaluations[0]["greedy"] == start.last("greedy")  # fitting the values changed no token
            assert record.header["config"]["env"] == "textgym/Spelling-v0"
        assert found["early/delta", seed].header["config"]["gamma"] == 1.0
        last = found["early/delta", seed].evaluations[-1]
        assert last["tokens"] == 264 and last["entropy"] > 0 and last["kl"] >= 0
        assert last["terms"] == {"delta:character_accuracy": pytest.approx(last["return"])}
        assert last["return"] == pytest.approx(last["greedy"])  # gamma 1: the same return
    assert found["early/warm_start", 1].header["policy"] != found["early/warm_start", 2].header["policy"]
    work = tmp_path / "work" / "warm_start_and_reward"
    for path in work.rglob("*.pt"):
        path.unlink()
    (tmp_path / "records" / "warm_start_and_reward" / "early-delta-s1.jsonl.gz").unlink()
    run([experiment], tmp_path)  # the checkpoint is made again, and must be the same one
    again = read_experiment(tmp_path / "records", experiment)
    assert len(again) == len(found)
    same = {(r.arm, r.seed): r for r in again}["early/delta", 1]
    assert [e["greedy"] for e in same.evaluations] == [e["greedy"] for e in found["early/delta", 1].evaluations]
    start = next(run for run in experiment.runs("likelihood") if run.seed == 1)
    record = records.read(records.path_of(tmp_path / "records", start))
    made = launch.Made(record.header, [*record.evaluations[:-1], {**record.evaluations[-1], "wall_s": 99.0}], None)
    launch._keep(tmp_path, start, made)
    made.evaluations[-1]["sampled"] += 1e-6  # of the same policy: what else is in its checkpoint is another one
    with pytest.raises(ValueError, match="its evaluations are not those of"):
        launch._keep(tmp_path, start, made)


def test_an_sb3_run_that_is_killed_goes_on_to_the_same_record(tmp_path, monkeypatch):
    from agents.sb3.callbacks import Checkpoints

    run = next(run for run in load("dense_vs_sparse").tiny().runs() if run.arm == "copy/delta")
    run = replace(run, settings={**run.settings, "steps": 768, "evaluations": 4, "warm_start": 3, "critic_start": 8})
    whole = arms.perform(run, tmp_path / "whole", None)
    evaluate, killed = Checkpoints.evaluate, tmp_path / "killed"

    def stop_after(last):
        def stopping(self, model, event):
            evaluate(self, model, event)
            if event == last:
                raise KeyboardInterrupt

        return stopping

    for event in ("warm_start", "train"):
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(Checkpoints, "evaluate", stop_after(event))
            arms.perform(run, killed, None)
    again = arms.perform(run, killed, None)
    for outcome in (whole, again):
        for row in outcome.evaluations:
            del row["wall_s"]
    assert again.evaluations == whole.evaluations and len(whole.evaluations) == 3
    assert again.samples == whole.samples
    assert list(whole.samples) == ["prompt", "reference", "before", "after"]
    assert whole.samples["before"] != whole.samples["after"]
    assert {len(texts) for texts in whole.samples.values()} == {arms.SAMPLES}


def test_a_run_that_fails_is_named_and_the_others_have_their_records(tmp_path, run):
    experiment = early()
    broken = {**experiment.settings["early/warm_start"], "env": "textgym/Speling-v0"}
    experiment = replace(experiment, settings={**experiment.settings, "early/warm_start": broken})
    with pytest.raises(launch.RunsFailed) as caught:
        run([experiment], tmp_path)
    assert "warm_start-s1" in str(caught.value) and "Spelling" in str(caught.value)
    assert "early-delta-s2: early-warm_start-s2, which it starts from, has failed" in str(caught.value)
    with pytest.raises(records.RecordError, match="early-delta-s1.jsonl.gz: missing"):
        read_experiment(tmp_path / "records", experiment)
    assert [r.arm for r in read_experiment(tmp_path / "records", experiment, partial=True)] == ["early/copy_prompt"] * 2


def test_only_the_arms_of_an_agent_with_what_they_start_from():
    runs = load("warm_start", 1).runs("transformer")
    assert {r.arm for r in runs} == {"warm_start", "both", "mixer", "reward"}


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
    experiment = early()
    for launcher in ("local", "ray"):
        launch.run_all([experiment], tmp_path / launcher, agent=None, jobs=2, launcher=launcher, progress=False)
    ours, theirs = (read_experiment(tmp_path / name / "records", experiment) for name in ("local", "ray"))
    for one, other in zip(ours, theirs, strict=True):
        for record in (one, other):
            del record.header["seconds"]
            for row in record.evaluations:
                del row["wall_s"]
        assert (one.header, one.evaluations) == (other.header, other.evaluations)


def test_a_run_that_another_experiment_has_made_is_not_made_again(tmp_path, run, monkeypatch):
    first, second = early(), replace(load("warm_start").tiny(), only=None)
    shared = {"policy": first.settings["early/warm_start"], "paid": {**first.settings["early/delta"], "init": "policy"}}
    longer = {"longer": {**shared["paid"], "steps": 300}}
    second = replace(second, settings={**shared, **longer}, seconds=dict.fromkeys([*shared, *longer], 1.0))
    run([first], tmp_path)
    made = []
    perform = arms.perform
    monkeypatch.setattr(arms, "perform", lambda run, *rest: made.append(run.name) or perform(run, *rest))
    run([first, second], tmp_path)
    assert made == ["longer-s1", "longer-s2"]
    found = {(r.arm, r.seed): r for r in read_experiment(tmp_path / "records", second)}
    theirs = {(r.arm, r.seed): r for r in read_experiment(tmp_path / "records", first)}
    assert found["paid", 2].evaluations == theirs["early/delta", 2].evaluations
    assert found["paid", 2].header["made_as"] == "warm_start_and_reward/early-delta-s2"
    assert found["longer", 2].header["init"] == theirs["early/warm_start", 2].header["policy"]


def test_runs_of_the_same_content_are_made_once_in_one_go(tmp_path, run, monkeypatch):
    experiment = load("constant_reward").tiny()
    arm, settings = next(iter(experiment.settings.items()))
    twins = replace(experiment, settings={**experiment.settings, "twin": settings}, seconds={arm: 1.0, "twin": 1.0})
    made = []
    perform = arms.perform
    monkeypatch.setattr(arms, "perform", lambda run, *rest: made.append(run.name) or perform(run, *rest))
    runs = twins.runs()
    assert len(SameRuns(tmp_path / "records", runs).left(runs)) == len(experiment.runs())
    run([twins], tmp_path)
    assert len(made) == len(experiment.runs())
    assert not SameRuns(tmp_path / "records", runs).left(runs)
    by_name = {(r.arm, r.seed): r for r in read_experiment(tmp_path / "records", twins)}
    assert by_name["twin", 1].evaluations == by_name[arm, 1].evaluations
