"""``make demo``: the experiments with the tag "quick" and few seeds, and what came of them in one line.

Does paying the same true score at once beat paying it at the end (``suite/dense_vs_sparse.py``), and what does a
constant reward do (``suite/constant_reward.py``)? Two one-thread processes work side by side. Killed and started again,
it goes on where it was. Everything is written to one folder: a figure of true score against tokens with every curve, a
short report whose first line says which lines were beaten, the report of the experiments, the records and the runs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agents.cli import command_line
from agents.files import replacing
from experiments import launch, plots, records, registry, report
from experiments.analysis import Analysis
from experiments.records import Record
from experiments.registry import QUICK_SEEDS, Experiment
from experiments.tables import markdown_table
from textgym.errors import whole_number

SHOWN = "dense_vs_sparse"
PANEL = "spelling"
REWARDS = {"delta": "paid at once (delta)", "terminal": "paid at the end (terminal)"}
COLUMNS = {"greedy": "Greedy", "sampled": "Sampled"}
COPIED, BEGUN = "copy-the-prompt", "the warm start"
VIEWS = {  # of the figure: panel, column -> title
    ("copy", "greedy"): "Copy, from nothing: greedy",
    ("spelling", "greedy"): "Spelling, after a warm start: greedy",
    ("spelling", "sampled"): "Spelling, after a warm start: sampled",
}


@dataclass
class DemoArgs:
    """SB3 PPO, paid at every character or at the end; the effect of a constant reward; a figure and a report."""

    seeds: int = QUICK_SEEDS
    """Runs of each arm."""
    jobs: int = 2
    """Runs at the same time, a thread each."""
    folder: Path = Path("runs/demo")
    """Where everything goes."""
    smoke: bool = False
    """All of it tiny, with two seeds: does it run here?"""


def demo(args: DemoArgs) -> None:
    """All of it.

    Raises:
        ValueError: no seeds or jobs.
        RecordError: the folder has records of other settings.
    """
    for name in ("seeds", "jobs"):
        whole_number(name, getattr(args, name), 1)
    chosen = registry.select("quick", args.seeds)
    if args.smoke:
        chosen = [experiment.tiny() for experiment in chosen]
    for experiment in chosen:
        records.read_experiment(args.folder / "records", experiment, partial=True)
    launch.run_all(chosen, args.folder, agent=None, jobs=args.jobs, launcher="local", progress=True)
    every = {e.name: Analysis(e, records.read_experiment(args.folder / "records", e)) for e in chosen}
    figure = draw(every[SHOWN].experiment, every[SHOWN].records, args.folder)
    text = page(every, args.folder)
    with replacing(args.folder / "demo.md") as file:
        file.write(text.encode())
    print(text)
    for path in (figure, args.folder / "demo.md", *report.write(chosen, args.folder)):
        print(path)


def lines(found: Sequence[Record], column: str, panel: str = PANEL) -> dict[str, float]:
    """The true scores that training is held against, on the same episodes: name -> height."""
    copied = {COPIED: _of(found, "copy_prompt", panel)[0].last("greedy")}
    if panel != PANEL:
        return copied  # it begins with nothing
    begun = [run.curve(column)[0] for reward in REWARDS for run in _of(found, reward)]
    return {**copied, BEGUN: float(np.mean(begun))}


def verdict(found: Sequence[Record]) -> str:
    """One line: which line was beaten by the last agents of which reward, on average and in how many runs (each held
    against its own warm start)."""
    sentences = []
    for column, title in COLUMNS.items():
        parts = []
        for reward in REWARDS:
            runs = _of(found, reward)
            last, begun = (np.array([run.curve(column)[at] for run in runs]) for at in (-1, 0))
            for name, line in {**lines(found, column), BEGUN: begun}.items():
                word = "beat" if last.mean() > np.mean(line) else "did not beat"
                above = f"{int((last > line).sum())} of {len(last)} runs"
                parts.append(f"{reward} {word} {name} ({last.mean():.3f} against {np.mean(line):.3f}, {above})")
        sentences.append(f"{title}: {', '.join(parts)}.")
    return " ".join(sentences)


def draw(experiment: Experiment, found: Sequence[Record], folder: Path) -> Path:
    """demo.png: every curve, and the lines."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, views = plt.subplots(1, len(VIEWS), figsize=(4.6 * len(VIEWS), 4.5), layout="constrained")
    views[1].sharey(views[2])
    for axes, ((panel, column), title) in zip(views, VIEWS.items(), strict=True):
        for reward, label in REWARDS.items():
            colour, dashes, marker = plots.KNOWN[reward]
            for run in _of(found, reward, panel):
                look = {"color": colour, "linestyle": dashes, "marker": marker, "markersize": 3, "label": label}
                axes.plot(run.tokens, run.curve(column), **look)
        for (name, height), dashes in zip(lines(found, column, panel).items(), (":", "-."), strict=False):
            axes.axhline(height, color="black", linestyle=dashes, linewidth=1, label=name)
        axes.set_title(title)
        axes.set_xlabel("tokens of reinforcement learning")
        axes.grid(alpha=0.3)
    views[0].set_ylabel("true score (character accuracy)")
    handles, labels = views[1].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), frameon=False, loc="outside lower center", ncols=len(unique))
    envs = " and ".join(experiment.settings[f"{panel}/delta"]["env"] for panel in ("copy", PANEL))
    figure.suptitle(f"SB3 PPO on {envs}: fixed validation episodes, every run drawn")
    path = folder / "demo.png"
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path


ABOUT = """\
Middle and right, SB3 PPO on {of_delta[env]}: {of_delta[steps]:,} tokens a run after {of_delta[warm_start]:,} updates of
likelihood. Left, {of_copy[env]}: {of_copy[steps]:,} tokens from nothing; there copying the prompt is the answer.
Both rewards pay the same true score, and at discount 1 have the same return; `delta` pays it character by character,
`terminal` at the end. Greedy: the likeliest character each time; sampled: as PPO trains it. The curves of spelling
begin after the tokens from which the critic alone learns. Scores are of the last agents on {of_delta[eval_episodes]}
fixed validation episodes.

{seeds} seeds a reward show what happened, not what would happen again: no claim of significance."""


def page(every: dict[str, Analysis], folder: Path) -> str:
    """demo.md, of what the records of each experiment say."""
    shown = every[SHOWN]
    found = shown.records
    of_delta, of_copy = (shown.experiment.settings[f"{panel}/delta"] for panel in (PANEL, "copy"))
    kept = "demo.png, demo.md, report.html, report.md, records, work"
    text = [
        f"{verdict(found)} All of it is in `{folder}`: {kept}.",
        "",
        "![true score against tokens](demo.png)",
        "",
        ABOUT.format(of_delta=of_delta, of_copy=of_copy, seeds=len(_of(found, "delta"))),
        "",
    ]
    ends = []
    for reward in REWARDS:
        for run in _of(found, reward):
            scores = [run.curve(column)[at] for column in COLUMNS for at in (0, -1)]
            ends.append([reward, str(run.seed), *(f"{score:.3f}" for score in scores)])
    text += markdown_table(["reward", "seed", "greedy: warm start", "last", "sampled: warm start", "last"], ends)
    caption, titles, rows = report.samples(shown, PANEL, tuple(REWARDS))
    titles = ["warm start" if title == "before" else title for title in titles]
    text += ["", f"{caption}:", "", *markdown_table(titles, rows)]
    text += ["", "The questions that were declared beforehand, with all controls in report.md and report.html:", ""]
    text += [f"- {name}: {analysis.experiment.question} {analysis.verdict()}" for name, analysis in every.items()]
    runs = [run for analysis in every.values() for run in analysis.records]
    seconds = sum(run.header["seconds"] for run in runs)
    text += ["", f"{report.sources(_of(found, 'delta'))} The {len(runs)} runs took {seconds:.0f} s added up."]
    return "\n".join(text) + "\n"


def _of(found: Sequence[Record], arm: str, panel: str = PANEL) -> list[Record]:
    return [record for record in found if record.arm == f"{panel}/{arm}"]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    command_line(DemoArgs, demo, "python -m experiments.demo")
