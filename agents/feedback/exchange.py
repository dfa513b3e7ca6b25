"""Judgements as JSON lines: preferences in the columns that trainers read, everything else in files of its own.

=================== ==============================================================================================
preferences.jsonl   ``prompt, chosen, rejected``: what TRL's ``DPOTrainer`` and ``RewardTrainer`` read
undecided.jsonl     ``prompt, text_a, text_b, outcome``: comparisons that chose none; outcome is "tie" or "both_bad"
ratings.jsonl       ``prompt, text, rating``: from 1 to 5
spans.jsonl         ``prompt, text, spans``: each ``{"start", "end", "label"}`` in code points; label "good" or "bad"
=================== ==============================================================================================

Ties are in a file of their own because a trainer would read whatever stands in "chosen" as preferred. Every line has
also ``task, annotator, time, page, seconds, submission``, of every text ``policy, seed, score``, and of a comparison
``first``: which text was shown first. What was withdrawn is not exported.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agents.feedback.judgements import Comparison, Judgement, Marks, Rating, Text, read_spans
from agents.feedback.store import Store
from agents.files import replacing
from textgym.errors import did_you_mean

OUTCOMES = ("tie", "both_bad")
OF_A_TEXT = ("policy", "seed", "score")
OF_A_JUDGEMENT = ("annotator", "time", "page", "seconds", "submission")
# file -> the columns of its texts, the column of the answer
FILES = {
    "preferences.jsonl": (("chosen", "rejected"), None),
    "undecided.jsonl": (("text_a", "text_b"), "outcome"),
    "ratings.jsonl": (("text",), "rating"),
    "spans.jsonl": (("text",), "spans"),
}


def export_store(store: Store, folder: str | Path) -> dict[str, int]:
    """Write the judgements that stand, and how many there are in each file. Files are each replaced as a whole.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    judgements = store.judgements()
    texts = {text.id: text for text in store.texts()}  # read last, so that all those judged are among them
    lines: dict[str, list[str]] = {name: [] for name in FILES}
    for judgement in judgements:
        name, line = _line(judgement, texts)
        lines[name].append(json.dumps(line, ensure_ascii=False) + "\n")
    for name, written in lines.items():
        with replacing(folder / name) as file:
            file.writelines(line.encode() for line in written)
    return {name: len(written) for name, written in lines.items()}


def _line(judgement: Judgement, texts: dict[int | None, Text]) -> tuple[str, dict[str, Any]]:
    """The file of a judgement, and its line there."""
    answer = judgement.answer
    ids = answer.texts
    if isinstance(answer, Rating):
        name, value = "ratings.jsonl", answer.rating
    elif isinstance(answer, Marks):
        name, value = "spans.jsonl", [vars(span) for span in answer.spans]
    elif answer.choice in OUTCOMES:
        name, value = "undecided.jsonl", answer.choice
    else:
        name, value = "preferences.jsonl", None
        ids = ids if answer.choice == "a" else ids[::-1]
    columns, answered = FILES[name]
    own = [texts[id] for id in ids]
    line: dict[str, Any] = {"prompt": own[0].prompt}
    line |= {column: text.text for column, text in zip(columns, own, strict=True)}
    if answered:
        line[answered] = value
    line["task"] = own[0].task
    for column, text in zip(columns, own, strict=True):
        line |= {_of(column, name): getattr(text, name) for name in OF_A_TEXT}
    if isinstance(answer, Comparison):
        shown = None if answer.first is None else answer.a if answer.first == "a" else answer.b
        line["first"] = None if shown is None else columns[ids.index(shown)]
    return name, line | {name: getattr(judgement, name) for name in OF_A_JUDGEMENT}


def _of(column: str, name: str) -> str:
    """``chosen_policy``; of the only text of a line: ``policy``."""
    return name if column == "text" else f"{column}_{name}"


def import_file(store: Store, path: str | Path, task: str = "", annotator: str = "imported") -> tuple[int, int]:
    """Read a file of one of the four shapes, told by its columns. Its texts and judgements are stored all, or none.

    Lines without a submission of their own get one made of what they say, and of the task: reading a file twice stores
    it once.

    Args:
        store: where to.
        path: JSON lines; only prompt, the texts and the answer have to be there.
        task, annotator: for lines that do not say theirs.

    Returns:
        How many judgements were stored, and how many had been there already.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line that is none of the shapes; it says which.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r} to import")
    texts: list[Text] = []
    read: list[tuple[dict[str, Any], str, str]] = []
    seen: Counter[str] = Counter()
    for number, raw in _lines(path):
        try:
            line = json.loads(raw)
            name = _shape(line)
            texts += [_text(line, column, task) for column in FILES[name][0]]
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        said = json.dumps({"task": task, **line}, sort_keys=True)
        seen[said] += 1
        digest = hashlib.sha256(f"{said}{seen[said]}".encode()).hexdigest()
        read.append((line, name, f"import-{digest[:32]}"))

    def judge(ids: list[int]) -> list[Judgement]:
        left, judgements = iter(ids), []
        for number, (line, name, submission) in enumerate(read, 1):
            own = [next(left) for _ in FILES[name][0]]
            try:
                judgements.append(_judgement(line, name, own, annotator, submission))
            except ValueError as error:
                raise ValueError(f"{path}, judgement {number}: {error}") from error
        return judgements

    receipts = store.add_judged(texts, judge)
    stored = sum(receipt.stored for receipt in receipts)
    return stored, len(receipts) - stored


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with open(path, encoding="utf-8", newline="\n") as file:
        yield from ((number, line) for number, line in enumerate(file, 1) if line.strip())


def _shape(line: Any) -> str:
    """The name of the file that such a line belongs to."""
    if not isinstance(line, dict):
        raise ValueError(f"a line is a JSON object, got {line!r:.80}")
    shapes = {name: ("prompt", *columns, *filter(None, (answer,))) for name, (columns, answer) in FILES.items()}
    for name, needed in shapes.items():
        if all(column in line for column in needed):
            return name
    known = sorted({column for needed in shapes.values() for column in needed})
    hints = "".join(did_you_mean(column, known) for column in line if column not in known)
    allowed = "; ".join(", ".join(needed) for needed in shapes.values())
    raise ValueError(f"got the columns {', '.join(line) or 'none'}.{hints} A line needs one of: {allowed}")


def _text(line: dict[str, Any], column: str, task: str) -> Text:
    for name in ("prompt", column):
        if not isinstance(line[name], str):
            raise ValueError(f"{name} must be a text (no conversation), got {line[name]!r:.80}")
    more = {name: line[_of(column, name)] for name in OF_A_TEXT if line.get(_of(column, name)) is not None}
    return Text(line.get("task", task), line["prompt"], line[column], **more)


def _judgement(line: dict[str, Any], name: str, ids: list[int], annotator: str, submission: str) -> Judgement:
    columns, answered = FILES[name]
    if name == "ratings.jsonl":
        answer: Comparison | Rating | Marks = Rating(ids[0], line["rating"])
    elif name == "spans.jsonl":
        answer = Marks(ids[0], read_spans(line["spans"]))
    else:
        outcome = "a" if answered is None else line[answered]
        if answered and outcome not in OUTCOMES:
            raise ValueError(f"outcome is one of {', '.join(OUTCOMES)}, got {outcome!r}")
        first = line.get("first")
        if first is not None and first not in columns:
            raise ValueError(f"first is one of {', '.join(columns)}, got {first!r}")
        answer = Comparison(*ids, outcome, None if first is None else "ab"[columns.index(first)])
    more = {column: line[column] for column in OF_A_JUDGEMENT if line.get(column) is not None}
    return Judgement(answer, **{"annotator": annotator, "submission": submission, **more})
