"""Which item an annotator is shown next."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from agents.feedback.judgements import KINDS, Text
from agents.feedback.store import Store
from textgym.errors import one_of

POOL = 64  # items looked at for one that is shown

# texts of fewest judgements first; those that the annotator has judged are left out
TEXTS = """
    SELECT t.judgements, t.text_id, t.text_id FROM tallies t
    WHERE t.kind = :kind AND NOT EXISTS (
        SELECT 1 FROM standing s
        WHERE s.annotator_id = :annotator AND s.kind = :kind AND s.low = t.text_id AND s.high = t.text_id
    )
    ORDER BY t.judgements, t.text_id LIMIT :pool
"""
# each with the text of fewest judgements for the same prompt that it can be compared with
PAIRS = """
    SELECT * FROM (
        SELECT t.judgements, t.text_id AS a, (
            SELECT o.text_id FROM tallies o
            WHERE o.prompt_id = t.prompt_id AND o.kind = 'comparison' AND o.text_id <> t.text_id
                AND (SELECT text FROM texts WHERE id = o.text_id) <> (SELECT text FROM texts WHERE id = t.text_id)
                AND NOT EXISTS (
                    SELECT 1 FROM standing s
                    WHERE s.annotator_id = :annotator AND s.kind = 'comparison'
                        AND s.low = min(o.text_id, t.text_id) AND s.high = max(o.text_id, t.text_id)
                )
            ORDER BY o.judgements, o.text_id LIMIT 1
        ) AS b
        FROM tallies t WHERE t.kind = 'comparison' ORDER BY t.judgements, t.text_id
    ) WHERE b IS NOT NULL LIMIT :pool
"""


@dataclass(frozen=True)
class Item:
    """What is put before an annotator.

    Attributes:
        kind: comparison, rating or marks.
        texts: the text, or the two to compare, in the order in which they are shown.
    """

    kind: str
    texts: tuple[Text, ...]


Disagreement = Callable[[Sequence[Item]], np.ndarray]
"""How much the members of an ensemble disagree about each of n items: float (n,), larger is more."""


def next_item(
    store: Store,
    annotator: str,
    kind: str,
    disagreement: Disagreement | None = None,
    rng: np.random.Generator | None = None,
    skip: Collection[tuple[int, ...]] = (),
) -> Item | None:
    """An item that the annotator has not judged; None where there is none left.

    The ``POOL`` items with the fewest judgements are looked at. Of these the one with the largest ``disagreement`` is
    taken; without one, any of those that have the fewest, so that two annotators seldom get the same. Which of two
    texts is shown first is drawn.

    Args:
        store: where the texts are.
        annotator: who is asked; nobody is asked the same twice.
        kind: comparison (two different texts for one prompt), rating or marks.
        disagreement: see :data:`Disagreement`.
        rng: for the draws; None: one that the system seeds.
        skip: sorted ids of items to leave out, as long as there are others in the pool.

    Raises:
        ValueError: an unknown kind, or a ``disagreement`` that is not one finite number an item.
    """
    one_of("kind of judgement", kind, KINDS)
    rng = np.random.default_rng() if rng is None else rng
    known = store.query("SELECT id FROM annotators WHERE name = ?", (annotator,))
    parameters = {"annotator": known[0][0] if known else 0, "kind": kind, "pool": POOL}
    rows = store.query(PAIRS if kind == "comparison" else TEXTS, parameters)
    if not rows:
        return None
    rows = [row for row in rows if tuple(sorted(set(row[1:]))) not in skip] or rows
    if disagreement is None:
        fewest = [row for row in rows if row[0] == rows[0][0]]
        return _item(store, kind, fewest[rng.integers(len(fewest))], rng)
    items = [_item(store, kind, row, rng) for row in rows]
    values = np.asarray(disagreement(items), dtype=float)
    if values.shape != (len(items),) or not np.isfinite(values).all():
        raise ValueError(f"disagreement must be one finite number for each of {len(items)} items, got {values!r}")
    return items[int(values.argmax())]


def _item(store: Store, kind: str, row: tuple[int, int, int], rng: np.random.Generator) -> Item:
    ids = list(row[1:]) if kind == "comparison" else [row[1]]
    if len(ids) == 2 and rng.random() < 0.5:
        ids.reverse()
    return Item(kind, tuple(store.texts(ids)))
