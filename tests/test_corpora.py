"""The corpora every Python carries: clean prose, docstrings, splits by section, and what happens without them."""

import gc
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from textgym.tasks import corpora
from textgym.tasks.corpora import SHARES, docstrings, extract_prose, overlap, prose, split_by_section

REST = "These words are here so that there is a paragraph of prose in every test."

# markup as the versions 3.10 to 3.13 write it
MARKUP = """The "assert" statement
**********************

Assert statements are a convenient way to insert comma-
separated *debugging* assertions into  a program:

   assert_stmt ::= "assert" expression ["," expression] and some more words here

   if __debug__:
       if not expression: raise AssertionError

"numbers.Number"
================

Note: These are created by numeric literals, see *iterable*'s **PEP 8** or
"f(*args, *more)" [1].

Note:

  The Evaluator’s “modulo” operator is – or was – slow…

Changed in version 3.8: The first character is now put into titlecase.

New in version 3.3.

Added in version 3.3.

* When possible, the string representation of a
  number is in base 10.

* Lu - uppercase letters

1. The second kind of list item is a sentence too.

   >>> x = "Here are many words that no one would take for code"

str.center(width[, fillchar])

   Return the string that is centered in a longer string.

+-------------------+------------------------------------------+
| Operator          | This is a description of the operators.  |
+-------------------+------------------------------------------+

The German letter "ß" is equivalent to two letters here.

   "Bring me a {}"   # Implicitly references the first positional argument.

-[ Footnotes ]-

[1] The text of a footnote is a paragraph like any other one.
"""

CLEAN = [
    "Assert statements are a convenient way to insert comma-separated debugging assertions into a program:",
    'These are created by numeric literals, see iterable\'s PEP 8 or "f(*args, *more)".',
    'The Evaluator\'s "modulo" operator is - or was - slow...',
    "The first character is now put into titlecase.",
    "When possible, the string representation of a number is in base 10.",
    "The second kind of list item is a sentence too.",
    "Return the string that is centered in a longer string.",
    "The text of a footnote is a paragraph like any other one.",
]


def all_of(corpus):
    return [item for items in corpus.splits.values() for item in items]


def test_markup_becomes_clean_paragraphs():
    corpus = extract_prose({"assert": MARKUP})
    assert all_of(corpus) == CLEAN
    assert corpus.dropped["heading"] == 2
    assert corpus.dropped["not ASCII"] == 1
    assert corpus.dropped["code or table"] >= 4


def test_a_paragraph_of_two_topics_is_kept_once_in_the_first():
    corpus = extract_prose({"b": f"{REST}\n\nThis is one more paragraph that only b has.", "a": REST})
    assert Counter(all_of(corpus))[REST] == 1
    assert REST in corpus.splits[corpus.sections["a"]]
    assert corpus.dropped["duplicate"] == 1


def test_no_prose_raises_and_says_what_was_left_out():
    with pytest.raises(RuntimeError, match=r"no prose in the 1 topics.*heading.*pydoc_data/topics.py"):
        extract_prose({"empty": "Heading\n*******\n"})


def test_prose_is_clean_sentences():
    paragraphs = all_of(prose())
    assert len(paragraphs) == len(set(paragraphs)) == len(prose())
    assert 800 < len(paragraphs) < 3000
    assert sum(map(len, paragraphs)) > 200_000
    for text in paragraphs:
        assert text.isascii() and text == " ".join(text.split())
        assert not re.search(r"::=|\*{3}|={4}|^[*+|>]|>>> ", text), text
    letters = sum(c.isalpha() or c == " " for text in paragraphs for c in text)
    assert letters / sum(map(len, paragraphs)) > 0.9


@pytest.mark.parametrize("corpus", [prose, docstrings])
def test_splits_are_disjoint_and_near_their_shares(corpus):
    corpus = corpus()
    assert set(corpus.sections.values()) == set(SHARES) == set(corpus.splits)
    sizes = {name: sum(map(len, items)) for name, items in corpus.splits.items()}
    for name, share in SHARES.items():
        assert sizes[name] / sum(sizes.values()) == pytest.approx(share, abs=0.02)
    train = set(corpus.splits["train"])
    assert not train & {*corpus.splits["validation"], *corpus.splits["test"]}
    assert not set(corpus.splits["validation"]) & set(corpus.splits["test"])


def test_docstrings_stay_with_their_module():
    corpus = docstrings()
    for split, items in corpus.splits.items():
        assert {corpus.sections[corpora._section(item.module)] for item in items} == {split}
    bodies = [item.body for item in all_of(corpus) if item.body]
    assert len(bodies) == len(set(bodies)) > 1500
    assert all((item.summary + item.body).isascii() and item.summary.strip() == item.summary for item in all_of(corpus))
    found = {(item.module, item.name): item for item in all_of(corpus)}
    assert found["json.encoder", "JSONEncoder.default"].summary.startswith("Implement this method in a subclass")


def test_splits_do_not_depend_on_the_order_of_the_sections():
    sections = {f"section {i}": ["x" * (10 + i)] for i in range(50)}
    backwards = dict(reversed(sections.items()))
    assert split_by_section(sections, Counter()) == split_by_section(backwards, Counter())


def test_docstrings_of_files(tmp_path):
    (tmp_path / "one.py").write_text(
        '"""A module.\n\nIts body\n  is indented.\n"""\n'
        "if True:\n    class C:\n        def f(self):\n"
        '            """Summary that goes\n            on.\n\n            Rest."""\n'
        "raise SystemExit  # nothing is executed\n"
    )
    (tmp_path / "broken.py").write_text('"""Not Python.\n\nAt all."""\ndef def\n')
    (tmp_path / "null.py").write_bytes(b'"""Null bytes.\n\nHere."""\n\0')
    (tmp_path / "copy.py").write_text('"""Another module.\n\nIts body\n  is indented."""\n')
    (tmp_path / "latin.py").write_bytes('# coding: latin-1\n"""Ümlaut.\n\nHere."""\n'.encode("latin-1"))
    for skipped in ("test", "site-packages"):
        (tmp_path / skipped).mkdir()
        (tmp_path / skipped / "three.py").write_text('"""Skipped.\n\nThis one."""\n')
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text('"""A package."""\n')
    enabled = gc.isenabled()
    corpus = docstrings(str(tmp_path))
    assert gc.isenabled() == enabled
    found = {(item.module, item.name): (item.summary, item.body) for item in all_of(corpus)}
    assert found == {
        ("copy", ""): ("Another module.", "Its body\n  is indented."),
        ("one", "C.f"): ("Summary that goes on.", "Rest."),
        ("pkg", ""): ("A package.", ""),
    }
    assert corpus.dropped == {"unreadable file": 2, "duplicate": 1, "not ASCII": 1}


def test_no_source_files_raises_and_names_the_folder(tmp_path):
    (tmp_path / "module.pyc").write_bytes(b"\0")
    with pytest.raises(RuntimeError, match=f"no docstrings in '{re.escape(str(tmp_path))}'.*libpython3-stdlib"):
        docstrings(str(tmp_path))


def test_overlap():
    assert overlap(["a b", "b c", "z"], ["x a b", "b", "c"]) == pytest.approx(1 / 3)
    assert overlap(["ab"], ["a", "b"]) == 0
    assert overlap([], ["a"]) == 0


def test_reading_needs_no_package_and_imports_no_module():
    """In a bare interpreter: no site-packages, and nothing of what is read gets imported."""
    code = (
        "import importlib.util, sys; spec = importlib.util.spec_from_file_location('corpora', sys.argv[1]);"
        "corpora = sys.modules['corpora'] = importlib.util.module_from_spec(spec); spec.loader.exec_module(corpora);"
        "before = set(sys.modules); corpora.prose(); corpora.docstrings();"
        "print(*sorted(set(sys.modules) - before)); print(corpora.prose().sections == corpora.extract_prose("
        "__import__('pydoc_data.topics').topics.topics).sections)"
    )
    command = [sys.executable, "-S", "-c", code, str(Path(corpora.__file__))]
    imported, same = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    allowed = (
        "_",
        "encodings",
        "pydoc_data",
        "inspect",
        "dis",
        "opcode",
        "token",
        "linecache",
        "collections",
        "importlib",
    )
    assert [name for name in imported.split() if not name.startswith(allowed)] == []
    assert same == "True"
