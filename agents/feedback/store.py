"""The store of judgements: one SQLite file that several processes write at once, and in which nothing is ever changed.

A judgement that was accepted is on disk: killing the process or pulling the plug does not lose it. What is undone or
given anew stays as a row; the later row says which one it withdraws. ``schema.sql`` has the tables.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.feedback.judgements import Comparison, Judgement, Marks, Rating, Span, Text, now, storable
from textgym.errors import one_of

VERSION = 1
APPLICATION = 0x74676662  # "tgfb": tells a store from another program's SQLite file
PATIENCE = 30.0  # seconds that a writer waits for the others
SCHEMA = Path(__file__).with_name("schema.sql")
ANSWERS = """
    SELECT j.id, j.submission, j.kind, j.a, j.b, j.choice, j.rating, j.first, j.seconds, j.time, j.page, n.name
    FROM judgements j JOIN annotators n ON n.id = j.annotator_id
"""


class Refused(ValueError):
    """A judgement that cannot be stored: of a text that is not there, or of two that do not belong together."""


class Conflict(Refused):
    """A submission whose id was used for another judgement."""


@dataclass(frozen=True)
class Receipt:
    """What became of a submission.

    Attributes:
        id: of the judgement.
        stored: False: it had been stored before.
    """

    id: int
    stored: bool


class Store:
    """Texts and what people say about them, in one file. Any number of threads and processes may use it at once.

    Args:
        path: the file; beside it SQLite keeps ``-wal`` and ``-shm``. It belongs on a local disk.
        create: make the file where there is none.

    Raises:
        FileNotFoundError: no such file (``create=False``), or no such folder.
        ValueError: a file of something else, or of a newer schema than this program knows.
        OSError: it cannot be opened or written.
    """

    def __init__(self, path: str | Path, create: bool = True):
        self.path = Path(path)
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {str(self.path.parent)!r} for the store {self.path.name!r}")
        if not create and not self.path.is_file():
            raise FileNotFoundError(f"there is no feedback store {str(self.path)!r}")
        self._idle: list[sqlite3.Connection] = []
        try:
            with self._connection() as connection:
                self._recognise(connection)
                _patiently(lambda: connection.execute("PRAGMA journal_mode = WAL"))
            with self._writing() as connection:
                if not self._recognise(connection):
                    _make_tables(connection)
        except sqlite3.OperationalError as error:
            raise OSError(f"the feedback store {str(self.path)!r} cannot be opened: {error}") from error
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{str(self.path)!r} is no feedback store: {error}") from error

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; it opens again by itself when the store is used again."""
        while self._idle:
            self._idle.pop().close()

    # -- texts --------------------------------------------------------------------------------------

    def add_texts(self, texts: Iterable[Text]) -> list[int]:
        """The ids of the texts, added all or none; those that are there already (by their digest) are not added again.

        Raises:
            OSError: other writers did not let it.
        """
        with self._writing() as connection:
            return [_text_id(connection, text) for text in texts]

    def texts(self, ids: Iterable[int] | None = None) -> list[Text]:
        """Those with the given ids, in that order; all of them, by their id, for None.

        Raises:
            Refused: an id that no text has.
        """
        query = """SELECT p.task, p.prompt, t.text, t.policy, t.seed, t.score, t.id
                   FROM texts t JOIN prompts p ON p.id = t.prompt_id"""
        if ids is None:
            return [Text(*row) for row in self.query(f"{query} ORDER BY t.id")]
        found = []
        for id in ids:
            rows = self.query(f"{query} WHERE t.id = ?", (id,))
            if not rows:
                raise _no_text(id)
            found.append(Text(*rows[0]))
        return found

    # -- judgements ---------------------------------------------------------------------------------

    def submit(self, answer: Comparison | Rating | Marks, annotator: str, submission: str, **more: Any) -> Receipt:
        """Keep an answer. See :meth:`submit_all`; ``more`` are page, seconds and time of :class:`Judgement`."""
        return self.submit_all([Judgement(answer, annotator, submission, **more)])[0]

    def submit_all(self, judgements: Iterable[Judgement]) -> list[Receipt]:
        """Keep judgements, all or none. When this returns, they are on disk.

        A submission that was stored before is not stored again. A second answer of the same annotator to the same
        question (the same text, or the same two in either order) withdraws the first. Comparisons are kept with a < b.

        Raises:
            Conflict: the submission's id was used for something else.
            Refused: there is no such text, the two texts have different prompts, or a span is not inside its text.
            OSError: other writers did not let it.
        """
        with self._writing() as connection:
            return [_keep(connection, judgement) for judgement in judgements]

    def add_judged(self, texts: Iterable[Text], judge: Callable[[list[int]], list[Judgement]]) -> list[Receipt]:
        """Add texts, and what ``judge`` makes of their ids: texts and judgements, all or none.

        Raises:
            Conflict, Refused, OSError: see :meth:`submit_all`.
        """
        with self._writing() as connection:
            judgements = judge([_text_id(connection, text) for text in texts])
            return [_keep(connection, judgement) for judgement in judgements]

    def undo(self, annotator: str, submission: str, page: str = "") -> Judgement | None:
        """Withdraw the latest judgement of an annotator that stands, by a row that says so.

        Returns:
            The judgement withdrawn; the same one again where the submission was stored before; None where the
            annotator has none.

        Raises:
            Conflict: the submission's id was used for something else.
            OSError: other writers did not let it.
        """
        for name, given in (("annotator", annotator), ("submission", submission), ("page", page)):
            storable(name, given, 80)
        with self._writing() as connection:
            known = connection.execute(
                "SELECT j.kind, n.name, j.withdraws FROM judgements j JOIN annotators n ON n.id = j.annotator_id"
                " WHERE submission = ?",
                (submission,),
            ).fetchone()
            if known and known[:2] != ("undo", annotator):
                raise _conflict(submission)
            if known:
                withdrawn = known[2]
            else:
                own = _annotator_id(connection, annotator)
                latest = "SELECT max(judgement_id) FROM standing WHERE annotator_id = ?"
                (withdrawn,) = connection.execute(latest, (own,)).fetchone()
                if withdrawn is None:
                    return None
                connection.execute(
                    "INSERT INTO judgements (submission, kind, annotator_id, time, page, withdraws)"
                    " VALUES (?, 'undo', ?, ?, ?, ?)",
                    (submission, own, now(), page, withdrawn),
                )
            return next(_judgements(connection, "WHERE j.id = ?", (withdrawn,)))

    def judgements(self, kind: str | None = None) -> list[Judgement]:
        """Those that stand, in the order in which they were stored; of one kind: comparison, rating or marks."""
        where = "WHERE j.id IN (SELECT judgement_id FROM standing{}) ORDER BY j.id"
        with self._connection() as connection:
            if kind is None:
                return list(_judgements(connection, where.format("")))
            one_of("kind of judgement", kind, ("comparison", "rating", "marks"))
            return list(_judgements(connection, where.format(" WHERE kind = ?"), (kind,)))

    def query(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> list[tuple]:
        """Rows read by an SQL query over the tables of ``schema.sql``."""
        with self._connection() as connection:
            return connection.execute(sql, parameters).fetchall()

    # -- the file -----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """One that nobody else uses meanwhile."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = sqlite3.connect(self.path, PATIENCE, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = FULL")  # a commit is on disk, and not only in the write-ahead log
        try:
            yield connection
        finally:
            self._idle.append(connection)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of the block is stored, or nothing. Waits for other writers before it begins."""
        with self._connection() as connection:
            _patiently(lambda: connection.execute("BEGIN IMMEDIATE"))
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _recognise(self, connection: sqlite3.Connection) -> bool:
        """Whether the file has this program's tables; False: it has none at all."""
        version, application = (
            connection.execute(f"PRAGMA {p}").fetchone()[0] for p in ("user_version", "application_id")
        )
        if application != APPLICATION:
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise ValueError(f"{str(self.path)!r} is an SQLite file of something else, no feedback store")
            return False
        if version > VERSION:
            raise ValueError(
                f"the feedback store {str(self.path)!r} has schema version {version}; this program knows versions "
                f"up to {VERSION}: use a newer one"
            )
        return True


def _patiently(attempt) -> None:
    """Try for ``PATIENCE`` seconds: SQLite's own waiting does not cover every lock.

    Raises:
        TimeoutError: another writer had the file all that time.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            attempt()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) and "busy" not in str(error):
                raise
            if time.monotonic() > deadline:
                raise TimeoutError(f"another writer has had the feedback store for {PATIENCE:.0f} seconds") from error
        time.sleep(0.01)


def _make_tables(connection: sqlite3.Connection) -> None:
    statement = ""
    for line in SCHEMA.read_text(encoding="utf-8").splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):  # not executescript, which would commit halfway
            connection.execute(statement)
            statement = ""
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _text_id(connection: sqlite3.Connection, text: Text) -> int:
    known = connection.execute("SELECT id FROM texts WHERE digest = ?", (text.digest,)).fetchone()
    if known:
        return known[0]
    key = (text.task, text.prompt)
    connection.execute("INSERT OR IGNORE INTO prompts (task, prompt) VALUES (?, ?)", key)
    (prompt,) = connection.execute("SELECT id FROM prompts WHERE task = ? AND prompt = ?", key).fetchone()
    row = (text.digest, prompt, text.text, text.policy, text.seed, text.score, now())
    insert = "INSERT INTO texts (digest, prompt_id, text, policy, seed, score, added) VALUES (?, ?, ?, ?, ?, ?, ?)"
    return connection.execute(insert, row).lastrowid


def _annotator_id(connection: sqlite3.Connection, name: str) -> int:
    connection.execute("INSERT OR IGNORE INTO annotators (name) VALUES (?)", (name,))
    return connection.execute("SELECT id FROM annotators WHERE name = ?", (name,)).fetchone()[0]


def _keep(connection: sqlite3.Connection, judgement: Judgement) -> Receipt:
    submission = judgement.submission
    answer = judgement.answer.ordered if isinstance(judgement.answer, Comparison) else judgement.answer
    known = connection.execute("SELECT id, kind FROM judgements WHERE submission = ?", (submission,)).fetchone()
    if known:
        kept = None if known[1] == "undo" else next(_judgements(connection, "WHERE j.id = ?", known[:1]))
        if kept is None or (kept.answer, kept.annotator) != (answer, judgement.annotator):
            raise _conflict(submission)
        return Receipt(known[0], stored=False)
    _check_texts(connection, answer)
    annotator = _annotator_id(connection, judgement.annotator)
    item = (annotator, answer.kind, answer.texts[0], answer.texts[-1])
    earlier = connection.execute(
        "SELECT judgement_id FROM standing WHERE (annotator_id, kind, low, high) = (?, ?, ?, ?)", item
    ).fetchone()
    columns = {
        "submission": submission,
        "kind": answer.kind,
        "annotator_id": annotator,
        "a": answer.texts[0],
        "b": answer.b if isinstance(answer, Comparison) else None,
        "choice": answer.choice if isinstance(answer, Comparison) else None,
        "first": answer.first if isinstance(answer, Comparison) else None,
        "rating": answer.rating if isinstance(answer, Rating) else None,
        "seconds": judgement.seconds,
        "time": judgement.time or now(),
        "page": judgement.page,
        "withdraws": earlier and earlier[0],
    }
    names = ", ".join(columns), ", ".join(f":{name}" for name in columns)
    id = connection.execute(f"INSERT INTO judgements ({names[0]}) VALUES ({names[1]})", columns).lastrowid
    spans = answer.spans if isinstance(answer, Marks) else ()
    rows = [(id, span.start, span.end, span.label) for span in spans]
    connection.executemany('INSERT INTO spans (judgement_id, start, "end", label) VALUES (?, ?, ?, ?)', rows)
    return Receipt(id, stored=True)


def _check_texts(connection: sqlite3.Connection, answer: Comparison | Rating | Marks) -> None:
    found = []
    for id in answer.texts:
        row = connection.execute("SELECT prompt_id, text FROM texts WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise _no_text(id)
        found.append(row)
    if len({prompt for prompt, _ in found}) > 1:
        raise Refused(f"texts {answer.texts[0]} and {answer.texts[1]} have different prompts: they cannot be compared")
    if isinstance(answer, Marks) and answer.spans and answer.spans[-1].end > len(found[0][1]):
        raise Refused(
            f"a span ends at character {answer.spans[-1].end} of text {answer.text}, which has {len(found[0][1])}"
        )


def _judgements(connection: sqlite3.Connection, where: str, parameters: Sequence[Any] = ()) -> Iterator[Judgement]:
    for row in connection.execute(f"{ANSWERS} {where}", parameters).fetchall():
        id, submission, kind, a, b, choice, rating, first, seconds, when, page, annotator = row
        if kind == "comparison":
            answer: Comparison | Rating | Marks = Comparison(a, b, choice, first)
        elif kind == "rating":
            answer = Rating(a, rating)
        else:
            spans = connection.execute('SELECT start, "end", label FROM spans WHERE judgement_id = ?', (id,))
            answer = Marks(a, tuple(Span(*span) for span in spans))
        yield Judgement(answer, annotator, submission, page, seconds, when, id)


def _no_text(id: int) -> Refused:
    return Refused(f"there is no text {id} in this store")


def _conflict(submission: str) -> Conflict:
    return Conflict(f"the submission {submission!r} was used for another judgement: every judgement needs its own")
