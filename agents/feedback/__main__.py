"""``python -m agents.feedback serve | stats | export | import | sample | simulate | loop``, each with ``--help``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from agents.cli import command_line
from textgym.errors import unknown

# name -> where its settings and what it does are. A new command is one line here.
COMMANDS = {
    "serve": "server:ServeArgs:serve",
    "stats": "commands:StatsArgs:stats",
    "export": "commands:ExportArgs:export",
    "import": "commands:ImportArgs:import_",
    "sample": "sample:SampleArgs:sample",
    "simulate": "simulated:SimulateArgs:simulate",
    "loop": "loop:LoopArgs:loop",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command line, by default that of the process.

    Raises:
        SystemExit: no such command (code 2), or as :func:`agents.cli.command_line`.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    if not given or given[0] in ("-h", "--help"):
        print(f"usage: {__doc__.replace('`', '').rstrip('.')}")
        sys.exit(0 if given else 2)
    if given[0] not in COMMANDS:
        print(f"error: {unknown('command', given[0], COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    module, settings, call = COMMANDS[given[0]].split(":")
    try:
        found = importlib.import_module(f"agents.feedback.{module}")
    except ModuleNotFoundError as error:
        sys.exit(f"error: {given[0]} needs {error.name}: pip install 'textgym[feedback]'")
    command_line(getattr(found, settings), getattr(found, call), f"python -m agents.feedback {given[0]}", given[1:])


if __name__ == "__main__":
    main()
