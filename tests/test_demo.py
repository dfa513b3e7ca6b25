"""The demo: its verdict says what the numbers say, and the whole of it runs, tiny."""

import re

import pytest

pytest.importorskip("stable_baselines3")

from launchers import inline  # noqa: E402

from experiments import launch  # noqa: E402
from experiments.demo import DemoArgs, demo, draw, lines, verdict  # noqa: E402
from experiments.records import Record, RecordError, read_experiment  # noqa: E402
from experiments.registry import load, select  # noqa: E402


def record(arm, seed, scores, panel="spelling"):
    rows = [{"tokens": 100 * i, "greedy": score, "sampled": score / 2} for i, score in enumerate(scores)]
    return Record(None, {"arm": f"{panel}/{arm}", "seed": seed}, rows)


FOUND = [
    record("copy_prompt", 1, (0.65,)),
    record("delta", 1, (0.38, 0.8)),
    record("delta", 2, (0.62, 0.6)),
    record("terminal", 1, (0.5, 0.4)),
    record("terminal", 2, (0.5, 0.72)),
    record("copy_prompt", 1, (1.0,), "copy"),
    record("delta", 1, (0.1, 0.9), "copy"),
]


def test_the_verdict_names_each_line_for_each_reward():
    said = verdict(FOUND)
    greedy, sampled = said.split(" Sampled: ")
    assert "\n" not in said
    assert "delta beat copy-the-prompt (0.700 against 0.650, 1 of 2 runs)" in greedy
    assert "terminal did not beat copy-the-prompt (0.560 against 0.650, 1 of 2 runs)" in greedy
    assert "delta beat the warm start (0.700 against 0.500, 1 of 2 runs)" in greedy  # the second fell
    assert "terminal beat the warm start (0.560 against 0.500, 1 of 2 runs)" in greedy
    assert "delta did not beat copy-the-prompt (0.350 against 0.650, 0 of 2 runs)" in sampled


def test_the_warm_start_is_where_reinforcement_learning_begins():
    assert lines(FOUND, "sampled") == {"copy-the-prompt": 0.65, "the warm start": 0.25}
    assert lines(FOUND, "greedy", "copy") == {"copy-the-prompt": 1.0}


def test_the_figure_is_drawn(tmp_path):
    assert draw(load("dense_vs_sparse"), FOUND, tmp_path).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["seeds", "jobs"])
def test_what_cannot_be_run_is_refused_before_anything_runs(name, tmp_path):
    with pytest.raises(ValueError, match=re.escape(f"{name} must be a whole number, at least 1")):
        demo(DemoArgs(folder=tmp_path / "demo", **{name: 0}))
    assert not (tmp_path / "demo").exists()


def test_all_of_it_runs_and_a_second_time_only_the_report_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(launch.LAUNCHERS, "local", inline)
    args = DemoArgs(folder=tmp_path / "demo", smoke=True)
    demo(args)
    said = capsys.readouterr().out
    written = (args.folder / "demo.md").read_text()
    assert said.startswith(written)
    first = written.splitlines()[0]
    assert "copy-the-prompt" in first and "the warm start" in first and str(args.folder) in first
    assert "no claim of significance" in written and "exploratory" in written
    titles = next(line for line in written.splitlines() if line.startswith("| prompt"))
    assert titles == "| prompt | reference | warm start | terminal | delta |"
    assert len(re.findall(r"^\| `", written, flags=re.M)) == 6  # texts before and after
    assert (args.folder / "demo.png").stat().st_size > 10_000
    for experiment in select("quick"):
        assert f"## {experiment.name}" in (args.folder / "report.md").read_text()
        assert read_experiment(args.folder / "records", experiment.tiny())
    monkeypatch.setattr(launch, "make", lambda *_: pytest.fail("it has a record"))
    demo(args)
    assert capsys.readouterr().out == said
    with pytest.raises(RecordError, match="of another run"):
        demo(DemoArgs(folder=args.folder))
