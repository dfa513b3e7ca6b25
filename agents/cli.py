"""What the command lines share: JSON as a flag, and a name or JSON as a flag."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from tyro.constructors import PrimitiveConstructorSpec


def json_object(text: str, what: str = "this option") -> dict[str, Any]:
    """A JSON object from a flag.

    Raises:
        ValueError: no JSON, or no object; says where.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"""{what} takes JSON such as '{{"length": 5}}', got {text!r} ({error})""") from error
    if not isinstance(value, dict):
        raise ValueError(f"""{what} takes a JSON object such as '{{"length": 5}}', got {text!r}""")
    return value


def name_or_json(text: str) -> Any:
    """``"delta:cer"`` as it is; what begins with ``{`` or ``[`` as JSON."""
    return json.loads(text) if text.lstrip()[:1] in ("{", "[") else text


Json = Annotated[
    Mapping[str, Any],
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="JSON",
        instance_from_str=lambda given: json_object(given[0]),
        is_instance=lambda value: isinstance(value, dict),
        str_from_instance=lambda value: [json.dumps(value)],
    ),
]
"""A flag that takes a JSON object."""

Spec = Annotated[
    Any,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="NAME|JSON",
        instance_from_str=lambda given: name_or_json(given[0]),
        is_instance=lambda value: value is None or isinstance(value, (str, dict, list)),
        str_from_instance=lambda value: [value if isinstance(value, str) else json.dumps(value)],
    ),
]
"""A flag that takes a name such as ``delta:cer``, or JSON."""
