"""``list``: all environments and their figures."""

from __future__ import annotations

import argparse
import json
from typing import Any

from textgym.commands.environment import summary
from textgym.errors import ArgumentNeeded
from textgym.registration import IDS
from textgym.tasks import SPLITS, GeneratedTask, make_task


def list_ids(args: argparse.Namespace) -> None:
    """Show all environments and their figures.

    V: tokens of the vocabulary, EOS among them. prompt, budget: tokens, at most. episodes: how many are fixed for
    train/validation/test, or "generated". reward: the default one. optimum: the best mean score there is.
    """
    rows = map(_figures, IDS)
    if args.json:
        print(json.dumps(list(rows), indent=1))
        return
    line = f"{{:{max(map(len, IDS))}}} {{:>5}} {{:>6}} {{:>6}}  {{:16}} {{:9}} {{:>7}}  {{}}"
    print(line.format("id", "V", "prompt", "budget", "episodes", "reward", "optimum", "description"))
    for row in rows:
        if "needs" in row:
            print(f"{row['id']}: {row['needs']}")
            continue
        if "error" in row:
            print(f"{row['id']}: cannot be built here: {row['error']}")
            continue
        fixed, reward, optimum = row["episodes"], row["reward"], row["optimum"]
        row["episodes"] = fixed if isinstance(fixed, str) else "/".join(map(str, fixed.values()))
        row["reward"] = reward if isinstance(reward, str) else json.dumps(reward)
        row["optimum"] = "?" if optimum is None else f"{optimum:g}"
        print(line.format(*row.values()), flush=True)


def _figures(name: str) -> dict[str, Any]:
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
        "description": summary(task),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="a JSON list, for machines")
