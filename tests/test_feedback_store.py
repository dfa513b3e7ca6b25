"""The store of judgements: nothing accepted is lost, nothing is stored twice, nothing is changed."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.feedback import Comparison, Marks, Rating, Span, Store, Text, next_item
from agents.feedback.judgements import Judgement
from agents.feedback.store import Conflict, Refused

ROOT = Path(__file__).parent.parent
# prompts "p" and "q", four texts each: ids 1 .. 4 and 5 .. 8
TEXTS = [Text("Copy-v0", prompt, f"text {i} of {prompt}", "best.pt", i, i / 4) for prompt in "pq" for i in range(4)]


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "feedback.db") as made:
        made.add_texts(TEXTS)
        yield made


def test_texts_are_added_once_and_read_as_they_were(store):
    again = [*TEXTS, Text("Copy-v0", "p", "text 0 of p", "best.pt", seed=9)]
    assert store.add_texts(again) == [1, 2, 3, 4, 5, 6, 7, 8, 9], "another seed is another text"
    assert [(t.task, t.prompt, t.text, t.policy, t.seed, t.score) for t in store.texts([8, 1])] == [
        ("Copy-v0", "q", "text 3 of q", "best.pt", 3, 0.75),
        ("Copy-v0", "p", "text 0 of p", "best.pt", 0, 0.0),
    ]
    odd = Text("", "\0", "a\0b \u202e \U0001f600\r\n", "", None, None)
    assert store.texts(store.add_texts([odd]))[0].text == odd.text


def test_what_is_submitted_twice_is_stored_once(store):
    first = store.submit(Comparison(2, 1, "a", "b"), "ann", "s1", page="v1", seconds=2.5, time="2026-01-01T00:00:00Z")
    again = store.submit(Comparison(1, 2, "b", "a"), "ann", "s1")
    assert first.stored and not again.stored and first.id == again.id
    (kept,) = store.judgements()
    assert kept == Judgement(Comparison(1, 2, "b", "a"), "ann", "s1", "v1", 2.5, "2026-01-01T00:00:00Z", 1)
    for answer, annotator in (
        (Comparison(1, 2, "a"), "ann"),
        (Comparison(1, 2, "b", "a"), "bob"),
        (Rating(1, 3), "ann"),
    ):
        with pytest.raises(Conflict, match="'s1' was used"):
            store.submit(answer, annotator, "s1")
    with pytest.raises(Conflict):
        store.undo("ann", "s1")


def test_a_later_answer_withdraws_the_earlier_one_and_both_are_kept(store):
    store.submit(Comparison(1, 2, "a"), "ann", "s1")
    store.submit(Comparison(2, 1, "tie"), "ann", "s2")
    store.submit(Comparison(1, 2, "both_bad"), "bob", "s3")
    assert [(j.annotator, j.answer.choice) for j in store.judgements()] == [("ann", "tie"), ("bob", "both_bad")]
    rows = store.query("SELECT submission, choice, withdraws FROM judgements ORDER BY id")
    assert rows == [("s1", "a", None), ("s2", "tie", 1), ("s3", "both_bad", None)]


def test_undo_withdraws_the_latest_of_ones_own_once_a_submission(store):
    store.submit(Rating(1, 5), "ann", "s1")
    store.submit(Marks(2, (Span(0, 4, "good"),)), "ann", "s2")
    store.submit(Rating(1, 1), "bob", "s3")
    assert [store.undo("ann", "u1").submission for _ in range(2)] == ["s2", "s2"], "sent twice"
    assert store.undo("ann", "u2").submission == "s1"
    assert store.undo("ann", "u3") is None and store.undo("nobody", "u4") is None
    with pytest.raises(Conflict):
        store.undo("bob", "u1")
    assert [j.submission for j in store.judgements()] == ["s3"]
    assert not store.submit(Rating(1, 5), "ann", "s1").stored, (
        "what was withdrawn does not come back by being sent again"
    )
    assert [j.submission for j in store.judgements()] == ["s3"]


@pytest.mark.parametrize(
    "answer, words",
    [
        (Rating(9, 1), "no text 9"),
        (Comparison(1, 99, "a"), "no text 99"),
        (Comparison(1, 5, "a"), "different prompts"),
        (Marks(1, (Span(3, 12, "bad"),)), "ends at character 12 of text 1, which has 11"),
    ],
)
def test_forged_items_are_refused_and_nothing_of_a_batch_is_stored(store, answer, words):
    with pytest.raises(Refused, match=words):
        store.submit_all([Judgement(Rating(1, 4), "ann", "good one"), Judgement(answer, "ann", "bad one")])
    assert store.query("SELECT count(*) FROM judgements") == [(0,)]
    assert store.query("SELECT count(*) FROM annotators") == [(0,)]


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Rating(1, 6), "rating must be a whole number, from 1 to 5"),
        (lambda: Rating(1, True), "rating must be"),
        (lambda: Rating("1", 3), "the id of a text must be a whole number"),
        (lambda: Rating(2**63, 3), "the id of a text"),
        (lambda: Comparison(1, 1, "a"), "text 1 twice"),
        (lambda: Comparison(1, 2, "both bad"), "Did you mean 'both_bad'"),
        (lambda: Span(4, 4, "good"), "end must be"),
        (lambda: Span(0, 4, "fine"), "unknown label 'fine'"),
        (lambda: Marks(1, (Span(3, 5, "good"), Span(0, 4, "bad"))), "overlap"),
        (lambda: Text("t", "p", "\ud800"), "half of a surrogate pair at character 0"),
        (lambda: Text("t", "p", "x", score=float("nan")), "score must be a finite number"),
        (lambda: Judgement(Rating(1, 1), " ", "s"), "annotator must not be empty"),
        (lambda: Judgement(Rating(1, 1), "ann", "s" * 81), "at most 80 characters"),
        (lambda: Judgement(Rating(1, 1), "ann", "s", seconds=-1), "seconds must be at least 0"),
    ],
)
def test_what_is_no_answer_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("table", ["prompts", "texts", "annotators", "judgements", "spans"])
def test_nothing_can_be_changed_or_deleted(store, table):
    store.submit(Marks(1, (Span(0, 1, "good"),)), "ann", "s1")
    column = {"prompts": "task", "texts": "text", "annotators": "name", "judgements": "time", "spans": "label"}[table]
    for change in (f"UPDATE {table} SET {column} = 'good'", f"DELETE FROM {table}"):
        with (
            contextlib.closing(sqlite3.connect(store.path)) as other,
            pytest.raises(sqlite3.IntegrityError, match="append"),
        ):
            other.execute(change)


# -- against a model of the store, that is a dictionary -----------------------------------------------

ids = st.integers(1, 8)
spans = st.sampled_from([(), (Span(0, 2, "good"),), (Span(0, 2, "bad"), Span(4, 11, "good"))])
answers = st.one_of(
    st.builds(Rating, ids, st.integers(1, 5)),
    st.builds(Marks, ids, spans),
    st.tuples(ids, ids)
    .filter(lambda p: p[0] != p[1] and (p[0] < 5) == (p[1] < 5))
    .flatmap(
        lambda p: st.builds(Comparison, st.just(p[0]), st.just(p[1]), st.sampled_from(["a", "b", "tie", "both_bad"]))
    ),
)
acts = st.lists(
    st.tuples(st.sampled_from(["ann", "bob"]), st.one_of(answers, st.none()), st.integers(0, 30)), max_size=40
)


@settings(max_examples=60, deadline=None)
@given(acts)
def test_any_order_of_answers_corrections_and_undoing_leaves_what_a_dictionary_would(tmp_path_factory, acts):
    store = Store(tmp_path_factory.mktemp("acts") / "f.db")
    store.add_texts(TEXTS)
    used, standing = {}, {}  # submission -> what it was used for; (annotator, kind, texts) -> answer, in order
    for annotator, answer, number in acts:
        submission, act = f"s{number}", (annotator, getattr(answer, "ordered", answer))
        if submission in used and used[submission] != act:
            with pytest.raises(Conflict):
                store.submit(answer, annotator, submission) if answer else store.undo(annotator, submission)
        elif answer is None:
            withdrawn = store.undo(annotator, submission)
            own = [item for item in standing if item[0] == annotator]
            if submission not in used and own:
                assert withdrawn.answer == standing.pop(own[-1])
            if withdrawn is not None:
                used[submission] = act
        else:
            assert store.submit(answer, annotator, submission).stored == (submission not in used)
            if submission not in used:
                item = (annotator, answer.kind, frozenset(answer.texts))
                standing.pop(item, None)
                standing[item] = act[1]
            used[submission] = act
    assert [(j.annotator, j.answer) for j in store.judgements()] == [(item[0], a) for item, a in standing.items()]
    counts = Counter((answer.kind, text) for answer in standing.values() for text in answer.texts)
    tallies = store.query("SELECT kind, text_id, judgements FROM tallies")
    assert len(tallies) == 24 and {(kind, text): n for kind, text, n in tallies if n} == counts
    own = store.query("SELECT name, kind, judgements FROM counts JOIN annotators ON id = annotator_id")
    assert {(name, kind): n for name, kind, n in own if n} == Counter(item[:2] for item in standing)
    store.close()


# -- the file -----------------------------------------------------------------------------------------


def test_a_store_of_a_newer_schema_is_refused_by_name(store):
    store.close()
    with contextlib.closing(sqlite3.connect(store.path)) as other:
        other.execute("PRAGMA user_version = 7")
    with pytest.raises(ValueError, match=r"feedback\.db' has schema version 7; this program knows versions up to 1"):
        Store(store.path)


def test_files_of_something_else_are_refused_and_left_as_they_are(tmp_path):
    text, other = tmp_path / "notes.txt", tmp_path / "other.db"
    text.write_text("these are my notes, and no database, but long enough to be one" * 20)
    with contextlib.closing(sqlite3.connect(other)) as made:
        made.execute("CREATE TABLE mine (x)")
    for path, words in ((text, "is no feedback store"), (other, "SQLite file of something else")):
        before = path.read_bytes()
        with pytest.raises(ValueError, match=words):
            Store(path)
        assert path.read_bytes() == before
    with pytest.raises(FileNotFoundError, match="no folder"):
        Store(tmp_path / "no" / "f.db")
    with pytest.raises(FileNotFoundError, match="no feedback store"):
        Store(tmp_path / "f.db", create=False)
    assert not (tmp_path / "f.db").exists()


def start(code, *argv):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, argv)], cwd=ROOT, stdout=subprocess.PIPE, text=True, bufsize=1
    )


def test_a_writer_killed_in_mid_write_has_every_accepted_judgement_and_no_half_batch(store):
    code = """
import sys
from agents.feedback import Judgement, Marks, Span, Store
store = Store(sys.argv[1])
number = 0
while True:
    marks = [Marks(1 + i % 8, (Span(0, 2, "good"), Span(3, 5, "bad"))) for i in range(40)]
    store.submit_all([Judgement(each, f"a{number}.{i}", f"{number}-{i}") for i, each in enumerate(marks)])
    number += 1
    print(number, flush=True)
"""
    writer = start(code, store.path)
    for _ in range(5):
        accepted = int(writer.stdout.readline())
    os.kill(writer.pid, signal.SIGKILL)
    accepted = max([accepted, *map(int, writer.stdout.read().split())])
    writer.wait()
    judgements = Store(store.path).judgements()
    batches = len(judgements) // 40
    assert len(judgements) == 40 * batches and batches in (accepted, accepted + 1)
    assert all(len(j.answer.spans) == 2 for j in judgements)
    assert store.query("PRAGMA integrity_check") == [("ok",)] and store.query("PRAGMA foreign_key_check") == []


def test_a_store_cut_off_in_mid_write_opens_with_every_accepted_judgement(tmp_path):
    """As a power failure leaves it: the write-ahead log ends anywhere, with a byte torn or not."""
    store, rng = Store(tmp_path / "f.db"), np.random.default_rng(0)
    store.add_texts(TEXTS)
    log, ends = tmp_path / "f.db-wal", []  # bytes of the log behind each accepted judgement
    for i in range(8):
        store.submit(Marks(1 + i, (Span(0, 2, "good"), Span(3, 5, "bad"))), "ann", f"s{i}")
        ends.append(log.stat().st_size)
    written, base = log.read_bytes(), store.path.read_bytes()
    assert len(written) == ends[-1] and ends == sorted(set(ends))
    cuts = {ends[0], *ends, *(end - 1 for end in ends[1:]), *rng.integers(ends[0], ends[-1], 40).tolist()}
    for n, cut in enumerate(sorted(cuts)):
        torn = bytearray(written[:cut])
        if cut not in ends and n % 2:
            torn[-1] ^= 0xFF
        copy = tmp_path / f"{n}.db"
        copy.write_bytes(base)
        copy.with_name(f"{n}.db-wal").write_bytes(torn)
        with Store(copy) as opened:
            accepted = sum(end <= cut for end in ends)
            assert [j.submission for j in opened.judgements()] == [f"s{i}" for i in range(accepted)]
            assert all(len(j.answer.spans) == 2 for j in opened.judgements())
            assert opened.query("PRAGMA integrity_check") == [("ok",)]
            assert opened.submit(Rating(1, 3), "ann", "and goes on").stored
    store.close()


def test_several_processes_write_at_once_and_open_a_new_file_at_once(tmp_path):
    code = """
import sys
from agents.feedback import Rating, Store, Text
store = Store(sys.argv[1])
store.add_texts([Text("t", "p", str(i)) for i in range(10)])
for i in range(60):
    store.submit(Rating(1 + i % 10, 1 + i % 5), f"{sys.argv[2]} {i // 10}", f"own {sys.argv[2]} {i}")
    store.submit(Rating(1 + i % 10, 1 + i % 5), f"all {i // 10}", f"shared {i}")
"""
    writers = [start(code, tmp_path / "f.db", name) for name in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    submissions = Counter(j.submission.split()[0] for j in Store(tmp_path / "f.db").judgements())
    assert submissions == {"own": 180, "shared": 60}


# -- what is shown next -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind, count", [("rating", 8), ("marks", 8), ("comparison", 12)])
def test_everything_is_asked_once_and_what_has_the_fewest_judgements_first(store, kind, count):
    rng = np.random.default_rng(0)
    asked, often = set(), Counter()
    while (item := next_item(store, "ann", kind, rng=rng)) is not None:
        key = tuple(sorted(text.id for text in item.texts))
        assert key not in asked and len({text.prompt for text in item.texts}) == 1
        fewest = min(often[id] for id in range(1, 9)) if kind != "comparison" else None
        assert fewest is None or often[key[0]] == fewest
        asked.add(key)
        often.update(key)
        answer = (
            Comparison(*key, "a") if kind == "comparison" else Rating(*key, 3) if kind == "rating" else Marks(*key, ())
        )
        store.submit(answer, "ann", f"s{len(asked)}")
    assert len(asked) == count and next_item(store, "bob", kind) is not None


def test_the_next_item_of_a_large_store_costs_no_more_than_of_a_small_one(tmp_path):
    """In steps of SQLite's virtual machine, which no other load changes: what the benchmark says in milliseconds."""
    steps = {}
    for size in (200, 1600):
        store = Store(tmp_path / f"{size}.db")
        store.add_texts(Text("t", f"p{i // 4}", f"text {i}") for i in range(size))
        answers = ((Rating(i, 3), Marks(i, ()), Comparison(i, i + 1 if i % 4 else i - 3, "a")) for i in range(1, size))
        judged = (answer for each in answers for answer in each)
        store.submit_all(Judgement(answer, f"a{n // 3 % 2}", f"s{n}") for n, answer in enumerate(judged))
        with store._connection() as connection:
            counted = []
            connection.set_progress_handler(lambda counted=counted: counted.append(1), 20)
        for kind in ("rating", "marks", "comparison"):
            counted.clear()
            for annotator in ("a0", "a1", "new"):
                assert next_item(store, annotator, kind, rng=np.random.default_rng(0)) is not None
            steps[kind, size] = len(counted)
        store.close()
    for kind in ("rating", "marks", "comparison"):
        assert 0 < steps[kind, 1600] < 1.5 * steps[kind, 200]


def test_both_orders_are_shown_and_the_same_text_twice_never(store):
    rng = np.random.default_rng(0)
    items = [next_item(store, "ann", "comparison", rng=rng) for _ in range(200)]
    first_is_lower = np.mean([item.texts[0].id < item.texts[1].id for item in items])
    assert 0.4 < first_is_lower < 0.6
    other = Store(store.path.with_name("same.db"))
    other.add_texts([Text("t", "p", "the same", seed=seed) for seed in range(5)] + [Text("t", "q", "alone")])
    assert next_item(other, "ann", "comparison") is None
    assert next_item(other, "ann", "rating") is not None
    other.close()


def test_where_an_ensemble_disagrees_most_is_asked_first(store):
    def disagreement(items):
        return np.array([sum(text.seed for text in item.texts) + 2 * (item.texts[0].prompt == "q") for item in items])

    assert {t.id for t in next_item(store, "ann", "comparison", disagreement).texts} == {5, 8}
    assert [t.id for t in next_item(store, "ann", "rating", disagreement).texts] == [8]
    assert [t.id for t in next_item(store, "ann", "rating", disagreement, skip=[(8,)]).texts] == [7]
    for wrong in (lambda items: np.zeros(1), lambda items: np.full(len(items), np.nan)):
        with pytest.raises(ValueError, match="one finite number for each of 8 items"):
            next_item(store, "ann", "rating", wrong)
    with pytest.raises(ValueError, match="Did you mean 'rating'"):
        next_item(store, "ann", "ratings")


def test_an_empty_store_has_no_item(tmp_path):
    with Store(tmp_path / "f.db") as empty:
        assert [next_item(empty, "ann", kind) for kind in ("comparison", "rating", "marks")] == [None] * 3
