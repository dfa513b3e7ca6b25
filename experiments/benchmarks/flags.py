"""The flags of the benchmarks."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def flags(module: str, doc: str, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """``quick`` and ``output``, a path or None.

    Args:
        module: its name, as ``python -m`` takes it.
        doc: its docstring, the help.
        argv: the flags; None: those of the process.
    """
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(f"python -m {module}", description=doc, formatter_class=style)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--output", type=_file, metavar="FILE", help="also write the tables to this Markdown file")
    return parser.parse_args(argv)


def _file(text: str) -> Path:
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"a file in a folder that is there is needed, got {text!r}")
    return path
