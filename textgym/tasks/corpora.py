"""English text that every Python installation carries, read at run time: language reference and docstrings.

Needs the standard library only. Nothing is downloaded, and no module is executed to read its docstrings.
Splits are made by source section (a topic, a top-level module) after exact de-duplication, before anything
is cut into windows or sentences. Python versions carry slightly different text, so their splits differ too.
"""

from __future__ import annotations

import ast
import gc
import os
import re
import sysconfig
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


@dataclass(frozen=True)
class Corpus:
    """Items by split.

    Attributes:
        splits: "train", "validation", "test" -> items: paragraphs (str) or :class:`Docstring`.
        sections: name of a source section -> the split it is in.
        dropped: reason -> how many pieces of text were left out.
    """

    splits: Mapping[str, tuple[Any, ...]]
    sections: Mapping[str, str]
    dropped: Counter[str]

    def __len__(self) -> int:
        return sum(map(len, self.splits.values()))


@dataclass(frozen=True)
class Docstring:
    """A docstring: where it stands, its summary on one line, and the rest without the lines' common indentation."""

    module: str
    name: str  # "" for the module's own
    summary: str
    body: str

    def __len__(self) -> int:
        return len(self.summary) + len(self.body)


@lru_cache(maxsize=1)
def prose() -> Corpus:
    """The running prose of ``pydoc_data.topics``, the language reference behind ``help("topics")``.

    About 270,000 characters of ASCII in 1,300 paragraphs without markup; sections are topics.

    Raises:
        RuntimeError: this Python has no ``pydoc_data``, or no prose in it.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError:
        topics = {}
    return extract_prose(topics)


@lru_cache(maxsize=4)
def docstrings(root: str | None = None) -> Corpus:
    """The docstrings of the standard library's ``.py`` files, ASCII only; sections are top-level modules.

    About 6,000; takes a second or two, as every file is parsed. Left out are tests, what some
    distributions package separately (tkinter, idlelib, distutils, lib2to3), and the tables of ``encodings``.

    Args:
        root: the folder to read, by default that of the standard library.

    Raises:
        RuntimeError: there is no docstring, as where Python is installed without source files.
    """
    root = root or sysconfig.get_paths()["stdlib"]
    dropped: Counter[str] = Counter()
    sections: dict[str, list[Docstring]] = {}
    seen = set()
    with _quick_parsing():
        for docstring in read_docstrings(root, dropped):
            # of two with one body (but for white space) the second is left out: no body is in two splits
            key = " ".join((docstring.body or docstring.summary).split())
            if not (key + docstring.summary).isascii():
                dropped["not ASCII"] += 1
            elif key in seen:
                dropped["duplicate"] += 1
            else:
                seen.add(key)
                sections.setdefault(_section(docstring.module), []).append(docstring)
    if not sections:
        raise RuntimeError(
            f"no docstrings in {root!r} (left out: {dict(dropped)}). They are read from .py files: "
            "install a Python that has them (on Debian and Ubuntu the package libpython3-stdlib), or use another task"
        )
    return split_by_section(sections, dropped)


def split_by_section(sections: Mapping[str, Iterable[Any]], dropped: Counter[str]) -> Corpus:
    """Put each section wholly into one split, so that the splits' sizes are near :data:`SHARES`.

    The sections are taken in the order of a checksum of their names, each by the split that would be the
    least full, relative to its share, with it. Deterministic, and the same on every machine.
    """
    splits: dict[str, list[Any]] = {name: [] for name in SHARES}
    filled = dict.fromkeys(SHARES, 0)
    where = {}
    for section in sorted(sections, key=lambda name: (zlib.crc32(name.encode()), name)):
        items = list(sections[section])
        size = sum(map(len, items))
        split = min(SHARES, key=lambda name: (filled[name] + size) / SHARES[name])
        splits[split] += items
        filled[split] += size
        where[section] = split
    return Corpus({name: tuple(items) for name, items in splits.items()}, where, dropped)


def overlap(references: Iterable[str], train: Iterable[str]) -> float:
    """Share of the references that occur verbatim in a text of ``train``, in [0, 1]; 0 where there are none."""
    haystack = "\0".join(train)
    found = [reference in haystack for reference in references]
    return sum(found) / max(len(found), 1)


# Prose

_TYPOGRAPHY = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "...", "\xa0": " "})
_BULLET = re.compile(r"(?:[*-]|\d+\.|\[\d+\]|\(\d+\)) +")
_UNDERLINE = re.compile(r"([^\w\s])\1{2,}")
_EMPHASIS = re.compile(r"(?<![\"'*\w])(\*\*?)(?=[^\s*])([^*\"]*[^\s*])\1(?!\"|'(?!s)|[*\w])")
_FOOTNOTE = re.compile(r" ?\[\d+\](?=[\s.,;:)]|$)")
_LABEL = re.compile(
    r"(?:Note|Warning|Tip|Hint|Important|CPython implementation detail|Availability|See also):(?: |$)"
    r"|(?:New|Added|Changed|Deprecated|Removed)\b[^.:]*\bversions? [\d., ]*\d[^:.]*(?:: *|\.(?: |$))"
)
_WORD = re.compile(r"(?:^|(?<=[\s(]))[A-Za-z][a-z]*(?:['-][a-z]+)*(?=[\s.,:;!?)]|$)")
_CODE = (">>>", "(Pdb)", "Traceback (", "**Source code:**")
_FEWEST_WORDS = 6


def extract_prose(topics: Mapping[str, str]) -> Corpus:
    """Clean and split the paragraphs of some pages in the plain-text markup of ``pydoc_data.topics``.

    A paragraph that several topics have stays with the first of them in alphabetical order.

    Raises:
        RuntimeError: nothing is left.
    """
    dropped: Counter[str] = Counter()
    sections: dict[str, list[str]] = {}
    seen = set()
    for topic in sorted(topics):
        for lines in _blocks(topics[topic]):
            paragraph = _clean(lines)
            reason = "duplicate" if paragraph in seen else _no_prose(lines, paragraph)
            if reason:
                dropped[reason] += 1
            else:
                seen.add(paragraph)
                sections.setdefault(topic, []).append(paragraph)
    if not sections:
        raise RuntimeError(
            f"no prose in the {len(topics)} topics of pydoc_data (left out: {dict(dropped)}): install a Python that "
            "has pydoc_data/topics.py (on Debian and Ubuntu the package libpython3-stdlib), or use another task"
        )
    return split_by_section(sections, dropped)


def _blocks(text: str) -> Iterator[list[str]]:
    """Stripped lines that belong together: no blank line, bullet or change of indentation between them."""
    block: list[str] = []
    indent = 0
    for line in [*text.splitlines(), ""]:
        content = line.strip()
        bullet = _BULLET.match(content)
        here = len(line) - len(line.lstrip())
        if block and (not content or bullet or here != indent):
            yield block
            block = []
        indent = here
        if bullet:
            content = content[bullet.end() :]
            indent += bullet.end()  # the lines below stand under the text, not under the bullet
        if content:
            block.append(content)


def _clean(lines: list[str]) -> str:
    """One line of ASCII where possible, without emphasis, footnote marks and labels such as "Note:"."""
    text = lines[0]
    for line in lines[1:]:
        hyphen = text[-1] == "-" and text[-2:-1].isalpha() and line[0].islower()  # built-|in, not: prefix- | and
        text += line if hyphen and not line.startswith(("and ", "or ")) else " " + line
    text = _EMPHASIS.sub(r"\2", text.translate(_TYPOGRAPHY))
    text = " ".join(_FOOTNOTE.sub("", text).split())
    while label := _LABEL.match(text):
        text = text[label.end() :]
    return text


def _no_prose(lines: list[str], text: str) -> str | None:
    """Why a block is no paragraph of prose, or None."""
    words = len(_WORD.findall(text))
    if _UNDERLINE.fullmatch(lines[-1]):
        return "heading"
    if "::=" in text or lines[0][0] in "+|" or any(line.startswith(_CODE) or " # " in line for line in lines):
        return "code or table"
    if not text.isascii():
        return "not ASCII"
    if words < _FEWEST_WORDS:
        return "short"
    if words < 0.6 * len(text.split()):
        return "mostly symbols"
    if not (text[0].isupper() or text[0] in "\"'(") or text[-1] not in '.:!?)"':
        return "no sentence"
    return None


# Docstrings

_SKIPPED = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "_bundled", "lib-dynload"}
_SKIPPED |= {"idlelib", "tkinter", "turtledemo", "distutils", "lib2to3", "msilib", "encodings", "pydoc_data"}
_SKIPPED |= {"sitecustomize", "usercustomize"}  # they differ between machines
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_COMPOUND = (ast.If, ast.Try, ast.ExceptHandler, ast.With, ast.For, ast.While)
_OPENING = re.compile(rb"""^[ \t]*[rR]?(?:\"{3}|'{3})""", re.MULTILINE)


def read_docstrings(root: str, dropped: Counter[str]) -> Iterator[Docstring]:
    """Every docstring of the ``.py`` files under a folder, in the order of their paths; no file is executed."""
    for module, path in _files(root):
        try:
            with open(path, "rb") as file:
                source = file.read()
            if len(_OPENING.findall(source)) < len(source) / 5000:
                continue  # tables and scripts: a tenth of the time, a hundredth of the docstrings
            tree = ast.parse(source, path)
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            dropped["unreadable file"] += 1
            continue
        for name, text in _docstrings_of(tree):
            summary, body = _summary_and_body(text)
            if summary:
                yield Docstring(module, name, summary, body)


def _summary_and_body(text: str) -> tuple[str, str]:
    """The first line, or the first paragraph where a sentence goes on over several lines (PEP 257), and the rest."""
    lines = text.splitlines()
    end = 1
    while end < len(lines) and lines[end].strip() and not lines[end - 1].rstrip().endswith((".", "!", "?", ":")):
        end += 1
    return " ".join(" ".join(lines[:end]).split()), "\n".join(lines[end:]).strip("\n").rstrip()


def _files(root: str) -> Iterator[tuple[str, str]]:
    for folder, below, names in os.walk(root):
        below[:] = sorted(name for name in below if name not in _SKIPPED and not name.startswith("config-"))
        package = os.path.relpath(folder, root).replace(os.sep, ".").lstrip(".")
        for name in sorted(names):
            stem, extension = os.path.splitext(name)
            if extension == ".py" and stem not in _SKIPPED:
                yield ".".join(filter(None, [package, stem.replace("__init__", "")])), os.path.join(folder, name)


def _docstrings_of(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(qualified name, docstring), the module's own under ""."""
    stack: list[tuple[ast.AST, str]] = [(tree, "")]
    while stack:
        node, name = stack.pop()
        if isinstance(node, _DOCUMENTED):
            text = ast.get_docstring(node)  # cleaned by inspect.cleandoc
            if text:
                yield name, text
        below = []
        for field in ("body", "orelse", "finalbody", "handlers"):  # statements only: expressions hold no docstrings
            for child in getattr(node, field, ()):
                if isinstance(child, _DOCUMENTED):
                    below.append((child, f"{name}.{child.name}".lstrip(".")))
                elif isinstance(child, _COMPOUND):
                    below.append((child, name))
        stack += reversed(below)


def _section(module: str) -> str:
    """The top-level name; the Python twins of C modules (``_pyio``, ``_pydecimal``) go with the modules they double."""
    name = module.partition(".")[0]
    return name[3:] if name.startswith("_py") else name.lstrip("_") or name


@contextmanager
def _quick_parsing() -> Iterator[None]:
    """Without cyclic garbage collection, a third faster: syntax trees hold no cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's strings
            yield
    finally:
        if enabled:
            gc.enable()
