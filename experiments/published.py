"""The table of the published experiments in the README, made of their records.

python -m experiments readme
"""

from __future__ import annotations

from pathlib import Path

from agents.files import replacing
from experiments import registry
from experiments.analysis import CLAIM, Analysis, concluded
from experiments.measurements import FOLDER as BENCHMARKS
from experiments.records import experiments_in, read_experiment
from experiments.tables import markdown_table
from experiments.tuning import settle

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
FOLDER = ROOT / "experiments" / "published"
BEGIN, END = "<!-- python -m experiments readme: -->", "<!-- :python -m experiments readme -->"


def table(folder: Path = FOLDER) -> str:
    """A line an experiment, Markdown; runs that are missing are left out, and counted.

    Raises:
        RecordError: records that cannot be used, all of them by name.
    """
    rows = []
    for name in experiments_in(folder / "records"):
        if name != BENCHMARKS:
            experiment = settle(folder / "records", registry.load(name))
            rows.append(_cells(Analysis(experiment, read_experiment(folder / "records", experiment, partial=True))))
    return "\n".join(markdown_table(["question", "expected", "found (95 % interval)", "verdict", "seeds", ""], rows))


def _cells(analysis: Analysis) -> list[str]:
    experiment, found = analysis.experiment, analysis.primary()
    link = f"[{experiment.name}](experiments/published/report.md#{experiment.name})"
    expected = f"{analysis.compared} {experiment.primary.expected}"
    if found is None:
        return [experiment.question, expected, "nothing yet", "not decided", "0", link]
    low, high = found.interval
    said = f"{analysis.measure}: {found.mean:+.4f} ({low:+.4f} to {high:+.4f})"
    seeds = len(found.differences)
    few = f", exploratory: fewer than {CLAIM} seeds" if seeds < CLAIM else ""
    verdict = concluded(experiment.primary, found.interval)
    of = f" of {experiment.seeds}" if seeds < experiment.seeds else ""
    return [experiment.question, expected, said, f"**{verdict}**{few}", f"{seeds}{of}", link]


def committed() -> str:
    """The table that the README has.

    Raises:
        ValueError: it has no place for one.
    """
    return _parts()[1].strip()


def _parts() -> tuple[str, str, str]:
    """The README before the table, the table, and after it."""
    text = README.read_text("utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{README} must have the lines {BEGIN} and {END} once each")
    before, _, rest = text.partition(BEGIN)
    table, _, after = rest.partition(END)
    return before, table, after


def write() -> None:
    """Put :func:`table` into the README.

    Raises:
        ValueError: it has no place for it.
        RecordError: see :func:`table`.
    """
    before, _, after = _parts()
    with replacing(README) as file:
        file.write(f"{before}{BEGIN}\n{table()}\n{END}{after}".encode())
