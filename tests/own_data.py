"""Small files in the forms that people's data have, and which of them an id that needs data is given in tests."""

import csv
import gzip
import json
from pathlib import Path

from textgym.tasks import SPLITS

THINGS = ["bird", "cat", "dog", "fish", "horse", "man", "child", "woman"]
DOINGS = {"sleeps": "schläft", "eats": "isst", "sings": "singt", "waits": "wartet", "runs": "läuft"}
PLACES = {"park": "Park", "house": "Haus", "garden": "Garten", "wood": "Wald"}
SENTENCES = [(t, d, p, n) for n in ("a", "one", "this") for t in THINGS for d in DOINGS for p in PLACES]  # 480


def write_lines(path, lines, encoding="utf-8"):
    data = "".join(f"{line}\n" for line in lines).encode(encoding)
    Path(path).write_bytes(gzip.compress(data) if str(path).endswith(".gz") else data)
    return str(path)


def write_jsonl(path, rows):
    return write_lines(path, (json.dumps(row, ensure_ascii=False) for row in rows))


def write_csv(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def by_split():
    """(name, every eighth sentence but one for validation and test, the others for train)."""
    for i, split in enumerate(SPLITS):
        yield split, [s for n, s in enumerate(SENTENCES) if min(max(0, n % 8 - 5), 2) == i]


def one_file(folder):
    rows = [{"prompt": f"{p}, {n}: {t}, {d}", "reference": f"{n} {t} {d}"} for t, d, p, n in SENTENCES]
    return {"path": write_jsonl(folder / "data.jsonl", rows)}


def translation(folder):
    for split, sentences in by_split():
        write_lines(folder / f"{split}.en", (f"{n} {t} {d} in the {p}" for t, d, p, n in sentences))
        write_lines(folder / f"{split}.de.gz", (f"{n} {t} {DOINGS[d]} im {PLACES[p]}" for t, d, p, n in sentences))
    return {"path": {"source": str(folder / "{split}.en"), "target": str(folder / "{split}.de.gz")}}


def summarization(folder):
    for split, sentences in by_split():
        rows = [{"id": i, "article": f"{n} {t} {d}.\nIt is in the {p}.", "highlights": f"{t} in {p}"}
                for i, (t, d, p, n) in enumerate(sentences)]  # fmt: skip
        write_jsonl(folder / f"{split}.jsonl", rows)
    return {"path": str(folder / "{split}.jsonl"), "streaming": True}


def dialogue(folder):
    names = {"train": "trainset", "validation": "devset", "test": "testset_w_refs"}
    for split, sentences in by_split():
        rows = [{"mr": f"name[{t}], area[{p}], {d}[{n}]", "ref": f"{n} {t}, {x}"}
                for t, d, p, n in sentences for x in (f"the {p}", f'"{d}"')]  # fmt: skip
        write_csv(folder / f"{names[split]}.csv", rows)
    return {"path": str(folder / "{split}.csv"), "splits": names}


def question_answering(folder):
    rows = [{"id": i, "context": f"{n} {t} {d} in the {p}.", "question": "Where?",
             "answers": {"text": [p, f"the {p}"], "answer_start": [0, 0]}}
            for i, (t, d, p, n) in enumerate(SENTENCES)]  # fmt: skip
    return {"path": write_jsonl(folder / "squad.jsonl", rows)}


# id -> a function that writes files in a folder and returns the arguments that the id needs
GIVEN = {
    "Dataset-v0": one_file,
    "TranslationDataset-v0": translation,
    "SummarizationDataset-v0": summarization,
    "DialogueDataset-v0": dialogue,
    "QuestionAnsweringDataset-v0": question_answering,
}
