"""The flags of the benchmarks."""

from __future__ import annotations

import argparse
from pathlib import Path


def flags(module: str, doc: str) -> argparse.ArgumentParser:
    """A parser of ``smoke`` and ``folder``, a path or None.

    Args:
        module: its name, as ``python -m`` takes it.
        doc: its docstring, the help.
    """
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(f"python -m {module}", description=doc, formatter_class=style)
    parser.add_argument("--smoke", action="store_true", help="tiny: does it run here?")
    parser.add_argument("--folder", type=Path, help="also leave a record in FOLDER/records/benchmarks")
    return parser
