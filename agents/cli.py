"""What the command lines share: JSON as a flag, a name or JSON as a flag, errors of one line."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import gymnasium as gym
import tyro
from tyro.constructors import PrimitiveConstructorSpec

Settings, Result = TypeVar("Settings"), TypeVar("Result")


def command_line(
    settings: type[Settings], call: Callable[[Settings], Result], prog: str, argv: Sequence[str] | None = None
) -> Result:
    """A command line: ``call`` with what the flags say. What the user did wrong is one line on stderr.

    Args:
        settings: a dataclass, whose docstrings are the help.
        call: does the work.
        prog: the command, for the help.
        argv: the flags; None: those of the process.

    Raises:
        SystemExit: flags that cannot be read (code 2), or that ``call`` refuses or diverges with (code 1).
    """
    args = tyro.cli(settings, prog=prog, args=argv)
    try:
        return call(args)
    except (ValueError, FloatingPointError, ImportError, OSError, gym.error.Error) as error:
        sys.exit(f"error: {error}")


def json_object(text: str) -> dict[str, Any]:
    """A JSON object from a flag.

    Raises:
        ValueError: no JSON, or no object; says where.
    """
    value = _json(text, """JSON such as '{"length": 5}'""")
    if not isinstance(value, dict):
        raise ValueError(f"""this option takes a JSON object such as '{{"length": 5}}', got {text!r}""")
    return value


def name_or_json(text: str) -> Any:
    """``"delta:cer"`` as it is; what begins with ``{`` or ``[`` as JSON.

    Raises:
        ValueError: it is no JSON; says where.
    """
    if text.lstrip()[:1] not in ("{", "["):
        return text
    return _json(text, """a name, or JSON such as '{"name": "delta", "metric": "cer"}'""")


def _json(text: str, wanted: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"this option takes {wanted}, got {text!r} ({error})") from error


def _shown(value: Any) -> str:
    """A default, for the help."""
    return value if isinstance(value, str) else "None" if value is None else json.dumps(value)


@contextlib.contextmanager
def making(what: str) -> Iterator[None]:
    """Errors of whatever kind in making ``what`` out of settings are the user's: ``ValueError``, which is one line.

    ``what``: what is made of which settings, "the environment with env_kwargs {...}".
    """
    try:
        yield
    except (TypeError, AssertionError, RuntimeError) as error:  # SB3 and torch raise all of them
        raise ValueError(f"cannot make {what}: {error}") from error


# not "... | None", of which tyro makes a choice that it explains by naming the functions below
Json = Annotated[
    Mapping[str, Any] | None,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="JSON",
        instance_from_str=lambda given: json_object(given[0]),
        is_instance=lambda value: value is None or isinstance(value, dict),
        str_from_instance=lambda value: [_shown(value)],
    ),
]
"""A flag that takes a JSON object; None: by default."""

Spec = Annotated[
    Any,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="NAME|JSON",
        instance_from_str=lambda given: name_or_json(given[0]),
        is_instance=lambda value: value is None or isinstance(value, (str, dict, list)),
        str_from_instance=lambda value: [_shown(value)],
    ),
]
"""A flag that takes a name such as ``delta:cer``, or JSON; None: by default."""
