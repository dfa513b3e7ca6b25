"""The command line: ``python -m textgym list | show | play``."""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from textgym.envs.render import amount, as_text, visible
from textgym.envs.single import TextGenEnv
from textgym.errors import InvalidAction, RewardError, unknown
from textgym.registration import IDS
from textgym.tasks import SPLITS, GeneratedTask, Task, make_task

HELP = """\
Type text; each of its tokens is played. An empty line or :eos ends the text.
  :undo   take the last token back            :legal  the tokens that may come next
  :id N   play the token with the id N        :quit   leave
A text that begins with a colon: type the colon twice."""
COMMANDS_OF_PLAY = (":eos", ":help", ":id", ":legal", ":quit", ":undo")


class Refused(Exception):
    """What the user asked for cannot be done; the text says why, for people."""


# -- list ------------------------------------------------------------------------------------------


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
        if "error" in row:
            print(f"{row['id']}: cannot be built here: {row['error']}")
            continue
        fixed, reward, optimum = row["episodes"], row["reward"], row["optimum"]
        row["episodes"] = fixed if isinstance(fixed, str) else "/".join(map(str, fixed.values()))
        row["reward"] = reward if isinstance(reward, str) else json.dumps(reward)
        row["optimum"] = "?" if optimum is None else f"{optimum:g}"
        print(line.format(*row.values()), flush=True)


def _figures(name: str) -> dict[str, Any]:
    """One line of the list as JSON values; ``id`` and ``error`` alone where the task cannot be built."""
    path, arguments, reward = IDS[name]
    try:
        task = make_task(f"textgym.tasks.{path}", **arguments)
        if isinstance(task, GeneratedTask):
            episodes: Any = "generated"
        else:
            other = {**arguments, "tokenizer": task.vocabulary}  # it is the same for every split: do not train it again
            splits = (make_task(f"textgym.tasks.{path}", **other, split=split) for split in SPLITS[1:])
            episodes = dict(zip(SPLITS, map(len, (task, *splits)), strict=True))
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
        "description": _summary(task),
    }


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="a JSON list, for machines")


# -- show ------------------------------------------------------------------------------------------


def show(args: argparse.Namespace) -> None:
    """Show an environment's settings, and two episodes with the same prompt: the reference and a random agent."""
    env = _environment(args)
    task, vocabulary = env.task, env.vocabulary
    facts = {
        env.spec.id: _summary(task),
        "task": f"{type(task).__name__}, split {task.split} ({len(task)} fixed episodes)",
        "arguments": ", ".join(f"{k}={v!r}" for k, v in env.spec.kwargs.items() if k not in ("task", "render_mode")),
        "reward": visible(env.state.reward.name),
        "vocabulary": f"{vocabulary.kind}, V = {vocabulary.size}, EOS is {vocabulary.eos}",
        "actions": f"{env.action_space}, {vocabulary.legal.sum()} of them tokens",
        "observation": f"{env.observation_space}: prompt {task.prompt_length}, text {task.budget}",
        "mask": "none" if env.state.legal is None else type(env.state.mask).__name__,
        "optimum": "unknown" if task.optimum is None else f"{task.optimum:g}",
        "dropped": ", ".join(f"{count} {reason}" for reason, count in task.dropped.items()) or "nothing",
        "fingerprint": task.fingerprint,
    }
    width = max(map(len, facts)) + 2
    for name, fact in facts.items():
        print(f"{name:{width}}{fact}")
    _show_episode(env, args, "the first reference", _reference)
    _show_episode(env, args, "a random agent", _random)


def _show_episode(env: TextGenEnv, args: argparse.Namespace, title: str, agent: Callable[..., Iterator[int]]) -> None:
    _begin(env, args, args.seed)
    print(f"\n--- {title}")
    if agent is _reference and not env.episode.references:
        print("(the episode has no reference)")
        return
    paid = []
    for action in agent(env, args.seed):
        _, reward, ended, _, _ = env.step(action)
        paid.append(f"{env.vocabulary.token(action)} {amount(reward)}")
        if ended:
            break
    print(as_text(env.state, 0, colour=_colour()))
    print("\ntoken by token")
    _print_columns(paid)


def _reference(env: TextGenEnv, seed: int) -> Iterator[int]:
    yield from env.vocabulary.encode(env.episode.references[0]).tolist()
    yield env.vocabulary.eos


def _random(env: TextGenEnv, seed: int) -> Iterator[int]:
    rng = np.random.default_rng(seed)
    while True:
        yield int(rng.choice(np.flatnonzero(env.action_masks())))


# -- play ------------------------------------------------------------------------------------------


def play(args: argparse.Namespace) -> None:
    """Write the texts yourself, a token at a time, and see what each is paid."""
    env = _environment(args)
    print(HELP)
    seed = args.seed
    try:
        while True:
            _begin(env, args, seed)
            if not _play_episode(env):
                return
            seed = None  # go on with the episodes that follow
    except (EOFError, KeyboardInterrupt):
        print("\nbye")


def _play_episode(env: TextGenEnv) -> bool:
    """One episode; whether another one is wanted."""
    print("\n" + as_text(env.state, 0, colour=_colour(), parts=("task", "prompt")))
    past: list[dict[str, Any]] = []  # the state before each token
    ended = False
    while True:
        line = input("again? (y, n, :undo) " if ended else "> ")
        if line == ":quit":
            return False
        if line == ":undo":
            if past:
                env.set_state(past.pop())
                ended = False
            else:
                print("nothing to take back")
        elif ended:
            return line.strip().lower() in ("y", "yes")
        elif line == ":help":
            print(HELP)
        elif line == ":legal":
            _print_legal(env)
        else:
            ended = _play_tokens(env, line, past)
        parts = ("text", "return", "end", "references") if ended else ("text",)
        print(as_text(env.state, 0, colour=_colour(), parts=parts))


def _play_tokens(env: TextGenEnv, line: str, past: list[dict[str, Any]]) -> bool:
    """Play what was typed; whether the episode has ended."""
    try:
        ids = _typed(env, line)
    except ValueError as error:
        print(error)
        return False
    for count, id in enumerate(ids, 1):
        before = env.get_state()
        try:
            _, reward, ended, _, info = env.step(id)
        except (InvalidAction, RewardError) as error:
            env.set_state(before)
            print(visible(str(error)))
            return False
        past.append(before)
        terms = ", ".join(f"{visible(name)}={amount(paid)}" for name, paid in info["reward_terms"].items())
        left = env.task.budget - int(env.state.lengths[0])
        total = env.state.payments[0].sum()
        print(f"  {env.vocabulary.token(id):8} {amount(reward)}  ({terms})  return {amount(total)}, {left} left")
        if ended:
            if count < len(ids):
                print(f"  the episode has ended: the last {len(ids) - count} tokens were not played")
            return True
    return False


def _typed(env: TextGenEnv, line: str) -> list[int]:
    """The ids of a line that a player typed; ValueError where it stands for none."""
    if line in ("", ":eos"):
        return [env.vocabulary.eos]
    if line.split()[0:1] == [":id"]:
        if not re.fullmatch(r":id +[0-9]{1,18} *", line):
            raise ValueError(":id needs the number of a token, as in ':id 3'")
        return [int(line.split()[1])]
    if line.startswith("::"):
        line = line[1:]
    elif re.match(":[a-z]", line):
        raise unknown("command", line, COMMANDS_OF_PLAY)
    ids = env.vocabulary.encode(line).tolist()
    if not ids:
        raise ValueError("this stands for no token")
    return ids


def _print_legal(env: TextGenEnv, most: int = 300) -> None:
    legal = np.flatnonzero(env.action_masks()).tolist()
    _print_columns([f"{id} {env.vocabulary.token(id)}" for id in legal[:most]])
    if len(legal) > most:
        print(f"  and {len(legal) - most} more")


# -- what they share -------------------------------------------------------------------------------


def _episode_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "id", help='an id of "list", with or without "textgym/"; "package.module:id" imports the module first'
    )
    parser.add_argument("--seed", type=_natural, help="of the first episode (show: default 0; play: drawn)")
    parser.add_argument("--index", type=_natural, metavar="I", help="the fixed episode I instead of a drawn one")
    parser.add_argument("--reward", type=_value, metavar="SPEC", help='such as "terminal", "delta:cer", or JSON')
    parser.add_argument("--split", choices=SPLITS, help="which episodes (default: train)")
    parser.add_argument(
        "--set", type=_setting, action="append", default=[], metavar="NAME=VALUE",
        help="another argument of the environment, JSON or text: mask=task, budget=7, tokenizer=byte_bpe; repeatable",
    )  # fmt: skip


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    _episode_arguments(parser)
    parser.set_defaults(seed=0)


def _natural(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise argparse.ArgumentTypeError(f"a whole number, at least 0, is needed, got {text!r}")
    return int(text)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (equals and name.isidentifier()):
        raise argparse.ArgumentTypeError(f"NAME=VALUE is needed, got {text!r}")
    return name, _value(value)


def _full_id(given: str) -> str:
    """The registered id that a user means."""
    module, _, name = given.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise Refused(f"cannot import {module!r} of {given!r}: {error}") from error
    bare = name.removeprefix("textgym/")
    if bare in IDS:
        return f"textgym/{bare}"
    if name in gym.registry and gym.registry[name].entry_point == "textgym.envs.single:TextGenEnv":
        return name
    raise Refused(unknown("id", bare, IDS))


def _environment(args: argparse.Namespace) -> TextGenEnv:
    arguments = {**dict(args.set), "render_mode": "ansi"}  # so that payments are kept
    arguments.update({name: value for name in ("reward", "split") if (value := getattr(args, name)) is not None})
    try:
        return gym.make(_full_id(args.id), disable_env_checker=True, **arguments).unwrapped
    except (ValueError, TypeError, RuntimeError, OSError, ImportError) as error:
        raise Refused(error) from error


def _begin(env: TextGenEnv, args: argparse.Namespace, seed: int | None) -> None:
    try:
        env.reset(seed=seed, options=None if args.index is None else {"index": args.index})
    except (IndexError, ValueError) as error:
        raise Refused(error) from error


def _summary(task: Task) -> str:
    """The first sentence of the task's docstring."""
    text = " ".join((inspect.getdoc(type(task)) or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.!?])\s", text)[0]


def _print_columns(items: Iterable[str], width: int = 78) -> None:
    items = list(items)
    column = max(map(len, items), default=0) + 2
    each = max(width // column, 1)
    for i in range(0, len(items), each):
        print("  " + "".join(item.ljust(column) for item in items[i : i + each]).rstrip())


def _colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


# name -> what it does (its docstring is its help), its arguments. A new subcommand is one line here.
COMMANDS = {
    "list": (list_ids, _list_arguments),
    "show": (show, _show_arguments),
    "play": (play, _episode_arguments),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, by default that of the process.

    Returns:
        The exit code: 0; 1 where the output was closed early; 2 for what cannot be done, with the reason on stderr;
        130 where it was interrupted (but "play", which then ends with 0).

    Raises:
        SystemExit: argparse's own, with code 2 for arguments it does not know and 0 for ``-h``.
    """
    parser = argparse.ArgumentParser("python -m textgym", description="Text generation as Gymnasium environments.")
    subparsers = parser.add_subparsers(required=True, metavar="|".join(COMMANDS))
    for name, (run, add_arguments) in COMMANDS.items():
        doc = inspect.getdoc(run)
        subparser = subparsers.add_parser(name, help=doc.splitlines()[0], description=doc)
        add_arguments(subparser)
        subparser.set_defaults(run=run)
    args = parser.parse_args(argv)
    for stream, errors in ((sys.stdin, "replace"), (sys.stdout, "backslashreplace")):
        if hasattr(stream, "reconfigure"):  # no text that was typed or generated is to end the program
            stream.reconfigure(errors=errors)
    try:
        args.run(args)
        sys.stdout.flush()
    except (Refused, InvalidAction, RewardError) as error:
        print(f"textgym: {visible(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # as with "| head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
