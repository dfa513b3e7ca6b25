"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A binary file to write, which becomes ``path`` when all of it is on disk.

    Until then, and when the block raises or the process is killed, ``path`` is what it was. What a kill leaves is
    ``.<name>.part``, which the next write replaces.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """``value`` as indented JSON, atomically."""
    with replacing(path) as file:
        file.write((json.dumps(value, indent=2) + "\n").encode())


def read_saved(path: str | Path, format: str, writer: str) -> dict[str, Any]:
    """What ``torch.save`` wrote into a file, on the CPU; no code in it is run.

    Args:
        format: what must stand under "format".
        writer: the program that writes such files.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no such file of ``writer``.
    """
    import torch

    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        raise ValueError(f"{path} is no checkpoint of {writer}: it cannot be read as one") from error
    found = saved.get("format") if isinstance(saved, dict) else None
    if found != format:
        raise ValueError(f"{path} is no checkpoint of {writer}: its format is {found}, not {format}")
    return saved
