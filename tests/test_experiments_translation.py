"""The translation experiment, from parallel files to its table."""

import pytest

pytest.importorskip("stable_baselines3")
pytest.importorskip("sacrebleu")

from own_data import write_lines

from experiments.translation import TranslationArgs, main


@pytest.mark.slow
def test_from_parallel_files_to_a_table(tmp_path):
    for name in ("train", "val", "test"):
        write_lines(tmp_path / f"{name}.en", (f"{name} {i} cats and {i % 7}" for i in range(40)))
        write_lines(tmp_path / f"{name}.de", (f"{name} {i} Katzen und {i % 7}" for i in range(40)))
    args = TranslationArgs(
        data=tmp_path, splits={"validation": "val"}, suffix="", updates=3, steps=400, seeds=1, folder=tmp_path / "runs"
    )
    lines = main(args).read_text().splitlines()
    arms = {line.split(" | ")[0].strip("| "): line.split(" | ")[1:] for line in lines if line.startswith("| ")}
    assert lines[0].startswith("en -> de, 40 test sentences")
    assert [name for name in arms if name] == ["likelihood", "terminal", "delta"]
    assert all(0.0 <= float(cell.split(" ")[0].strip(" |")) <= 100.0 for cell in arms["delta"][1:3])
    best = tmp_path / "runs" / "likelihood" / "last.pt"
    before = best.stat().st_mtime_ns
    assert main(args).read_text().splitlines()[2:] == lines[2:]  # what is there is not made again
    assert best.stat().st_mtime_ns == before
