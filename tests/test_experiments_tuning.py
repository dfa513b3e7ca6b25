"""Tuning: equal trials for every arm, on a seed and on episodes that are not reported; the choice is in the records."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from launchers import inline

from experiments import __main__ as command
from experiments import arms, launch, records, registry, report, scores
from experiments.records import RecordError, read_experiment, read_trials
from experiments.registry import TUNING_SEED, Comparison, Experiment, load, names, select
from experiments.search import LogUniform, outside, point_in, points, with_point
from experiments.tuning import settle, trials_in

SPACE = {"rate": LogUniform(1e-3, 1.0), "inner.lam": [0.9, 0.95, 1.0]}


def learn(run, folder, start, *, env, rate, eval_episodes, inner=None, eval_first=0, best=0.1):
    """An agent that is the better the nearer its rate is to the best."""
    if rate > 0.05:
        raise FloatingPointError("the loss is nan")
    folder.joinpath("seen").write_text(f"{eval_first}")
    score = 1 / (1 + abs(np.log(rate / best))) + (inner or {}).get("lam", 0) / 10
    rows = [{"tokens": t, "greedy": score * t / 8, "sampled": None, "terms": {}, "wall_s": 0.0} for t in (0, 8)]
    return arms.Outcome(rows, "f", {"versions": {}})


ARM = {"agent": "learn", "env": "toy", "rate": 0.02, "eval_episodes": 5}
TOY = Experiment(
    name="toy", page="A question?", tags=(), budget=8, seeds=2,
    settings={"low": {**ARM, "best": 0.01}, "high": {**ARM, "best": 0.04}, "as it is": ARM},
    seconds={"low": 1, "high": 1, "as it is": 1}, smoke={}, primary=Comparison("low", "high"),
    score=scores.last_greedy, columns={"greedy": "score"}, search={"low": SPACE, "high": SPACE}, trials=4,
)  # fmt: skip


@pytest.fixture
def run(monkeypatch):
    pytest.importorskip("optuna")
    monkeypatch.setitem(launch.LAUNCHERS, "local", inline)
    monkeypatch.setitem(arms.AGENTS, "learn", learn)
    monkeypatch.setattr(arms, "_config", lambda folder: ("f", {"versions": {}}))

    def run_all(folder, experiment=TOY, agent=None):
        launch.run_all([experiment], folder, agent=agent, jobs=1, launcher="local", progress=False)

    return run_all


@pytest.fixture
def tuned(run, tmp_path):
    run(tmp_path)
    return tmp_path


def path(folder, name):
    return folder / "records" / "toy" / f"{name}{records.SUFFIX}"


def refused(folder, experiment=TOY, **kwargs):
    with pytest.raises(RecordError) as caught:
        read_experiment(folder / "records", settle(folder / "records", experiment), **kwargs)
    return caught.value.problems


def rewrite(file, **changes):
    record = records.read(file)
    header = {k: v for k, v in {**record.header, **changes}.items() if k != "format"}
    records.write(file, header, record.evaluations)


# -- the points -------------------------------------------------------------------------------------


def test_points_are_the_same_for_the_same_space_differ_and_lie_in_it():
    pytest.importorskip("optuna")
    found = points(SPACE, 30)
    assert found[:7] == points(dict(SPACE), 7)  # the first of more are the fewer
    assert all(found.count(point) == 1 for point in found)
    assert not any(outside(point, SPACE) for point in found)
    rates = np.log10([point["rate"] for point in found])
    assert np.histogram(rates, bins=3, range=(-3, 0))[0].min() >= 3  # each factor of ten
    assert {point["inner.lam"] for point in found} == {0.9, 0.95, 1.0}
    assert sorted(p["x"] for p in points({"x": [1, 2, 3]}, 3)) == [1, 2, 3]


def test_a_space_that_cannot_be_searched_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="no more than 3 points"):
        points({"x": [1, 2, 3]}, 4)
    with pytest.raises(ValueError, match="needs 0 < low < high, got low=2"):
        LogUniform(2, 1)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"textgym\[tune\]"):
        points(SPACE, 1)


def test_a_point_in_settings_is_found_there_and_the_rest_stays():
    settings = {"agent": "sb3", "hyperparams": {"n_steps": 8}}
    point = {"rate": 0.01, "hyperparams.gae_lambda": 0.9}
    changed = with_point(settings, point)
    assert changed == {"agent": "sb3", "hyperparams": {"n_steps": 8, "gae_lambda": 0.9}, "rate": 0.01}
    assert point_in(changed, point) == point
    assert settings == {"agent": "sb3", "hyperparams": {"n_steps": 8}}
    assert point_in({}, point) == {"rate": None, "hyperparams.gae_lambda": None}


# -- trials and what they choose ----------------------------------------------------------------------


def test_every_arm_that_is_searched_has_as_many_trials_and_runs_as_its_best(tuned):
    found = read_trials(tuned / "records", TOY)
    assert {arm: sorted(trials) for arm, trials in found.items()} == {"low": [0, 1, 2, 3], "high": [0, 1, 2, 3]}
    runs = read_experiment(tuned / "records", settle(tuned / "records", TOY))
    assert len(runs) == 6 and all(record.seed != TUNING_SEED for record in runs)
    for arm, trials in found.items():
        assert {trial.seed for trial in trials.values()} == {TUNING_SEED}
        scored = {k: trial.last("greedy") for k, trial in trials.items() if trial.evaluations}
        best = trials[max(scored, key=scored.get)].header["settings"]
        for record in runs:
            if record.arm == arm:
                assert point_in(record.header["settings"], SPACE) == point_in(best, SPACE)
    at = [[point_in(each[k].header["settings"], SPACE) for k in range(4)] for each in found.values()]
    assert at[0] == at[1]  # no arm has luckier draws
    assert {r.header["settings"]["rate"] for r in runs if r.arm == "as it is"} == {0.02}


def test_trials_are_judged_on_episodes_that_are_not_reported(tuned):
    for folder in (tuned / "work" / "toy").iterdir():
        if (folder / "seen").exists():
            assert (folder / "seen").read_text() == ("5" if "-s0-t" in folder.name else "0")


def test_a_trial_that_diverges_is_a_trial_and_is_not_chosen(tuned, run):
    found = read_trials(tuned / "records", TOY)["low"]
    diverged = [trial for trial in found.values() if trial.header["settings"]["rate"] > 0.05]
    assert diverged and all(t.header["diverged"] == "the loss is nan" and not t.evaluations for t in diverged)
    assert settle(tuned / "records", TOY).chosen["low"]["rate"] <= 0.05
    report.write([TOY], tuned)
    assert f"4 of 4, {len(diverged)} diverged" in (tuned / "report.md").read_text()
    steep = replace(TOY, name="steep", search={"low": {"rate": LogUniform(0.6, 1.0)}})
    with pytest.raises(ValueError, match="all 4 trials of low diverged, the first with: the loss is nan"):
        run(tuned, steep)


def test_a_tuning_that_was_killed_goes_on(tuned, run, monkeypatch):
    gone = [path(tuned, "high-s0-t2"), path(tuned, "low-s1")]
    before = {file: file.read_bytes() for file in gone}
    for file in gone:
        file.unlink()
    made = []
    monkeypatch.setattr(launch, "make", lambda run, *rest, make=launch.make: made.append(run.name) or make(run, *rest))
    run(tuned)
    assert made == ["high-s0-t2", "low-s1"]
    for file in gone:
        assert records.read(file).header["id"] and len(file.read_bytes()) == pytest.approx(len(before[file]), abs=20)


def test_more_trials_keep_those_that_are_there(tuned, run):
    before = {file: file.stat().st_mtime_ns for file in (tuned / "records" / "toy").glob("*-t*.gz")}
    run(tuned, replace(TOY, trials=6))
    assert all(file.stat().st_mtime_ns == mtime for file, mtime in before.items())
    assert trials_in(tuned / "records", TOY) == 6


def test_a_report_needs_the_records_alone(tuned, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    report.write([replace(TOY, trials=0)], tuned)  # nobody says how many trials there were
    text = (tuned / "report.md").read_text()
    chosen = settle(tuned / "records", TOY).chosen["low"]
    (row,) = (line for line in text.splitlines() if line.startswith("| low | 4 of 4"))
    assert f"rate {chosen['rate']}, lam {chosen['inner.lam']}" in row
    best = max(t.last("greedy") for t in read_trials(tuned / "records", TOY)["low"].values() if t.evaluations)
    assert f"| {best:.4f} |" in row
    assert "6 runs and 8 trials" in text and "low-s0-t3.jsonl.gz: id" in text


# -- what is refused --------------------------------------------------------------------------------


def test_damaged_missing_and_foreign_trials_are_named(tuned):
    path(tuned, "low-s0-t1").write_bytes(b"no gzip")
    found = refused(tuned)
    assert "low-s0-t1.jsonl.gz: damaged" in found[0]
    # of an arm without all its trials nobody knows how it is run
    assert any("low-s1.jsonl.gz: foreign" in p and "not all of its 4 trials" in p for p in found)
    path(tuned, "low-s0-t1").unlink()
    assert any("low-s0-t1.jsonl.gz: missing: arm low, seed 0, trial 1" in p for p in refused(tuned))
    for seed in (1, 2):
        path(tuned, f"low-s{seed}").unlink()
    left = read_experiment(tuned / "records", settle(tuned / "records", TOY), partial=True)
    assert {record.arm for record in left} == {"high", "as it is"}


def test_trials_at_other_points_are_named(tuned):
    file = path(tuned, "low-s0-t1")
    settings = records.read(file).header["settings"]
    rewrite(file, settings=with_point(settings, {"rate": 7.0}))
    assert any("low-s0-t1" in p and "rate was 7.0, is searched in 0.001 to 1" in p for p in refused(tuned))
    point = {"rate": 0.0123, "inner.lam": 0.9}
    rewrite(file, settings=with_point(settings, point), id=TOY.trial("low", 1, point).id)
    assert any("tried at another point than" in p for p in refused(tuned))
    rewrite(file, settings={**settings, "best": 0.3})
    assert any("low-s0-t1.jsonl.gz: of another run" in p or "another point" in p for p in refused(tuned))


def test_runs_with_other_settings_than_the_chosen_ones_are_named(tuned):
    settings = records.read(path(tuned, "low-s1")).header["settings"]
    rewrite(path(tuned, "low-s1"), settings={**settings, "rate": 0.2}, id="0" * 16)
    assert any("low-s1.jsonl.gz: of another run" in p and "rate was 0.2" in p for p in refused(tuned))
    for file in (tuned / "records" / "toy").glob("*-t*.gz"):
        file.unlink()
    problems = refused(tuned, replace(TOY, trials=0))  # tuned runs, and no trial to say so
    assert any("high-s1.jsonl.gz: of another run" in p for p in problems)


def test_trials_beyond_those_of_the_experiment_are_named(tuned):
    assert any("low-s0-t3" in p and "2 trials" in p for p in refused(tuned, replace(TOY, trials=2)))


# -- the suite and the command line -----------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in names() if load(name).search])
def test_every_point_is_one_that_the_arm_takes(name):
    from agents.sb3 import settings as sb3
    from agents.transformer import settings as transformer

    experiment = load(name, trials=1)
    trained = {arm for arm, s in experiment.settings.items() if s["agent"] in ("sb3", "transformer")}
    starts = {s["init"] for s in experiment.settings.values() if "init" in s}
    for of_panel in map(set, experiment.panels.values()):
        searched = of_panel & set(experiment.search)
        assert not searched or (trained - starts) & of_panel <= searched  # as many trials for all of a panel
    for arm, space in experiment.search.items():
        ends = [{f: v.low if isinstance(v, LogUniform) else v[0] for f, v in space.items()}]
        ends += [{f: v.high if isinstance(v, LogUniform) else v[-1] for f, v in space.items()}]
        for point in ends:
            settings = experiment.trial(arm, 0, point).settings
            if module := {"sb3": sb3, "transformer": transformer}.get(settings["agent"]):
                skip = (*arms.NOT_THE_AGENTS, "evaluations")
                module.resolve(module.TrainArgs(**{k: v for k, v in settings.items() if k not in skip}))


def test_trials_of_the_suite_are_made_and_start_from_a_warm_start_of_their_own(run, tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setitem(launch.LAUNCHERS, "local", inline)
    whole = replace(load("mine", env="Copy-v0").tiny(), trials=1, seeds=1)
    kept = ("warm_start", "delta", "terminal", "mine", "more_likelihood")
    experiment = replace(whole, settings={arm: whole.settings[arm] for arm in kept})
    experiment = replace(experiment, search={arm: s for arm, s in whole.search.items() if arm in ("delta", kept[-1])})
    run(tmp_path, experiment)
    found = read_trials(tmp_path / "records", experiment)
    start = records.read(tmp_path / "records" / "mine" / "warm_start-s0.jsonl.gz")
    for arm in ("delta", "more_likelihood"):
        assert found[arm][0].header["init"] == start.header["policy"]
        assert found[arm][0].header["settings"]["eval_first"] == 8
    assert len(read_experiment(tmp_path / "records", settle(tmp_path / "records", experiment))) == 5


def test_the_projection_has_trials_and_runs_and_the_folder_remembers(run, tmp_path, capsys, monkeypatch):
    run(tmp_path)
    for file in (tmp_path / "records" / "toy").glob("*-s[12].*"):
        file.unlink()
    monkeypatch.setattr(registry, "select", lambda word, seeds, tune: [replace(TOY, trials=tune or 0)])
    command.run(command.Run("toy", tune=5, folder=tmp_path, dry=True))
    assert "10 trials (with what they start from) and 6 runs, 8 of which have records" in capsys.readouterr().out
    for fewer in (None, 3):
        with pytest.raises(ValueError, match="has 4 trials an arm: --tune 4 goes on"):
            command.run(command.Run("toy", tune=fewer, folder=tmp_path))


def test_what_cannot_be_tuned_is_refused():
    with pytest.raises(ValueError, match="hacking has no SEARCH; dense_vs_sparse, mine, sb3_vs_transformer have"):
        select("hacking", trials=3)
    with pytest.raises(ValueError, match="of theory, none has a SEARCH"):
        select("theory", trials=3)
    with pytest.raises(ValueError, match="tune must be a whole number, at least 1, got 0"):
        select("mine", trials=0)
    assert {e.name: e.trials for e in select("quick", trials=3)} == {"constant_reward": 0, "dense_vs_sparse": 3}


def test_quick_has_some_panels_and_leaves_records_of_the_others_out(tmp_path):
    quick = next(e for e in select("quick") if e.name == "dense_vs_sparse")
    whole = load("dense_vs_sparse", quick.seeds)
    assert list(quick.panels) == ["copy", "spelling"] and len(whole.panels) > 2
    assert {r.id for r in quick.runs()} < {r.id for r in whole.runs()}
    for each in whole.runs():
        if each.arm.endswith("random") and each.seed == 1:
            header = {"experiment": each.experiment, "arm": each.arm, "seed": 1, "id": each.id, "given": {}}
            header |= {"settings": each.settings, "fingerprint": each.settings["env"], "policy": None, "init": None}
            records.write(records.path_of(tmp_path, each), header, [{"tokens": 0, "greedy": 0.0}])
    assert len(read_experiment(tmp_path, quick, partial=True)) == 2
    assert len(read_experiment(tmp_path, whole, partial=True)) == 4
    with pytest.raises(RecordError) as caught:
        read_experiment(tmp_path, replace(quick, trials=2))
    assert "copy-delta-s0-t1" in str(caught.value) and "translation" not in str(caught.value)
