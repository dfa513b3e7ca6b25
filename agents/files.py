"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import json
import os
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
