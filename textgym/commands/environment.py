"""The environment that a command line asks for."""

from __future__ import annotations

import argparse
import inspect
import re

import gymnasium as gym

from textgym.commands.common import Refused, natural, setting, value
from textgym.envs.single import TextGenEnv
from textgym.registration import full_id
from textgym.tasks import SPLITS, Task


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the commands that show episodes."""
    parser.add_argument(
        "id", help='an id of "list", with or without "textgym/"; "package.module:id" imports the module first'
    )
    parser.add_argument("--seed", type=natural, help="of the first episode (show: default 0; play: drawn)")
    parser.add_argument("--index", type=natural, metavar="I", help="the fixed episode I instead of a drawn one")
    parser.add_argument("--reward", type=value, metavar="SPEC", help='such as "terminal", "delta:chrf", or JSON')
    parser.add_argument("--split", choices=SPLITS, help="which episodes (default: train)")
    parser.add_argument(
        "--set", type=setting, action="append", default=[], metavar="NAME=VALUE",
        help="another argument of the environment, JSON or text: mask=task, budget=7, tokenizer=byte_bpe; repeatable",
    )  # fmt: skip


def make(args: argparse.Namespace) -> TextGenEnv:
    """The environment; payments are kept."""
    arguments = {**dict(args.set), "render_mode": "ansi"}  # which keeps the payments
    arguments.update({name: given for name in ("reward", "split") if (given := getattr(args, name)) is not None})
    try:
        return gym.make(full_id(args.id), disable_env_checker=True, **arguments).unwrapped
    except (ValueError, TypeError, RuntimeError, OSError, ImportError) as error:
        words, _, _ = str(error).partition(" was raised from the environment creator")  # which Gymnasium adds
        raise Refused(words) from error


def begin(env: TextGenEnv, args: argparse.Namespace, seed: int | None) -> None:
    """An episode: that of ``--index``, else a drawn one."""
    try:
        env.reset(seed=seed, options=None if args.index is None else {"index": args.index})
    except (IndexError, ValueError) as error:
        raise Refused(error) from error


def summary(task: Task) -> str:
    """The first sentence of the task's docstring."""
    text = " ".join((inspect.getdoc(type(task)) or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.!?])\s", text)[0]
