"""How long an annotator waits for the next item, in a store of 100,000 judgements.

    python -m experiments.benchmarks.feedback [--smoke] [--folder DIR]

A store on disk, 20,000 texts for 5,000 prompts (and, in a second one, for a single prompt), judged by 20 annotators,
a pair or text judged again withdrawing what was said of it before.
Times are of calls in this process, on a file that the system has in its cache: the median of all calls, and the 99th
percentile. The next item is that of an annotator who has judged a twentieth of it all, of one who is new, and with an
ensemble's disagreement, whose own time is not in it; the page asks for the item and for the progress. Over HTTP it is
asked for as the page does, on one connection, of a server in a thread of this process.
"""

from __future__ import annotations

import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from itertools import count
from pathlib import Path

import numpy as np
import uvicorn
from tqdm import tqdm

from agents.feedback import Comparison, Judgement, Marks, Rating, Span, Store, Text, next_item
from agents.feedback.server import listen, make_app, progress
from experiments.benchmarks.flags import flags
from experiments.measurements import Table, measuring

ANNOTATORS = 20
KINDS = ("comparison", "rating", "marks")


def judgements(judged: int, texts: int, group: int) -> Iterator[Judgement]:
    """As many as asked for: half comparisons, the rest ratings and marks, by annotators in turns."""
    rng = np.random.default_rng(0)
    for n in range(judged):
        a = int(rng.integers(texts))
        b = a - a % group + (a % group + 1 + int(rng.integers(group - 1))) % group
        answers = (Comparison(a + 1, b + 1, "a", "a"), Rating(a + 1, 3), Comparison(a + 1, b + 1, "b", "a"))
        answer = (*answers, Marks(a + 1, (Span(0, 4, "good"),)))[n % 4]
        yield Judgement(answer, f"annotator {n // 4 % ANNOTATORS}", f"submission {n}")


def milliseconds(function: Callable[[], object], calls: int) -> list[float]:
    """Median and 99th percentile."""
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        function()
        times.append(1000 * (time.perf_counter() - start))
    return np.percentile(times, [50, 99]).tolist()


@contextmanager
def over_http(store: Store) -> Iterator[Callable[[], object]]:
    """A call that asks a server for the next comparison."""
    rng = np.random.default_rng(0)
    with closing(listen("127.0.0.1", 0)) as listening:
        app = make_app(store, lambda items: rng.random(len(items)))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        connection = HTTPConnection(*listening.getsockname())

        def ask() -> bytes:
            connection.request("GET", "/api/next?annotator=new&kind=comparison")
            answer = connection.getresponse()
            if answer.status != 200:
                raise RuntimeError(f"the server says {answer.status}")
            return answer.read()

        try:
            yield ask
        finally:
            connection.close()
            server.should_exit = True
            thread.join()


def waits(folder: Path, texts: int, group: int, judged: int, calls: int) -> list[list]:
    """The rows of the table for texts in groups of one prompt."""
    store = Store(folder / f"{group}.db")
    store.add_texts(
        Text("Copy-v0", f"prompt {n // group}", f"text {n} " + "word " * 40, "best.pt", n) for n in range(texts)
    )
    store.submit_all(judgements(judged, texts, group))
    rng, numbers = np.random.default_rng(0), count()
    jobs: list[tuple[str, Callable[[], object]]] = []
    for kind in KINDS:
        for who in ("annotator 3", "new"):
            jobs.append(
                (
                    f"next {kind}, {'one of 20' if who != 'new' else 'a new annotator'}",
                    lambda k=kind, w=who: next_item(store, w, k),
                )
            )
    jobs.append(
        (
            "next comparison, by disagreement",
            lambda: next_item(store, "new", "comparison", lambda items: rng.random(len(items))),
        )
    )
    jobs.append(("progress", lambda: progress(store, "annotator 3", "comparison")))
    jobs.append(
        ("submit", lambda: store.submit(Rating(1 + next(numbers) % texts, 3), "annotator 3", f"timed {next(numbers)}"))
    )
    jobs.append(("undo", lambda: store.undo("annotator 3", f"undo {next(numbers)}")))
    rows = [[group, name, milliseconds(job, calls)] for name, job in jobs]
    with over_http(store) as ask:
        rows.append([group, "next comparison, by disagreement, over HTTP", milliseconds(ask, calls)])
    store.close()
    return rows


def main() -> None:
    args = flags("experiments.benchmarks.feedback", __doc__).parse_args()
    texts, judged, calls = (200, 1_000, 3) if args.smoke else (20_000, 100_000, 300)
    with (
        measuring("feedback", __doc__, args, ("numpy",), sqlite=sqlite3.sqlite_version) as tables,
        tempfile.TemporaryDirectory() as folder,
    ):
        columns = [("texts a prompt", "{:,}"), ("what", "{}"), ("ms", "{:.2f} ({:.2f})")]
        caption = f"{texts:,} texts, {judged:,} judgements; milliseconds: median (99th percentile)"
        rows = [waits(Path(folder), texts, group, judged, calls) for group in tqdm((4, texts), desc="stores")]
        tables.append(Table(caption, columns, sum(rows, [])))


if __name__ == "__main__":
    main()
