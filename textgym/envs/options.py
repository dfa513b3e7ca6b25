"""The ``options`` of ``reset``: which episodes a user asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from textgym.episode import Episode
from textgym.errors import unknown
from textgym.tasks import Task

OPTIONS = ("index", "prompt", "references")


def checked_options(options: Any) -> dict[str, Any]:
    """``options`` as a dict of one's own; None is an empty one."""
    if options is not None and not isinstance(options, Mapping):
        raise TypeError(f"reset options are a dict such as {{'index': 0}}, got {options!r}")
    return dict(options or {})


def requested_episodes(
    task: Task, options: Mapping[str, Any] | None, rows: Sequence[int], n: int
) -> list[Episode] | None:
    """The episodes for ``rows``, or None to draw them.

    Args:
        task: makes the episodes.
        options: ``{"index": i}`` for the fixed episode i, or ``{"prompt": text}`` with or without
            ``"references"`` (a list of texts). In a batch each may be one value for all rows, or a
            sequence of n, one a row (references: of n lists).
        rows: the rows to be reset.
        n: rows of the batch.

    Raises:
        ValueError: an unknown option, index together with prompt, a prompt that is too long, or a
            sequence that does not have n items.
        IndexError: no such fixed episode.
    """
    if not options:
        return None
    for name in options:
        if name == "reset_mask":
            raise ValueError("the reset option 'reset_mask' chooses rows of a vector environment; here there is one")
        if name not in OPTIONS:
            raise unknown("reset option", name, (*OPTIONS, "reset_mask"))
    if "index" in options:
        if len(options) > 1:
            raise ValueError(
                "the reset option 'index' names a fixed episode: give either 'index' or 'prompt', not both"
            )
        indices = _per_row(options["index"], n, "index")
        return [task.episode(_index(indices[row])) for row in rows]
    if "prompt" not in options:
        raise ValueError("the reset option 'references' needs a 'prompt'")
    prompts = _per_row(options["prompt"], n, "prompt")
    references = options.get("references", ())
    _check_texts(references)
    nested = len(references) > 0 and not isinstance(references[0], str)
    per_row = _per_row(list(references), n, "references") if nested else [references] * n
    return [_from_prompt(task, prompts[row], per_row[row]) for row in rows]


def _per_row(value: Any, n: int, name: str) -> Sequence[Any]:
    if isinstance(value, str) or not hasattr(value, "__len__"):
        return [value] * n
    if len(value) != n:
        raise ValueError(
            f"the reset option {name!r} has {len(value)} items; give one value, or one for each of the {n} rows"
        )
    return value


def _check_texts(references: Any) -> None:
    """Raise where ``references`` is no list of texts, and no list of such lists, one a row."""

    def is_list(value: Any, of: Callable[[Any], bool]) -> bool:
        return isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str) and all(map(of, value))

    def is_text(value: Any) -> bool:
        return isinstance(value, str)

    if not is_list(references, is_text) and not is_list(references, lambda each: is_list(each, is_text)):
        raise TypeError(
            f"the reset option 'references' is a list of texts (in a batch, or one a row), got {references!r}"
        )


def _index(value: Any) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise ValueError(f"the reset option 'index' is a whole number, got {value!r}")
    return int(value)


def _from_prompt(task: Task, prompt: Any, references: Sequence[str]) -> Episode:
    if not isinstance(prompt, str):
        raise ValueError(f"the reset option 'prompt' is a text, got {prompt!r}")
    count = task.vocabulary.count(prompt)
    if count > task.prompt_length:
        raise ValueError(
            f"the prompt has {count} tokens, the environment takes at most {task.prompt_length}: {prompt!r}"
        )
    return task.from_prompt(prompt, references)
