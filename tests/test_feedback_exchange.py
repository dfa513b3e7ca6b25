"""Judgements as JSON lines, there and back, and what a store's summary says of its annotators."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.feedback import Comparison, Marks, Rating, Span, Store, Text, export_store, import_file
from agents.feedback.__main__ import main
from agents.feedback.judgements import Judgement
from agents.feedback.summary import chance, show, summary

FILES = ("preferences.jsonl", "undecided.jsonl", "ratings.jsonl", "spans.jsonl")


def said(store):
    """All that the standing judgements say, whatever the ids are in this store."""
    texts = {text.id: text.digest for text in store.texts()}
    found = []
    for j in store.judgements():
        about = tuple(texts[id] for id in j.answer.texts)
        if isinstance(j.answer, Comparison):
            names = {"a": about[0], "b": about[1]}
            answer = frozenset(about), names.get(j.answer.choice, j.answer.choice), names.get(j.answer.first)
        else:
            answer = about, j.answer.rating if isinstance(j.answer, Rating) else j.answer.spans
        found.append((j.submission, j.annotator, j.page, j.seconds, j.time, answer))
    return sorted(found, key=lambda row: row[0])


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = words.filter(str.strip)
texts = st.builds(
    Text, words, st.sampled_from(["", "p"]), words, words, st.none() | st.integers(0, 3), st.none() | st.floats(0, 1)
)


@st.composite
def stores(draw):
    """Texts, and judgements of them by their place."""
    each = draw(st.lists(texts, min_size=1, max_size=8, unique_by=lambda text: text.digest))
    judgements = []
    for number in range(draw(st.integers(0, 12))):
        a, b = draw(st.integers(0, len(each) - 1)), draw(st.integers(0, len(each) - 1))
        if a != b and (each[a].task, each[a].prompt) == (each[b].task, each[b].prompt):
            choice, first = (
                draw(st.sampled_from(["a", "b", "tie", "both_bad"])),
                draw(st.sampled_from(["a", "b", None])),
            )
            answer = Comparison(a + 1, b + 1, choice, first)
        elif draw(st.booleans()):
            answer = Rating(a + 1, draw(st.integers(1, 5)))
        else:
            cuts = sorted(draw(st.sets(st.integers(0, len(each[a].text)), max_size=4)))
            pairs = zip(cuts, cuts[1:], strict=False)
            answer = Marks(a + 1, tuple(Span(*pair, draw(st.sampled_from(["good", "bad"]))) for pair in pairs))
        more = (draw(words), draw(st.none() | st.floats(0, 1e6)), draw(st.none() | names))
        judgements.append(Judgement(answer, draw(names), f"s{number}", *more))
    return each, judgements


@settings(max_examples=60, deadline=None)
@given(stores(), st.integers(0, 3))
def test_what_is_exported_comes_back_as_it_was(tmp_path_factory, made, undone):
    folder = tmp_path_factory.mktemp("round")
    with Store(folder / "a.db") as store, Store(folder / "b.db") as other:
        store.add_texts(made[0])
        store.submit_all(made[1])
        for number in range(undone):
            store.undo(made[1][-1].annotator if made[1] else "nobody", f"u{number}")
        counts = export_store(store, folder / "out")
        judged = {id for j in store.judgements() for id in j.answer.texts}
        for name in FILES:
            assert import_file(other, folder / "out" / name) == (counts[name], 0)
            assert import_file(other, folder / "out" / name) == (0, counts[name]), "read twice, stored once"
            assert import_file(store, folder / "out" / name) == (0, counts[name])
        assert said(other) == said(store)
        known = {text.digest: text.score for text in store.texts(sorted(judged))}
        assert {text.digest: text.score for text in other.texts()} == known


def test_the_files_have_the_columns_that_trainers_read(tmp_path):
    with Store(tmp_path / "f.db") as store:
        store.add_texts(
            [Text("Copy-v0", "say \u202e", "good <b>", "x.pt", 0, 1.0), Text("Copy-v0", "say \u202e", "bad", "x.pt", 1)]
        )
        store.submit(Comparison(1, 2, "a", "b"), "ann", "s1")
        store.submit(Comparison(1, 2, "both_bad"), "bob", "s2")
        store.submit(Rating(2, 4), "ann", "s3")
        store.submit(Marks(1, (Span(5, 8, "bad"),)), "ann", "s4")
        export_store(store, tmp_path / "out")
    lines = {name: json.loads((tmp_path / "out" / name).read_text(encoding="utf-8")) for name in FILES}
    preference = lines["preferences.jsonl"]
    assert (preference["prompt"], preference["chosen"], preference["rejected"]) == ("say \u202e", "good <b>", "bad")
    assert preference["first"] == "rejected" and preference["chosen_score"] == 1.0 and preference["rejected_seed"] == 1
    assert lines["undecided.jsonl"]["outcome"] == "both_bad" and "chosen" not in lines["undecided.jsonl"]
    assert lines["ratings.jsonl"]["rating"] == 4 and lines["ratings.jsonl"]["text"] == "bad"
    assert lines["spans.jsonl"]["spans"] == [{"start": 5, "end": 8, "label": "bad"}]


def test_preferences_of_others_are_read(tmp_path, capsys):
    lines = [{"prompt": "p", "chosen": "a", "rejected": "b"}] * 2 + [
        {"prompt": "p", "chosen": "b", "rejected": "c", "extra": 1}
    ]
    (tmp_path / "dpo.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    flags = ["--store", str(tmp_path / "f.db"), "--files", str(tmp_path / "dpo.jsonl"), "--task", "Mine-v0"]
    main(["import", *flags])
    main(["import", *flags])
    out = capsys.readouterr().out
    assert "3 judgements added, 0 were there" in out and "0 judgements added, 3 were there" in out
    with Store(tmp_path / "f.db") as store:
        assert {text.task for text in store.texts()} == {"Mine-v0"} and len(store.texts()) == 3
        assert [j.annotator for j in store.judgements()] == ["imported"] * 2, "the same said twice stands once"
    main(["import", *flags[:-1], "Copy-v0"])  # the task was another one
    with Store(tmp_path / "f.db") as store:
        assert {text.task for text in store.texts()} == {"Mine-v0", "Copy-v0"} and len(store.judgements()) == 4


@pytest.mark.parametrize(
    "line, words",
    [
        ("{", "line 2"),
        ("[1]", "a line is a JSON object"),
        ('{"prompt": "p", "chosen": "x", "rejcted": "y"}', "Did you mean 'rejected'"),
        ('{"prompt": "p", "chosen": [{"role": "user"}], "rejected": "y"}', "chosen must be a text"),
        ('{"prompt": "p", "chosen": "x", "rejected": "x"}', "text 3 twice"),
        ('{"prompt": "p", "text": "x", "rating": 9}', "rating must be a whole number, from 1 to 5"),
        ('{"prompt": "p", "text": "x", "spans": [[0, 1]]}', "objects with start, end, label"),
        ('{"prompt": "p", "text": "x", "spans": [{"start": 0, "end": 2, "label": "bad"}]}', "which has 1"),
        ('{"prompt": "p", "text_a": "x", "text_b": "y", "outcome": "a"}', "outcome is one of tie, both_bad"),
        ('{"prompt": "p", "text": "\\ud800", "rating": 1}', "surrogate"),
    ],
)
def test_a_file_with_a_line_that_is_none_stores_no_judgement(tmp_path, line, words):
    (tmp_path / "f.jsonl").write_text('{"prompt": "p", "chosen": "a", "rejected": "b"}\n' + line)
    with Store(tmp_path / "f.db") as store:
        with pytest.raises(ValueError, match=words):
            import_file(store, tmp_path / "f.jsonl")
        assert store.judgements() == [] and store.texts() == [], "nobody is shown half a file"


# -- the summary --------------------------------------------------------------------------------------


@pytest.fixture
def judged(tmp_path):
    """Three annotators of 40 pairs: one always sees the first as better, one is honest, one says tie to everything."""
    rng = np.random.default_rng(0)
    with Store(tmp_path / "f.db") as store:
        store.add_texts([Text("t", f"p{i}", text) for i in range(40) for text in ("good", "bad")])
        for i in range(40):
            a, b = 2 * i + 1, 2 * i + 2
            for name in ("honest", "first", "tie"):
                first = "ab"[rng.integers(2)]
                choice = {"honest": "a", "first": first, "tie": "tie"}[name]
                store.submit(Comparison(a, b, choice, first), name, f"{name}{i}", seconds=i)
        store.submit(Rating(1, 3), "honest", "r")
        store.undo("honest", "u")
        yield store


def test_an_annotator_who_always_answers_the_same_is_flagged(judged, capsys):
    found = summary(judged)
    assert found["judgements"] == {"comparison": 120, "rating": 0, "marks": 0} and found["withdrawn"] == 1
    flags = {each["annotator"]: each["flags"] for each in found["annotators"]}
    assert (
        flags["honest"] == [] and "'first' in 40 of 40" in flags["first"][0] and "'tie' in 40 of 40" in flags["tie"][0]
    )
    honest = next(each for each in found["annotators"] if each["annotator"] == "honest")
    assert set(honest["answers"]) == {"first", "second"} and honest["seconds"] == 19.5
    assert 0.1 < honest["agreement"] < 0.4, "with half of what 'first' said, and nothing of 'tie'"
    main(["stats", "--store", str(judged.path), "--json", str(judged.path.with_suffix(".json"))])
    assert "! always the same: 'tie' in 40 of 40" in capsys.readouterr().out
    assert json.loads(judged.path.with_suffix(".json").read_text()) == json.loads(json.dumps(found))


def test_a_preference_for_a_side_is_flagged_before_it_is_absolute(tmp_path):
    with Store(tmp_path / "f.db") as store:
        store.add_texts([Text("t", f"p{i}", text) for i in range(60) for text in ("x", "y")])
        for i in range(60):
            store.submit(Comparison(2 * i + 1, 2 * i + 2, "a" if i < 50 else "b", "a"), "ann", f"s{i}")
        assert summary(store)["annotators"][0]["flags"] == ["prefers a side: the first in 50 of 60"]


def test_who_marks_mistakes_only_is_not_flagged_who_marks_nothing_is(tmp_path):
    with Store(tmp_path / "f.db") as store:
        store.add_texts([Text("t", "p", f"text {i}") for i in range(20)])
        for i in range(1, 21):
            store.submit(Marks(i, (Span(0, 4, "bad"),)), "ann", f"a{i}")
            store.submit(Marks(i, ()), "bob", f"b{i}")
        flags = {each["annotator"]: each["flags"] for each in summary(store)["annotators"]}
        assert flags == {"ann": [], "bob": ["always the same: 'nothing' in 20 of 20"]}


def test_names_of_annotators_cannot_drive_the_terminal(tmp_path):
    with Store(tmp_path / "f.db") as store:
        store.add_texts([Text("t", "p", "x")])
        store.submit(Rating(1, 3), "\x1b[2Jann", "s")
        assert "\x1b" not in show(summary(store))


def test_the_chance_of_a_fair_coin():
    assert chance(5, 10) == 1 and chance(0, 10) == 2 / 1024 and chance(9, 10) == 22 / 1024


@pytest.mark.parametrize(
    "argv, words",
    [
        (["stats", "--store", "none.db"], "no feedback store 'none.db'"),
        (["export", "--store", "none.db", "--folder", "x"], "no feedback store"),
        (["simulate", "--store", "none.db"], "no feedback store"),
        (["serve", "--store", "no/folder/f.db"], "no folder"),
        (["serve", "--store", "f.db", "--port", "70000"], "port must be"),
    ],
)
def test_what_cannot_be_done_is_one_line(argv, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=words) as stop:
        main(argv)
    assert "\n" not in stop.value.code


def test_commands_are_named(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["stat"])
    assert stop.value.code == 2 and "Did you mean 'stats'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--help"])
    assert capsys.readouterr().out.startswith("usage: python -m agents.feedback serve | stats | export | import | ")
