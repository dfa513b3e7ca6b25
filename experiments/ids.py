"""The table of all ids: their figures, and what the agents that do not learn score.

    python -m experiments.ids [--episodes N] [ID ...]

Writes textgym/commands/scores.json, which ``python -m textgym list`` shows, and docs/ids.md. With ids, only theirs are
measured anew. Scores are means over the first fixed validation episodes.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

from tqdm import tqdm

from agents.baselines import baseline_scores
from agents.files import replacing, write_json
from experiments.tables import markdown_table
from textgym.commands import listing
from textgym.errors import ArgumentNeeded
from textgym.registration import IDS

PAGE = Path("docs/ids.md")


def measure(names: list[str], episodes: int) -> dict[str, dict[str, float]]:
    """id -> agent -> mean true score, of the ids that can be made without arguments and with what is installed."""
    scores = {}
    bar = tqdm(names)
    for name in bar:
        bar.set_description(name)
        try:
            found = baseline_scores(f"textgym/{name}", episodes=episodes)
        except (ArgumentNeeded, ImportError, RuntimeError):
            continue
        scores[name] = {agent: round(found[agent], 4) for agent in listing.AGENTS}
    return scores


def page() -> str:
    """docs/ids.md."""
    titles = ["id", "V", "prompt", "budget", "episodes", "reward", "optimum", *listing.AGENTS, "what is to be done"]
    lines = [
        "# Environments",
        "",
        "Written by `python -m experiments.ids`; `python -m textgym list` shows the same.",
        "",
    ]
    rows, needs = [], []
    for row in map(listing.figures, IDS):
        if "vocabulary_size" in row:
            rows.append([f"{cell}".replace("|", "\\|") for cell in listing.cells(row)])
        else:
            needs.append(f"- `{row['id']}`: {row.get('needs') or row['error']}")
    lines += markdown_table(titles, rows)
    record = listing.recorded()
    lines += ["", f"V, prompt, budget in tokens. Scores: means over {record['episodes']} validation episodes, Python "]
    lines[-1] += f"{record['python']}; the real texts differ a little between Python versions."
    if needs:
        lines += ["", "With data or packages of your own:", "", *needs]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ids", nargs="*", metavar="ID", help="without textgym/; by default all")
    parser.add_argument("--episodes", type=int, default=200)
    args = parser.parse_args()
    unknown = set(args.ids) - set(IDS)
    if unknown:
        parser.error(f"unknown ids: {', '.join(sorted(unknown))}")
    scores = measure(args.ids or list(IDS), args.episodes)
    if args.ids:
        scores = {**json.loads(listing.SCORES.read_text())["scores"], **scores}
    ordered = {name: scores[name] for name in IDS if name in scores}
    write_json(listing.SCORES, {"episodes": args.episodes, "python": platform.python_version(), "scores": ordered})
    listing.recorded.cache_clear()
    PAGE.parent.mkdir(exist_ok=True)
    with replacing(PAGE) as file:
        file.write(page().encode())


if __name__ == "__main__":
    main()
