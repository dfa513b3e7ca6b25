"""What the commands share: refusing politely, reading values, writing to a terminal."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterable
from typing import Any

from textgym.envs.font import width


class Refused(Exception):
    """What the user asked for cannot be done; the text says why, for people."""


def natural(text: str) -> int:
    """An argument that is a whole number, at least 0."""
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise argparse.ArgumentTypeError(f"a whole number, at least 0, is needed, got {text!r}")
    return int(text)


def value(text: str) -> Any:
    """An argument that is JSON, else text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def setting(text: str) -> tuple[str, Any]:
    """An argument ``NAME=VALUE``."""
    name, equals, given = text.partition("=")
    if not (equals and name.isidentifier()):
        raise argparse.ArgumentTypeError(f"NAME=VALUE is needed, got {text!r}")
    return name, value(given)


def colour() -> bool:
    """Whether the output is a terminal that shows colours, and may."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def padded(text: str, columns: int) -> str:
    """A text that takes at least so many columns; Chinese characters take two."""
    return text + " " * (columns - width(text))


def print_columns(items: Iterable[str], most: int = 78) -> None:
    """As many items a line as fit."""
    items = list(items)
    column = max(map(width, items), default=0) + 2
    each = max(most // column, 1)
    for i in range(0, len(items), each):
        print("  " + "".join(padded(item, column) for item in items[i : i + each]).rstrip())
