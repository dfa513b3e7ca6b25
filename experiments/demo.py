"""``make demo``: the experiments with the tag "quick" and few seeds, and what came of them in one line.

Does paying the same true score at once beat paying it at the end (``suite/dense_vs_sparse.py``), and what does a
constant reward do (``suite/constant_reward.py``)? Two one-thread processes work side by side. Killed and started again,
it goes on where it was. Everything is written to one folder: a figure of true score against tokens with every curve, a
report whose first line says which lines were beaten, the records and the runs themselves.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agents.cli import command_line
from experiments import launch, plots, records, registry, report
from experiments.records import Record
from experiments.registry import QUICK_SEEDS, Experiment
from textgym.errors import whole_number

SHOWN = "dense_vs_sparse"
PANEL = "spelling"
REWARDS = {"delta": "paid at once (delta)", "terminal": "paid at the end (terminal)"}
COLUMNS = {"greedy": "Greedy", "sampled": "Sampled"}


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
    (shown,) = (experiment for experiment in chosen if experiment.name == SHOWN)
    found = records.read_experiment(args.folder / "records", shown)
    said = f"{verdict(found)} All of it is in `{args.folder}`: figure.png, report.html, report.md, records, runs."
    written = report.write(chosen, args.folder, first=said)
    print(said, examples(args.folder, shown), sep="\n\n")
    for path in (draw(shown, found, args.folder), *written):
        print(path)


def lines(found: Sequence[Record], column: str) -> dict[str, float]:
    """The true scores that training is held against, on the same episodes: name -> height."""
    copied = _of(found, "copy_prompt")
    begun = [run.curve(column)[0] for reward in REWARDS for run in _of(found, reward)]
    return {"copy-the-prompt": copied[0].last("greedy"), "the warm start": float(np.mean(begun))}


def verdict(found: Sequence[Record]) -> str:
    """One line: which line was beaten by the last agents of which reward, on average and in how many runs."""
    sentences = []
    for column, title in COLUMNS.items():
        parts = []
        for reward in REWARDS:
            last = np.array([run.last(column) for run in _of(found, reward)])
            for name, line in lines(found, column).items():
                word = "beat" if last.mean() > line else "did not beat"
                above = f"{int((last > line).sum())} of {len(last)} runs"
                parts.append(f"{reward} {word} {name} ({last.mean():.3f} against {line:.3f}, {above})")
        sentences.append(f"{title}: {', '.join(parts)}.")
    return " ".join(sentences)


def draw(experiment: Experiment, found: Sequence[Record], folder: Path) -> Path:
    """figure.png: every curve, and the lines."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained", sharey=True)
    for axes, (column, title) in zip(panels, COLUMNS.items(), strict=True):
        for reward, label in REWARDS.items():
            colour, dashes, marker = plots.KNOWN[reward]
            for run in _of(found, reward):
                look = {"color": colour, "linestyle": dashes, "marker": marker, "markersize": 3, "label": label}
                axes.plot(run.tokens, run.curve(column), **look)
        for (name, height), dashes in zip(lines(found, column).items(), (":", "-."), strict=True):
            axes.axhline(height, color="black", linestyle=dashes, linewidth=1, label=name)
        axes.set_title(title)
        axes.set_xlabel("tokens of reinforcement learning")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("true score (character accuracy)")
    handles, labels = panels[0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    panels[0].legend(unique.values(), unique.keys(), frameon=False, loc="lower right")
    settings = experiment.settings[f"{PANEL}/delta"]
    figure.suptitle(f"{settings['env']}: {settings['eval_episodes']} fixed validation episodes, every run drawn")
    path = folder / "figure.png"
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path


def examples(folder: Path, experiment: Experiment, count: int = 6) -> str:
    """What the last agents of the first seed make of some prompts, a Markdown table."""
    from agents.evaluation import evaluate, load_agent

    env = experiment.settings[f"{PANEL}/delta"]["env"]
    written = {}
    for run in experiment.runs():
        panel, _, arm = run.arm.rpartition("/")
        if panel == PANEL and arm in REWARDS and arm not in written:
            agent, _ = load_agent(launch.work_folder(folder, run) / "last.zip")
            written[arm] = evaluate(agent, env, count)
    prompts, references = (getattr(written["delta"], name) for name in ("prompts", "references"))
    columns = [prompts, [each[0] for each in references], *(each.texts for each in written.values())]
    table = ["| prompt | reference | " + " | ".join(written) + " |", "|---" * (2 + len(written)) + "|"]
    for row in zip(*columns, strict=True):
        table.append("| " + " | ".join("`" + cell.replace("|", "¦").replace("`", "'") + "`" for cell in row) + " |")
    return "\n".join(table)


def _of(found: Sequence[Record], arm: str) -> list[Record]:
    return [record for record in found if record.arm == f"{PANEL}/{arm}"]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    command_line(DemoArgs, demo, "python -m experiments.demo")
