"""The simulated annotator, and texts of a checkpoint, in the store that the page writes."""

import numpy as np
import pytest

from agents.feedback import Comparison, Store, Text, simulated
from agents.feedback.__main__ import main
from agents.feedback.choosing import Item
from agents.feedback.simulated import SimulatedAnnotator

rng = np.random.default_rng(0)
SCORES = rng.random(2000)
TEXTS = [Text("t", f"p{n // 2}", f"text {n}", "", n, float(score), n + 1) for n, score in enumerate(SCORES)]
PAIRS = [Item("comparison", tuple(TEXTS[n : n + 2])) for n in range(0, len(TEXTS), 2)]


def preferred(annotator, items):
    """Whether the text shown first is preferred, bool (n,)."""
    answers = [annotator.answer(item) for item in items]
    return np.array(
        [{"a": a.a, "b": a.b}[a.choice] == item.texts[0].id for a, item in zip(answers, items, strict=True)]
    )


@pytest.mark.parametrize("error, temperature", [(0.0, 0.0), (0.1, 0.0), (0.1, 0.2), (0.5, 0.1)])
def test_preferences_have_the_probability_that_is_promised(error, temperature):
    annotator = SimulatedAnnotator(error, temperature)
    differences = np.array([item.texts[0].score - item.texts[1].score for item in PAIRS])
    p, first = annotator.preference(differences), preferred(annotator, PAIRS)
    assert abs((first - p).mean()) < 4 * np.sqrt((p * (1 - p)).sum()) / len(p) + 1e-12
    agreement, limit = (first == (differences > 0)).mean(), np.maximum(p, 1 - p).mean()
    assert abs(agreement - limit) < 4 * 0.5 / len(p) ** 0.5
    if temperature == 0:
        assert limit == pytest.approx(1 - error)
    with np.errstate(all="raise"):
        assert annotator.preference(np.array([-1e6, 1e6])) == pytest.approx([error, 1 - error])


def test_the_answer_does_not_depend_on_which_is_shown_first():
    annotator = SimulatedAnnotator(0.3, 0.1, seed=5)
    swapped = [Item("comparison", item.texts[::-1]) for item in PAIRS]
    np.testing.assert_array_equal(preferred(annotator, PAIRS), ~preferred(annotator, swapped))
    assert (preferred(annotator, PAIRS) != preferred(SimulatedAnnotator(0.3, 0.1, seed=6), PAIRS)).any()
    shown = [annotator.answer(item) for item in PAIRS]
    assert all({"a": a.a, "b": a.b}[a.first] == item.texts[0].id for a, item in zip(shown, PAIRS, strict=True))


def test_near_scores_are_a_tie_and_ratings_are_fifths():
    annotator = SimulatedAnnotator(0.0, tie=0.2)
    for item in PAIRS[:300]:
        near = abs(item.texts[0].score - item.texts[1].score) <= 0.2
        assert (annotator.answer(item).choice == "tie") == near
    erring = SimulatedAnnotator(0.2)
    own = [annotator.answer(Item("rating", (text,))).rating for text in TEXTS]
    assert own == [1 + int(5 * text.score) for text in TEXTS]
    assert annotator.answer(Item("rating", (Text("t", "p", "x", score=1.0, id=1),))).rating == 5
    others = [erring.answer(Item("rating", (text,))).rating for text in TEXTS]
    assert 0.17 < np.mean(np.array(own) != np.array(others)) < 0.23


def test_words_are_marked_by_the_reference_that_is_most_like_the_text():
    references = {"p": ["the cat sat on the mat", "a dog  ran"], "q": ["x"]}
    annotator = SimulatedAnnotator(0.0, references=references)

    def bad(prompt, text):
        marks = annotator.answer(Item("marks", (Text("t", prompt, text, id=1),)))
        assert "".join(text[span.start : span.end] for span in marks.spans) == "".join(text.split())
        return [text[span.start : span.end] for span in marks.spans if span.label == "bad"]

    assert bad("p", "the cat sat on the mat") == []
    assert bad("p", " the  caat sat the on mat") in (["caat", "the"], ["caat", "on"])
    assert bad("p", "a dog run") == ["run"]
    assert bad("q", "") == [] and bad("q", "y x") == ["y"]


def test_marks_are_turned_round_as_often_as_is_promised():
    texts = [Text("t", "p", "a b c d e f g h", seed=seed, id=1) for seed in range(500)]
    annotator = SimulatedAnnotator(0.2, references={"p": ["a b c d"]})
    labels = [[span.label for span in annotator.answer(Item("marks", (text,))).spans] for text in texts]
    wrong = np.array(labels) != np.array(["good"] * 4 + ["bad"] * 4)
    assert (abs(wrong.mean(0) - 0.2) < 4 * 0.4 / 500**0.5).all()


@pytest.mark.parametrize(
    "wrong",
    [{"error": 0.6}, {"error": float("nan")}, {"temperature": -1}, {"tie": float("inf")}, {"seed": -1}, {"speed": 0.0}],
)
def test_an_annotator_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SimulatedAnnotator(**wrong)


def test_it_goes_on_where_it_was_interrupted(tmp_path):
    stores = [Store(tmp_path / name) for name in ("at once.db", "in parts.db")]
    for store, parts in zip(stores, ([30], [7, 7, 19, 30]), strict=True):
        store.add_texts(TEXTS[:60])
        for count in parts:
            assert SimulatedAnnotator(0.1).annotate(store, "comparison", count) == count
    at_once, in_parts = ([j.answer for j in store.judgements()] for store in stores)
    assert at_once == in_parts and all(isinstance(answer, Comparison) for answer in at_once)
    assert SimulatedAnnotator(0.1).annotate(stores[0], "comparison", 100) == 30, "30 pairs is all there are"
    for store in stores:
        store.close()


class Clock:
    """Time that passes when somebody sleeps, and by ``work`` seconds between two looks at it."""

    def __init__(self, work=0.0):
        self.now, self.work, self.slept = 0.0, work, []

    def monotonic(self):
        self.now += self.work
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.mark.parametrize("work, slept, took", [(0.0, 1.5, 1.5), (0.5, 1.0, 2.0), (2.0, 0.0, 4.0)])
def test_it_judges_as_fast_as_is_promised_and_keeps_the_seconds(tmp_path, monkeypatch, work, slept, took):
    clock, told = Clock(work), []
    monkeypatch.setattr(simulated, "time", clock)
    with Store(tmp_path / "f.db") as store, Store(tmp_path / "at once.db") as other:
        for each, speed in ((store, 40.0), (other, None)):
            each.add_texts(TEXTS[:20])
            before = clock.now
            annotator = SimulatedAnnotator(0.1, speed=speed)
            annotator.annotate(each, "comparison", 5, progress=lambda: told.append(clock.now))
            if speed is None:
                assert len(clock.slept) == 5, "without a speed nothing waits"
            else:
                assert clock.slept == [slept] * 5 and told[0] - before >= took - 1e-9
        assert [judgement.seconds for judgement in store.judgements()] == [took] * 5
        assert [judgement.seconds for judgement in other.judgements()] == [None] * 5
        assert [j.answer for j in store.judgements()] == [j.answer for j in other.judgements()]
        assert {j.annotator for j in store.judgements()} == {j.annotator for j in other.judgements()}


def test_the_command_judges_with_a_speed(tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(simulated, "time", clock)
    with Store(tmp_path / "f.db") as store:
        store.add_texts(TEXTS[:20])
        main(["simulate", "--store", str(tmp_path / "f.db"), "--count", "3", "--speed", "120", "--no-progress"])
        assert clock.slept == [0.5] * 3 and [judgement.seconds for judgement in store.judgements()] == [0.5] * 3
    with pytest.raises(SystemExit, match="speed must be a finite number, above 0, got 0.0"):
        main(["simulate", "--store", str(tmp_path / "f.db"), "--speed", "0"])


def test_texts_without_scores_or_references_cannot_be_judged(tmp_path):
    with Store(tmp_path / "f.db") as store:
        store.add_texts([Text("t", "p", "a"), Text("t", "p", "b")])
        with pytest.raises(ValueError, match="no true score"):
            SimulatedAnnotator().annotate(store, "rating", 1)
        with pytest.raises(ValueError, match="no reference"):
            SimulatedAnnotator().annotate(store, "marks", 1)
    with pytest.raises(SystemExit, match="without references 'marks'"):
        main(["simulate", "--store", str(tmp_path / "f.db"), "--kind", "marks"])


def test_a_checkpoint_writes_texts_that_are_judged(tmp_path, capsys):
    from agents.transformer.settings import TrainArgs
    from agents.transformer.train import train

    size = {"layers": 1, "width": 16, "heads": 2, "n_envs": 8, "steps": 64, "eval_episodes": 8}
    trained = train(TrainArgs(env="Copy-v0", folder=tmp_path / "run", progress=False, **size))
    flags = ["--store", str(tmp_path / "f.db"), "--no-progress"]
    sample = ["sample", *flags, "--checkpoint", str(trained.best), "--prompts", "6", "--each", "3"]
    main(sample)
    assert "18 texts added, of 18 written for 6 prompts" in capsys.readouterr().out
    main(sample)
    assert "0 texts added, of 18" in capsys.readouterr().out, "the same seeds write the same"
    main(["simulate", *flags, "--kind", "rating", "--count", "18"])
    with Store(tmp_path / "f.db") as store:
        texts = store.texts()
        assert len(store.judgements("rating")) == 18 and len({text.prompt for text in texts}) == 6
        assert {text.seed for text in texts} == {0, 1, 2} and all(0 <= text.score <= 1 for text in texts)
        assert texts[0].task.startswith("textgym/Copy-v0") and "best.pt sha256:" in texts[0].policy
