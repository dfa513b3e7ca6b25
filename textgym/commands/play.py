"""``play``: write the texts yourself."""

from __future__ import annotations

import argparse
import re
from typing import Any

import numpy as np

from textgym.commands import environment
from textgym.commands.common import colour, padded, print_columns
from textgym.envs.render import amount, as_text, visible
from textgym.envs.single import TextGenEnv
from textgym.errors import InvalidAction, RewardError, unknown

add_arguments = environment.add_arguments

HELP = """\
Type text; each of its tokens is played. An empty line or :eos ends the text.
  :undo   take the last token back            :legal  the tokens that may come next
  :id N   play the token with the id N        :quit   leave
A text that begins with a colon: type the colon twice."""
COMMANDS_OF_PLAY = (":eos", ":help", ":id", ":legal", ":quit", ":undo")


def play(args: argparse.Namespace) -> None:
    """Write the texts yourself, a token at a time, and see what each is paid."""
    env = environment.make(args)
    print(HELP)
    seed = args.seed
    try:
        while True:
            environment.begin(env, args, seed)
            if not _play_episode(env):
                return
            seed = None  # go on with the episodes that follow
    except (EOFError, KeyboardInterrupt):
        print("\nbye")


def _play_episode(env: TextGenEnv) -> bool:
    """One episode; whether another one is wanted."""
    print("\n" + as_text(env.state, 0, colour=colour(), parts=("task", "prompt")))
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
        print(as_text(env.state, 0, colour=colour(), parts=parts))


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
        print(
            f"  {padded(env.vocabulary.token(id), 8)} {amount(reward)}  ({terms})  return {amount(total)}, {left} left"
        )
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
    print_columns([f"{id} {env.vocabulary.token(id)}" for id in legal[:most]])
    if len(legal) > most:
        print(f"  and {len(legal) - most} more")
