"""``make demo``: SB3 PPO learns to correct spelling; the same true score is paid at once, or at the end.

For each reward and seed one run: a warm start by likelihood, then PPO. Two one-thread processes work side by
side. Killed and started again, it goes on where it was. Everything is written to one folder: a figure
of true score against steps with every curve, a report, and the runs themselves.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from tqdm import tqdm

REWARDS = ("delta", "terminal")


@dataclass
class DemoArgs:
    """SB3 PPO on spelling correction, paid at every character or at the end."""

    env: str = "textgym/Spelling-v0"
    """The environment's id."""
    steps: int = 100_000
    """Tokens each run trains on."""
    seeds: int = 2
    """Runs of each reward."""
    warm_start: int = 300
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
    from agents.evaluate import evaluate, load_agent
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


def run_all(args: DemoArgs) -> list[dict[str, Any]]:
    """All runs, ``processes`` at a time, with one progress bar over their evaluations."""
    jobs = [(reward, seed) for seed in range(args.seeds) for reward in REWARDS]
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(args.processes, mp_context=context) as pool,
        tqdm(total=len(jobs) * args.steps, unit="tok", unit_scale=True, desc="demo", dynamic_ncols=True) as bar,
    ):
        futures: list[Future] = [pool.submit(run, args, reward, seed) for reward, seed in jobs]
        try:
            while not all(future.done() for future in futures):
                time.sleep(1)
                done = sum(min(steps_done(args.folder / f"{r}-s{s}"), args.steps) for r, s in jobs)
                bar.set_postfix(runs=f"{sum(f.done() for f in futures)}/{len(jobs)}", refresh=False)
                bar.update(done - bar.n)
                if any(future.done() and future.exception() for future in futures):
                    break
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return [future.result() for future in futures]


@dataclass(frozen=True)
class Lines:
    """The true scores that training is held against, on the same episodes."""

    copy_prompt: float
    warm_start: float | None
    overlap: float


def curve(result: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Steps and true scores of a run, from the agent that PPO started from."""
    rows = [row for row in result["evaluations"] if row["event"] != "start"] or result["evaluations"]
    return np.array([row["steps"] for row in rows]), np.array([row["score"] for row in rows])


def lines_of(args: DemoArgs, results: list[dict[str, Any]]) -> Lines:
    from agents.baselines import make_baseline
    from agents.evaluate import evaluate, evaluation_env

    env = evaluation_env(args.env)
    copied = evaluate(make_baseline("copy_prompt", args.env, env.task), env, args.eval_episodes).mean_score
    warm = float(np.mean([curve(result)[1][0] for result in results])) if args.warm_start else None
    return Lines(copied, warm, env.task.overlap)


def draw(args: DemoArgs, results: list[dict[str, Any]], lines: Lines) -> Path:
    """The figure: every curve, the lines."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    # Okabe and Ito's colours are told apart by the colour-blind; the dashes also in print
    styles = {
        "delta": ("#0072B2", "-", "paid at once (delta)"),
        "terminal": ("#D55E00", "--", "paid at the end (terminal)"),
    }
    for result in results:
        colour, dashes, label = styles[result["reward"]]
        steps, scores = curve(result)
        axes.plot(steps, scores, dashes, color=colour, label=label, marker="o", markersize=3)
    axes.axhline(lines.copy_prompt, color="black", linestyle=":", label=f"copy the prompt ({lines.copy_prompt:.3f})")
    if lines.warm_start is not None:
        axes.axhline(lines.warm_start, color="grey", linestyle="-.", label=f"warm start ({lines.warm_start:.3f})")
    axes.set_xlabel("tokens of PPO")
    axes.set_ylabel("true score: character accuracy, greedy")
    axes.set_title(f"{args.env}, {args.eval_episodes} fixed validation episodes, every run drawn")
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    axes.legend(unique.values(), unique.keys(), frameon=False)
    axes.grid(alpha=0.3)
    path = args.folder / "figure.png"
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return path


def verdict(results: list[dict[str, Any]], lines: Lines) -> str:
    """One sentence: which line was beaten by which reward's last agents, on average and in how many runs."""
    parts = []
    named = {"copy-the-prompt": lines.copy_prompt, "warm start": lines.warm_start}
    for reward in REWARDS:
        last = np.array([curve(result)[1][-1] for result in results if result["reward"] == reward])
        for name, line in named.items():
            if line is not None:
                word = "beat" if last.mean() > line else "did not beat"
                above = int((last > line).sum())
                parts.append(
                    f"{reward} {word} {name} ({last.mean():.3f} against {line:.3f}, {above} of {len(last)} runs)"
                )
    return "; ".join(parts) + "."


def report(args: DemoArgs, results: list[dict[str, Any]], lines: Lines, seconds: float) -> Path:
    """The Markdown report; its first line is the verdict."""
    from agents.evaluate import evaluation_env

    task = evaluation_env(args.env).task
    config = json.loads((args.folder / f"{REWARDS[0]}-s0" / "config.json").read_text())
    text = [
        verdict(results, lines),
        "",
        f"Everything is in `{args.folder}`: this report, `figure.png`, and a folder a run (evaluations.csv, last.zip,",
        "logs).",
        "",
        "![true score against steps](figure.png)",
        "",
        f"SB3 PPO on {args.env}, {args.steps:,} tokens a run after {args.warm_start} updates of likelihood. Both rewards pay",
        "the same true score, and at discount 1 have the same return; `delta` pays it character by character, `terminal` at",
        f"the end. Scores are of the last agents, greedy, on {args.eval_episodes} fixed validation episodes. {args.seeds} seeds a",
        "reward show what happened, not what would happen again: no claim of significance.",
        "",
        "| reward | seed | warm start | last | best |",
        "|---|---|---|---|---|",
    ]
    for result in sorted(results, key=lambda r: (r["reward"], r["seed"])):
        _, scores = curve(result)
        row = f"{scores[0]:.3f} | {scores[-1]:.3f} | {scores.max():.3f}"
        text.append(f"| {result['reward']} | {result['seed']} | {row} |")
    text += [
        "",
        f"Copying the prompt scores {lines.copy_prompt:.3f}. {lines.overlap:.0%} of the validation references occur",
        "word for word somewhere in the training text.",
        "",
    ]
    text += ["| prompt | reference | start | delta | terminal |", "|---|---|---|---|---|"]
    by_reward = {result["reward"]: result["texts"] for result in results if result["seed"] == 0}
    for i in range(6):
        episode = task.episode(i)
        cells = [
            episode.prompt,
            episode.references[0],
            by_reward["delta"]["start"][i],
            *(by_reward[reward]["last"][i] for reward in REWARDS),
        ]
        text.append("| " + " | ".join("`" + cell.replace("|", "¦") + "`" for cell in cells) + " |")
    versions = ", ".join(f"{name} {number}" for name, number in config["versions"].items())
    text += [
        "",
        f"Data and vocabulary {config['fingerprint']} ({versions}). {seconds:.0f} s on {os.cpu_count()} cores.",
    ]
    path = args.folder / "report.md"
    path.write_text("\n".join(text) + "\n")
    return path


def main() -> None:
    args = tyro.cli(DemoArgs, prog="python -m experiments.demo")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    started = time.monotonic()
    args.folder.mkdir(parents=True, exist_ok=True)
    results = run_all(args)
    lines = lines_of(args, results)
    figure = draw(args, results, lines)
    path = report(args, results, lines, time.monotonic() - started)
    print(path.read_text())
    print(f"figure {figure}\nreport {path}")


if __name__ == "__main__":
    main()
