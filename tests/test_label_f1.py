"""F1 of labelled spans at every prefix: sets of the positions that make a span."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_diversity import check_at_every_prefix, in_units, pushes

from textgym import Episode, LabelF1
from textgym.testing import check_metric

LABELS = ["O", "PER", "LOC", "B-PER", "I-PER", "B-LOC", "I-LOC", "PE", "O ", "\n", "\ufffd"]
label_texts = st.lists(st.sampled_from(LABELS), max_size=10).map(" ".join)


def spans(labels):
    """{(kind, positions)}: a span goes on where the kind is the same and nothing says "B-"."""
    kinds = [label[2:] if label[:2] in ("B-", "I-") else label for label in labels]
    found = []
    for i, (label, kind) in enumerate(zip(labels, kinds, strict=True)):
        if i and kind == kinds[i - 1] and not label.startswith("B-") and kind != "O":
            found[-1][1].append(i)
        elif kind != "O":
            found.append((kind, [i]))
    return {(kind, tuple(positions)) for kind, positions in found}


@pytest.mark.parametrize("unit, texts", [("word", label_texts), ("character", st.text(alphabet="OPLT \ufffd"))])
@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_it_is_f1_of_the_sets_of_spans(unit, texts, data):
    def expected(text, references):
        best = 0.0
        for reference in references:
            ours, theirs = spans(in_units(text, unit)), spans(in_units(reference, unit))
            total = len(ours) + len(theirs)
            best = max(best, 2 * len(ours & theirs) / total if total else 1.0)
        return best

    check_at_every_prefix(LabelF1(unit), expected, data.draw(pushes(texts)))


@pytest.mark.parametrize(
    "text, reference, value",
    [
        ("O O PER PER O LOC", "O O PER PER O LOC", 1),
        ("O O PER PER", "O O PER PER O LOC", 2 / 3),
        ("O O PER", "O O PER PER O LOC", 0),  # half a name is none
        ("O O LOC LOC O LOC", "O O PER PER O LOC", 1 / 2),
        ("O PER O LOC", "O PER O LOC O O", 1),
        ("O PER O LOC TIME", "O PER O LOC", 4 / 5),
        ("PER PER", "B-PER B-PER", 0),
        ("I-PER I-PER", "B-PER I-PER", 1),
        ("O O", "O", 1),
        ("", "", 1),
        ("", "PER", 0),
        # the example of seqeval's documentation, whose micro F1 is 0.50
        ("O O B-MISC I-MISC I-MISC I-MISC O B-PER I-PER O", "O O O B-MISC I-MISC I-MISC O B-PER I-PER O", 0.5),
    ],
)
def test_by_hand(text, reference, value):
    assert LabelF1().score(text, Episode("", (reference,))) == pytest.approx(value)


def test_the_value_after_each_label():
    progress = LabelF1().start(Episode("", ("O PER PER O LOC",)))
    values = [progress.push(piece) for piece in ("O", " PER", " PER", " O", " LOC", " LOC")]
    assert values == pytest.approx([0, 0, 2 / 3, 2 / 3, 1, 1 / 2])


def test_characters_names_and_errors():
    assert LabelF1("character").score("OPPL", Episode("", ("OPPLL", "OPPL"))) == 1
    assert LabelF1().name == "label_f1" and LabelF1("character").name == "character_label_f1"
    assert LabelF1().score("PER", Episode()) == 0
    check_metric(LabelF1("character"))
    with pytest.raises(ValueError, match="unit of labels 'words'. Did you mean 'word'"):
        LabelF1("words")
