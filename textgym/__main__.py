"""The command line: ``python -m textgym list | show | play | score``."""

from __future__ import annotations

import argparse
import inspect
import os
import sys
from collections.abc import Sequence

from textgym.commands import listing, play, score, show
from textgym.commands.common import Refused
from textgym.envs.render import visible
from textgym.errors import InvalidAction, RewardError

# name -> what it does (its docstring is its help), its arguments. A new subcommand is one line here.
COMMANDS = {
    "list": (listing.list_ids, listing.add_arguments),
    "show": (show.show, show.add_arguments),
    "play": (play.play, play.add_arguments),
    "score": (score.score, score.add_arguments),
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
