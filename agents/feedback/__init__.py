"""People's judgements of texts: where they are kept, and the page on which they are given.

::

    store = Store("feedback.db")                                    # one SQLite file, several writers at once
    store.add_texts([Text("Copy-v0", "abc", "abd", policy="best.pt", seed=0)])      # -> their ids; twice is once
    next_item(store, "ann", "comparison", disagreement=None)        # -> Item(kind, texts) or None
    store.submit(Comparison(1, 2, "a"), annotator="ann", submission="made by the client")     # twice is once
    store.undo("ann", submission="another one")                     # a row, too: nothing is ever changed or deleted
    store.judgements("comparison")                                  # those that stand
    export_store(store, folder), import_file(store, path)           # JSONL: prompt, chosen, rejected

    python -m agents.feedback serve | stats | export | import | sample | simulate | loop   --store feedback.db
"""

from agents.feedback.choosing import Item, next_item
from agents.feedback.exchange import export_store, import_file
from agents.feedback.judgements import Comparison, Judgement, Marks, Rating, Span, Text
from agents.feedback.store import Store

__all__ = [
    "Comparison", "Item", "Judgement", "Marks", "Rating", "Span", "Store", "Text",
    "export_store", "import_file", "next_item",
]  # fmt: skip
