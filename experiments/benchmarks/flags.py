"""The flags of the benchmarks."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def flags(module: str, doc: str, argv: Sequence[str] | None = None, *, device: bool = False) -> argparse.Namespace:
    """``quick`` and ``output``, a path or None; ``device``, where it can be chosen.

    Args:
        module: its name, as ``python -m`` takes it.
        doc: its docstring, the help.
        argv: the flags; None: those of the process.
        device: the benchmark runs on a GPU too.
    """
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(f"python -m {module}", description=doc, formatter_class=style)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--output", type=_file, metavar="FILE", help="also write the tables to this Markdown file")
    if device:
        parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where networks live")
    return parser.parse_args(argv)


def _file(text: str) -> Path:
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"a file in a folder that is there is needed, got {text!r}")
    return path
