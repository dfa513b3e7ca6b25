"""What records of experiments say: the analysis, the report, the commands that read them."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from launchers import inline

import textgym
from experiments import __main__ as command
from experiments import analysis, launch, published, records, registry, report, statistics
from experiments.records import read_experiment
from experiments.registry import Comparison, load, names

ROOT = os.path.dirname(os.path.dirname(textgym.__file__))


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
    assert len(files) == 8
    for file in files:
        assert (tmp_path / file).read_bytes() == (folder / file).read_bytes(), file


def test_every_record_is_named_and_the_page_needs_nothing_else(reported):
    folder, experiment = reported
    page, text = (folder / "report.html").read_text(), (folder / "report.md").read_text()
    for each in experiment.runs():
        for written in (page, text):
            assert f"{each.name}.jsonl.gz: id {each.id}" in written
    assert page.count("<svg") == 3
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
    assert analysis.concluded(Comparison("a", "b", expect, margin), interval) == said


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


def test_a_yes_or_no_is_counted_and_its_intervals_are_exact():
    settings = dict.fromkeys(("p/a", "p/b", "q/a", "q/b"), {"agent": "x"})
    experiment = replace(load("hacking"), settings=settings, seeds=20, primary=Comparison("a", "b"))
    seeds = range(registry.FIRST_SEED, registry.FIRST_SEED + 20)
    found = [record_of(f"p/{arm}", seed, score) for arm, score in (("a", 0.0), ("b", 1.0)) for seed in seeds]
    found += [record_of(f"q/{arm}", seed, float(arm == "a" and seed % 4 == 0)) for arm in "ab" for seed in seeds]
    of = analysis.Analysis(experiment, found)
    assert of.difference("a", "b", "p").interval == statistics.exact_difference(np.full(20, -1))
    assert of.estimate("q/a") == (0.25, statistics.clopper_pearson(5, 20))  # its interquartile mean would be 0
    assert np.isfinite(of.difference("a", "b").interval).all()  # means over panels are no yes or no
    uncertain = [*found[:-1], record_of("q/b", seeds[-1], 0.5)]
    assert not analysis.Analysis(experiment, uncertain).is_yes_or_no


def test_a_control_of_no_panel_is_that_of_every_panel():
    settings = dict.fromkeys(("start", "p/a", "q/a"), {"agent": "x"})
    experiment = replace(load("hacking"), settings=settings, seeds=2, primary=Comparison("a", "start"))
    scores = {"start": [1, 2], "p/a": [2, 5], "q/a": [4, 6]}
    found = [
        record_of(arm, seed, s) for arm, each in scores.items() for seed, s in enumerate(each, registry.FIRST_SEED)
    ]
    of = analysis.Analysis(experiment, found)
    assert of.difference("a", "start", "q").differences.tolist() == [3, 4]
    assert of.difference("a", "start").differences.tolist() == [(1 + 3) / 2, (3 + 4) / 2]


def test_reward_models_are_reported(tmp_path):
    settings = {arm: {"agent": "x"} for arm in ("judged", "kl")}
    experiment = replace(load("hacking"), settings=settings, seeds=2, primary=Comparison("kl", "judged"))
    header = {"seconds": 1.0, "versions": None, "fingerprint": None, "id": "0"}
    seen = {"judged": {"accuracy": 0.75, "bayes_accuracy": 0.9}, "kl": {"learned": 0.6, "accuracy": None}}
    found = [
        records.Record(
            tmp_path / f"{arm}.gz", {"arm": arm, "seed": seed, **header}, [{"tokens": 0, "greedy": 0.5, **seen[arm]}]
        )
        for arm in settings
        for seed in (1, 2)
    ]
    (table,) = (each for each in report.section(experiment, found, {}, []).tables if each[0].startswith("Of reward"))
    _, titles, rows = table
    assert titles == ["arm", "score of the greedy texts", "held-out accuracy", "accuracy of the true score"]
    assert rows == [["judged", "", "0.7500", "0.9000"], ["kl", "0.6000", "", ""]]


def test_arms_are_compared_with_the_control_and_with_the_warm_start(tmp_path):
    settings = {arm: {"agent": "x"} for arm in ("warm_start", "none", "kl")}
    experiment = replace(load("hacking"), settings=settings, seeds=2, primary=Comparison("kl", "none"))
    header = {"seconds": 1.0, "versions": None, "fingerprint": None, "id": "0"}
    found = [
        records.Record(tmp_path / f"{arm}.gz", {"arm": arm, "seed": seed, **header}, [{"tokens": 0, "greedy": score}])
        for arm, score in {"warm_start": 0.5, "none": 0.25, "kl": 0.75}.items()
        for seed in (1, 2)
    ]
    tables = {caption: rows for caption, _, rows in report.section(experiment, found, {}, []).tables}
    of_control, of_start = (tables[f"Differences to {arm}, by seed"] for arm in ("none", "warm_start"))
    assert [row[:2] for row in of_control] == [["warm_start - none", "+0.2500"], ["**kl - none**", "+0.5000"]]
    assert [row[:2] for row in of_start] == [["none - warm_start", "-0.2500"], ["kl - warm_start", "+0.2500"]]


# -- the command line ------------------------------------------------------------------------------


def test_a_reward_of_ones_own_is_an_arm_and_its_report_is_made_from_records(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(launch.LAUNCHERS, "local", inline)
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


def test_a_reward_that_cannot_be_made_is_refused_before_its_controls_are_run(tmp_path):
    for reward, said in (("no.module:X", "cannot import"), ("delt", "Did you mean 'delta'"), ([], "a reward is")):
        with pytest.raises(ValueError, match=said):
            command.run(command.Run("mine", reward=reward, env="Copy-v0", folder=tmp_path / "x"))
    assert not (tmp_path / "x").exists()


def test_records_of_no_experiment_are_named(tmp_path):
    records.write(tmp_path / "records" / "otherthing" / f"a-s1{records.SUFFIX}", {"experiment": "otherthing"}, [{}])
    with pytest.raises(ValueError, match="foreign records.*otherthing"):
        command.report(command.Report(folder=tmp_path))


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


COMMITTED = Path(ROOT) / "experiments" / "published"


def test_the_published_report_is_what_the_records_say(tmp_path, monkeypatch):
    """With the figures that are there."""

    def draw(experiment, records, folder):
        folder.mkdir(exist_ok=True)
        stems = [f"{experiment.name}-{what}" for what in ("curves", "scores", "profiles")]
        paths = [folder / f"{stem}.svg" for stem in stems if (COMMITTED / "figures" / f"{stem}.png").exists()]
        for path in paths:
            path.write_text("<svg/>")
        return paths

    monkeypatch.setattr(report.plots, "draw", draw)
    os.symlink(COMMITTED / "records", tmp_path / "records")
    command.report(command.Report(folder=tmp_path, partial=True))
    assert (tmp_path / "report.md").read_text() == (COMMITTED / "report.md").read_text()


@pytest.mark.slow
def test_the_published_figures_are_what_the_records_say(tmp_path):
    from matplotlib.testing.compare import compare_images

    os.symlink(COMMITTED / "records", tmp_path / "records")
    command.report(command.Report(folder=tmp_path, partial=True))
    assert (tmp_path / "report.md").read_text() == (COMMITTED / "report.md").read_text()
    drawn = {path.name for path in (tmp_path / "figures").glob("*.png")}
    assert drawn == {path.name for path in (COMMITTED / "figures").glob("*.png")}
    for name in drawn:  # fonts are drawn a little differently by other versions
        assert compare_images(str(COMMITTED / "figures" / name), str(tmp_path / "figures" / name), tol=5) is None


def test_the_table_of_the_readme_is_what_the_published_records_say(tmp_path, monkeypatch):
    assert published.committed() == published.table()
    monkeypatch.setattr(published, "README", tmp_path / "README.md")
    published.README.write_text(f"before\n{published.BEGIN}\nold\n{published.END}\nafter\n")
    command.readme(command.Readme())
    written = published.README.read_text()
    assert written.startswith(f"before\n{published.BEGIN}\n| question |") and written.endswith("\nafter\n")
    assert published.committed() == published.table()
    published.README.write_text("nothing")
    with pytest.raises(ValueError, match="once each"):
        command.readme(command.Readme())
