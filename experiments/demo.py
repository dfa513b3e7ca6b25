"""``make demo``: SB3 PPO learns to correct spelling; the same true score is paid at once, or at the end.

For each reward and seed one run: a warm start by likelihood, then PPO. Two one-thread processes work side by
side. Killed and started again, it goes on where it was. Everything is written to one folder: a figure
of true score against steps with every curve, a report, and the runs themselves.

Every agent is looked at twice on the same fixed validation episodes: greedy (the likeliest character each time)
and sampled (as PPO trains it).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from agents.cli import command_line
from textgym.errors import whole_number

REWARDS = ("delta", "terminal")
COLUMNS = {"score": "Greedy", "sampled": "Sampled"}  # of evaluations.csv


@dataclass
class DemoArgs:
    """SB3 PPO on spelling correction, paid at every character or at the end."""

    env: str = "textgym/SpellingNoisy-v0"
    """The environment's id, with or without textgym/."""
    steps: int = 100_000
    """Tokens each run trains on."""
    seeds: int = 3
    """Runs of each reward."""
    warm_start: int = 1000
    """Updates of maximum likelihood before PPO."""
    processes: int = 2
    """Runs at the same time, a thread each."""
    eval_episodes: int = 500
    """Fixed validation episodes of every evaluation."""
    folder: Path = Path("runs/demo")
    """Where everything goes."""


def settings_of(args: DemoArgs, reward: str, seed: int, steps: int) -> dict[str, Any]:
    """The keywords of the ``TrainArgs`` of one run."""
    return {
        "env": args.env,
        "algo": "ppo",
        "reward": reward,
        "seed": seed,
        "steps": steps,
        "warm_start": args.warm_start,
        "eval_every": max(1, args.steps // 12),
        "eval_episodes": args.eval_episodes,
        "folder": args.folder / f"{reward}-s{seed}",
        "resume": True,
        "progress": False,
    }


def run(args: DemoArgs, reward: str, seed: int) -> dict[str, Any]:
    """One run: warm start, keep that agent, train. In a process of its own."""
    from agents.evaluation import evaluate, load_agent
    from agents.sb3.train import TrainArgs, train

    folder = args.folder / f"{reward}-s{seed}"
    start = folder / "start.zip"
    if not start.exists():
        train(TrainArgs(**settings_of(args, reward, seed, steps=0)))
        shutil.copy(folder / "last.zip", folder / ".start.zip")
        os.replace(folder / ".start.zip", start)
    result = train(TrainArgs(**settings_of(args, reward, seed, args.steps)))
    texts = {}
    for name in ("start", "last"):
        agent, _ = load_agent(folder / f"{name}.zip")
        texts[name] = evaluate(agent, args.env, 6).texts
    return {"reward": reward, "seed": seed, "evaluations": result.evaluations, "texts": texts}


def steps_done(folder: Path) -> int:
    """Tokens a run has been evaluated after, 0 before its first evaluation."""
    try:
        return int(float((folder / "evaluations.csv").read_text().splitlines()[-1].split(",")[1]))
    except (OSError, IndexError, ValueError):
        return 0


def die_with_parent() -> None:
    """In a worker: stop when the main process is gone, so that a new one finds the folder at rest."""

    def watch():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run_all(args: DemoArgs) -> list[dict[str, Any]]:
    """All runs, ``processes`` at a time, with one progress bar over their evaluations."""
    jobs = [(reward, seed) for seed in range(args.seeds) for reward in REWARDS]
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(args.processes, mp_context=context, initializer=die_with_parent) as pool,
        tqdm(total=len(jobs) * args.steps, unit="tok", unit_scale=True, desc="demo", dynamic_ncols=True) as bar,
    ):
        futures: list[Future] = [pool.submit(run, args, reward, seed) for reward, seed in jobs]
        try:
            while not all(future.done() for future in futures):
                time.sleep(1)
                folders = [args.folder / f"{reward}-s{seed}" for reward, seed in jobs]
                warming = sum(folder.exists() and not (folder / "start.zip").exists() for folder in folders)
                bar.set_postfix_str(
                    f"{sum(f.done() for f in futures)} of {len(jobs)} runs done"
                    + (f", {warming} in the warm start (no tokens yet)" if warming else ""),
                    refresh=False,
                )
                bar.update(sum(min(steps_done(folder), args.steps) for folder in folders) - bar.n)
                if any(future.done() and future.exception() for future in futures):
                    break
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return [future.result() for future in futures]


@dataclass(frozen=True)
class Lines:
    """The true scores that training is held against, on the same episodes."""

    copy_prompt: float
    warm_start: dict[str, float]  # by column
    overlap: float


def curve(result: dict[str, Any], column: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and true scores of a run, from the agent that PPO started from."""
    rows = [row for row in result["evaluations"] if row["event"] != "start"] or result["evaluations"]
    return np.array([row["steps"] for row in rows]), np.array([row[column] for row in rows])


def lines_of(args: DemoArgs, results: list[dict[str, Any]]) -> Lines:
    """Measured, not assumed."""
    from agents.baselines import make_baseline
    from agents.evaluation import evaluate, evaluation_env

    env = evaluation_env(args.env)
    copied = evaluate(make_baseline("copy_prompt", args.env, env.task), env, args.eval_episodes).mean_score
    warm = (
        {c: float(np.mean([curve(result, c)[1][0] for result in results])) for c in COLUMNS} if args.warm_start else {}
    )
    return Lines(copied, warm, env.task.overlap)


def draw(args: DemoArgs, results: list[dict[str, Any]], lines: Lines) -> Path:
    """The figure: every curve, the lines."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained", sharey=True)
    # two of Okabe and Ito's colours, which the colour-blind tell apart; the dashes also in print
    styles = {
        "delta": {"color": "#0072B2", "linestyle": "-", "label": "paid at once (delta)"},
        "terminal": {"color": "#D55E00", "linestyle": "--", "label": "paid at the end (terminal)"},
    }
    for axes, (column, title) in zip(panels, COLUMNS.items(), strict=True):
        for result in results:
            axes.plot(*curve(result, column), marker="o", markersize=3, **styles[result["reward"]])
        axes.axhline(lines.copy_prompt, color="black", linestyle=":", label="copy the prompt")
        if lines.warm_start:
            axes.axhline(lines.warm_start[column], color="grey", linestyle="-.", label="warm start (mean of the runs)")
        axes.set_title(title)
        axes.set_xlabel("tokens of reinforcement learning")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("true score (character accuracy)")
    handles, labels = panels[0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    panels[0].legend(unique.values(), unique.keys(), frameon=False, loc="lower right")
    figure.suptitle(f"{args.env}: {args.eval_episodes} fixed validation episodes, every run drawn")
    path = args.folder / "figure.png"
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path


def verdict(results: list[dict[str, Any]], lines: Lines) -> str:
    """One line: which line was beaten by the last agents of which reward, on average and in how many runs."""
    sentences = []
    for column, title in COLUMNS.items():
        parts = []
        named = {"copy-the-prompt": lines.copy_prompt, "the warm start": lines.warm_start.get(column)}
        for reward in REWARDS:
            last = np.array([curve(result, column)[1][-1] for result in results if result["reward"] == reward])
            for name, line in named.items():
                if line is not None:
                    word = "beat" if last.mean() > line else "did not beat"
                    above = f"{int((last > line).sum())} of {len(last)} runs"
                    parts.append(f"{reward} {word} {name} ({last.mean():.3f} against {line:.3f}, {above})")
        sentences.append(f"{title}: {', '.join(parts)}.")
    return " ".join(sentences)


def report(args: DemoArgs, results: list[dict[str, Any]], lines: Lines) -> Path:
    """The Markdown report; its first line is the verdict."""
    from agents.evaluation import evaluation_env

    task = evaluation_env(args.env).task
    config = json.loads((args.folder / f"{REWARDS[0]}-s0" / "config.json").read_text())
    text = [
        f"{verdict(results, lines)} All of it is in `{args.folder}`: figure.png, report.md, a folder a run.",
        "",
        "![true score against steps](figure.png)",
        "",
        f"SB3 PPO on {args.env}, {args.steps:,} tokens a run after {args.warm_start} updates of likelihood. Both",
        "rewards pay the same true score, and at discount 1 have the same return; `delta` pays it character by",
        "character, `terminal` at the end. Greedy: the likeliest character each time; sampled: as PPO trains it.",
        "The curves begin after the tokens from which the critic alone learns.",
        f"Scores are of the last agents on {args.eval_episodes} fixed validation episodes. {args.seeds} seeds a reward",
        "show what happened, not what would happen again: no claim of significance.",
        "",
        "| reward | seed | greedy: warm start | last | sampled: warm start | last |",
        "|---|---|---|---|---|---|",
    ]
    for result in sorted(results, key=lambda r: (r["reward"], r["seed"])):
        scores = [curve(result, column)[1] for column in COLUMNS]
        cells = [f"{value:.3f}" for each in scores for value in (each[0], each[-1])]
        text.append(f"| {result['reward']} | {result['seed']} | {' | '.join(cells)} |")
    text += [
        "",
        f"Copying the prompt scores {lines.copy_prompt:.3f}. {lines.overlap:.0%} of the validation references occur",
        "word for word somewhere in the training text.",
        "",
    ]
    text += ["| prompt | reference | warm start | delta | terminal |", "|---|---|---|---|---|"]
    by_reward = {result["reward"]: result["texts"] for result in results if result["seed"] == 0}
    for i in range(6):
        episode = task.episode(i)
        cells = [
            episode.prompt,
            episode.references[0],
            by_reward["delta"]["start"][i],
            *(by_reward[reward]["last"][i] for reward in REWARDS),
        ]
        text.append("| " + " | ".join("`" + cell.replace("|", "¦").replace("`", "'") + "`" for cell in cells) + " |")
    versions = ", ".join(f"{name} {number}" for name, number in config["versions"].items())
    seconds = sum(result["evaluations"][-1]["wall_s"] for result in results)
    text += [
        "",
        f"Data and vocabulary {config['fingerprint']} ({versions}).",
        f"The {len(results)} runs, {args.processes} at a time and a thread each, took {seconds:.0f} s added up.",
    ]
    path = args.folder / "report.md"
    path.write_text("\n".join(text) + "\n")
    return path


def demo(args: DemoArgs) -> None:
    """All of it, after a look at whether each run can be made."""
    from agents.sb3.settings import TrainArgs, resolve

    for name in ("steps", "seeds", "processes"):
        whole_number(name, getattr(args, name), 1)
    resolve(TrainArgs(**settings_of(args, REWARDS[0], 0, args.steps)))
    args.folder.mkdir(parents=True, exist_ok=True)
    results = run_all(args)
    lines = lines_of(args, results)
    figure = draw(args, results, lines)
    path = report(args, results, lines)
    print(path.read_text())
    print(f"figure {figure}\nreport {path}")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    command_line(DemoArgs, demo, "python -m experiments.demo")
