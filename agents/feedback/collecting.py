"""A round's judgements: how many there are, and waiting for people who give them on the page."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from pathlib import Path

from agents.feedback.store import Store

POLL = 2.0  # seconds between looks at whether people have judged enough
JUDGED = """
    SELECT count(*) FROM standing s JOIN texts t ON t.id = s.low JOIN prompts p ON p.id = t.prompt_id
    WHERE s.kind = 'comparison' AND p.task = ?
"""
# pairs of different texts for one prompt that nobody has compared
LEFT = """
    SELECT a.id, b.id FROM prompts p JOIN texts a ON a.prompt_id = p.id JOIN texts b ON b.prompt_id = p.id
    WHERE p.task = ? AND a.id < b.id AND a.text <> b.text
    EXCEPT SELECT low, high FROM standing WHERE kind = 'comparison' LIMIT 1
"""


def judged(store: Store, task: str) -> int:
    """How many comparisons of texts of a task stand: those that a reward model learns from."""
    return store.query(JUDGED, (task,))[0][0]


def wait_for_people(store: Store, task: str, wanted: int, look: Callable[[], int]) -> int:
    """Wait until ``wanted`` comparisons stand, or every pair was compared by somebody: how many stand.

    ``look`` says how many of the task there are.
    """
    while True:
        left = bool(store.query(LEFT, (task,)))  # first: what is judged meanwhile is then counted
        there = look()
        if there >= wanted or not left:
            return there
        time.sleep(POLL)


def invitation(store: Path, reward_model: Path | None) -> str:
    """How people come to judge the texts of a round.

    Args:
        store: the file.
        reward_model: of the round before; None: there is none, or its members cannot disagree.
    """
    serve = f"python -m agents.feedback serve --store {shlex.quote(str(store))}"
    if reward_model is None:
        return f"compare texts on the page (where it runs already, it has the new ones): {serve}"
    return (
        "compare texts on the page; where it runs already, it has the new ones. To be asked first what the reward "
        f"model is unsure about, end it (Ctrl-C) and run: {serve} --reward-model {shlex.quote(str(reward_model))}"
    )
