"""``list``: all environments and their figures."""

from __future__ import annotations

import argparse
import json
from functools import cache
from pathlib import Path
from typing import Any

from textgym.commands.environment import summary
from textgym.errors import ArgumentNeeded
from textgym.registration import IDS
from textgym.tasks import SPLITS, GeneratedTask, make_task

SCORES = Path(__file__).with_name("scores.json")  # written by experiments.ids
AGENTS = ("random", "copy_prompt", "ngram", "reference")


def list_ids(args: argparse.Namespace) -> None:
    """Show all environments and their figures.

    V: tokens of the vocabulary, EOS among them. prompt, budget: tokens, at most. episodes: how many are fixed for
    train/validation/test, or "generated". reward: the default one. optimum: the best mean score there is. random,
    copy_prompt, ngram, reference: the recorded mean true scores of the agents that do not learn.
    """
    rows = map(figures, IDS)
    if args.json:
        print(json.dumps(list(rows), indent=1))
        return
    line = f"{{:{max(map(len, IDS))}}} {{:>5}} {{:>6}} {{:>6}}  {{:16}} {{:16}} {{:>7}} {'{:>11} ' * len(AGENTS)} {{}}"
    print(line.format("id", "V", "prompt", "budget", "episodes", "reward", "optimum", *AGENTS, "description"))
    for row in rows:
        if "needs" in row:
            print(f"{row['id']}: {row['needs']}")
        elif "error" in row:
            print(f"{row['id']}: cannot be built here: {row['error']}")
        else:
            print(line.format(*cells(row)), flush=True)


def cells(row: dict[str, Any]) -> list[Any]:
    """A row of :func:`figures` in words, in the order of the columns."""
    fixed, reward, optimum, scores = row["episodes"], row["reward"], row["optimum"], row["scores"] or {}
    return [
        *(row[name] for name in ("id", "vocabulary_size", "prompt_length", "budget")),
        fixed if isinstance(fixed, str) else "/".join(map(str, fixed.values())),
        reward if isinstance(reward, str) else json.dumps(reward),
        "?" if optimum is None else f"{optimum:g}",
        *(f"{scores[agent]:.3f}" if agent in scores else "?" for agent in AGENTS),
        row["description"],
    ]


@cache
def recorded() -> dict[str, Any]:
    """The file of scores: ``{"episodes": ..., "python": ..., "scores": {id: {agent: score}}}``."""
    return json.loads(SCORES.read_text())


def figures(name: str) -> dict[str, Any]:
    """One line of the list as JSON values; where the task cannot be built, ``id`` and ``error`` alone, or, where that
    takes an argument, ``needs``."""
    path, arguments, reward = IDS[name]
    try:
        task = make_task(f"textgym.tasks.{path}", **arguments)
        if isinstance(task, GeneratedTask):
            episodes: Any = "generated"
        else:
            other = {**arguments, "tokenizer": task.vocabulary}  # it is the same for every split: do not train it again
            splits = (make_task(f"textgym.tasks.{path}", **other, split=split) for split in SPLITS[1:])
            episodes = dict(zip(SPLITS, map(len, (task, *splits)), strict=True))
    except ArgumentNeeded as error:
        return {"id": name, "needs": error.needs}
    except (ValueError, RuntimeError, ImportError) as error:
        return {"id": name, "error": str(error)}
    return {
        "id": name,
        "vocabulary_size": task.vocabulary.size,
        "prompt_length": task.prompt_length,
        "budget": task.budget,
        "episodes": episodes,
        "reward": reward,
        "optimum": task.optimum,
        "scores": recorded()["scores"].get(name),
        "description": summary(task),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="a JSON list, for machines")
