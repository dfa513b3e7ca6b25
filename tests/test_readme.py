"""The README's Python runs as it stands, from the first line to the last."""

import os
import re
import subprocess
import sys
from pathlib import Path

from own_data import write_jsonl, write_lines

from textgym.tasks import SPLITS

README = Path(__file__).parent.parent / "README.md"


def test_the_examples_run(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.S)
    assert len(blocks) > 5
    script = "\n".join(blocks).replace("model.learn(100_000)", "model.learn(64)").replace("verbose=1", "verbose=0")
    script = re.sub(r"textgym\.register.*", "", script)  # of a module that the reader writes
    (tmp_path / "examples.py").write_text(script, "utf-8")
    write_jsonl(tmp_path / "qa.jsonl", ({"question": f"{i} + 1?", "answer": i + 1} for i in range(100)))
    for split in SPLITS:
        write_lines(tmp_path / f"{split}.en.gz", (f"{split} {i} cats" for i in range(30)))
        write_lines(tmp_path / f"{split}.de.gz", (f"{split} {i} Katzen" for i in range(30)))
    done = subprocess.run(
        [sys.executable, "examples.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(README.parent)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_file_it_names_is_there():
    text = README.read_text("utf-8")
    for path in re.findall(r"\]\(((?!http)[^)#]+)\)", text):
        assert (README.parent / path).exists(), path
    for module in re.findall(r"python -m ([\w.]+)", text):
        file = README.parent / module.replace(".", "/")
        assert file.with_suffix(".py").exists() or (file / "__main__.py").exists(), module
