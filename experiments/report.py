"""The report, Markdown and one self-contained HTML page, from records alone; every number names its records."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from agents.files import replacing
from experiments import plots
from experiments.analysis import CLAIM, COUNTED, Analysis
from experiments.measurements import FOLDER as BENCHMARKS
from experiments.measurements import Measurement, newest
from experiments.records import SUFFIX, Record, read_experiment, read_trials
from experiments.registry import TUNING_SEED, Experiment, arm_of
from experiments.scores import mean_greedy
from experiments.tables import markdown_table
from experiments.tuning import settle, trial_scores

Table = tuple[str, list[str], list[list[str]]]
"""Caption, titles, rows."""
SEEN = {
    "learned": "score of the greedy texts",
    "start_kl": "KL to the warm start (nats)",
    "accuracy": "held-out accuracy",
    "bayes_accuracy": "accuracy of the true score",
    "log_loss": "log-loss",
    "rmse": "RMSE of ratings",
    "rmse_of_mean": "RMSE of their mean",
}


@dataclass(frozen=True)
class Section:
    """One experiment or benchmark: what both pages say."""

    name: str
    page: str  # its docstring
    verdict: str
    tables: list[Table]
    figures: list[Path]  # .svg
    notes: list[str]
    files: list[str] = field(default_factory=list)


def write(
    experiments: Sequence[Experiment], folder: Path, *, partial: bool = False, benchmarks: bool = False
) -> list[Path]:
    """report.md, report.html and figures/ in ``folder``, from its records/.

    Args:
        partial: see :func:`~experiments.records.read_experiment`.
        benchmarks: those that have records there, too; each also has a page of its own.

    Raises:
        RecordError: records that cannot be used, all of them by name.
    """
    sections = []
    for experiment in (settle(folder / "records", experiment) for experiment in experiments):
        found = read_experiment(folder / "records", experiment, partial)
        if found:
            trials = read_trials(folder / "records", experiment)
            figures = plots.draw(experiment, found, folder / "figures")
            sections.append(section(experiment, found, trials, [path for path in figures if path.suffix == ".svg"]))
    measured = newest(folder / "records") if benchmarks else []
    sections += [of_benchmark(each) for each in measured]
    pages = {"report.md": markdown(sections), "report.html": page(sections)}
    pages |= {f"benchmark-{each.name}.md": each.page() for each in measured}
    for name, text in pages.items():
        with replacing(folder / name) as file:
            file.write(text.encode())
    return [folder / name for name in pages]


def of_benchmark(measured: Measurement) -> Section:
    """What the newest record of a benchmark says."""
    tables = [(table.caption, [title for title, _ in table.columns], table.cells()) for table in measured.tables]
    page = measured.record.header["page"]
    files = [f"{BENCHMARKS}/{measured.record.path.name}"]
    return Section(f"benchmark-{measured.name}", page, measured.about, tables, [], [], files)


def section(
    experiment: Experiment, records: Sequence[Record], trials: Mapping[str, Mapping[int, Record]], figures: list[Path]
) -> Section:
    """What the records of one experiment say; ``trials`` by arm and number."""
    analysis = Analysis(experiment, records)
    missing = [run.name for run in experiment.runs() if (run.arm, run.seed) not in {(r.arm, r.seed) for r in records}]
    notes = [f"Not run: {', '.join(missing)}."] if missing else []
    there = {path.name for path in records[0].path.parent.glob(f"*{SUFFIX}")}
    tried = [record for arm in experiment.searched() for _, record in sorted(trials.get(arm, {}).items())]
    beyond = there - {record.path.name for record in (*records, *tried)}
    beyond -= {f"{run.name}{SUFFIX}" for run in experiment.starts()}
    if beyond:
        notes.append(f"{len(beyond)} more records, of other seeds or panels, are there and are not used.")
    notes.append(
        "Score: what the experiment judges a run by (IQM: interquartile mean over seeds; 95 % stratified bootstrap). "
        "Differences are paired by seed: mean, 95 % studentised bootstrap interval, two-sided sign-flip p. P(better): "
        "that a run of the one beats one of the other, of whatever seeds. An interval far wider than the differences: "
        "a run or two are unlike the others, and the bootstrap knows no end. Only the primary comparison was declared "
        f"beforehand; all others, and any with fewer than {CLAIM} seeds, are exploratory. "
        "Collapsed: the last greedy score is below half of the run's best (exact interval of the share); of fewer than "
        f"{COUNTED} runs that is exploratory, too."
    )
    if analysis.is_yes_or_no:
        notes.append(
            "The score is a yes or no: the share of runs stands for the interquartile mean; intervals are exact."
        )
    notes.append(sources(records))
    own = [record for record in (*records, *tried) if "made_as" not in record.header]
    hours = sum(record.header["seconds"] for record in own) / 3600
    also = f" and {len(tried)} trials" if tried else ""
    shared = len(records) + len(tried) - len(own)
    of_others = f"; {shared} of them are runs of the same settings and seed elsewhere, not made again" if shared else ""
    notes.append(f"{len(records)} runs{also}, {hours:.2f} core-hours{of_others}.")
    of_run = "{0.path.parent.name}/{0.path.name}: id {0.header[id]}, data {0.header[fingerprint]}"
    files = [of_run.format(record) for record in (*records, *tried)]
    controls = dict.fromkeys((experiment.primary.control, "warm_start"))  # is it better than where it began?
    tables = [_arms(analysis), _seen(analysis), *(_differences(analysis, control) for control in controls)]
    tables += [samples(analysis, panel) for panel in analysis.panels]
    tables += [_trials(experiment, trials)] if tried else []
    tables = [table for table in tables if table[2]]
    return Section(experiment.name, experiment.page, analysis.verdict(), tables, figures, notes, files)


def _arms(analysis: Analysis) -> Table:
    titles = [
        "arm",
        "seeds",
        "score (IQM)",
        "95 %",
        "greedy",
        "sampled",
        "mean of curve",
        "entropy",
        "length",
        "collapsed",
    ]
    rows = []
    for arm in analysis.experiment.settings:
        runs = analysis.runs(arm)
        if not runs:
            continue
        middle, (low, high) = analysis.estimate(arm)
        count, of, (least, most) = analysis.collapses(arm)
        means = [_mean(run.last(name) for run in runs) for name in ("greedy", "sampled")]
        others = [_mean(run.last(name) for run in runs) for name in ("entropy", "length")]
        curve = f"{mean_greedy(runs).mean():.4f}" if analysis.is_curve(arm) else ""
        collapse = f"{count} of {of} [{least:.2f}, {most:.2f}]" if analysis.is_curve(arm) else ""
        rows.append(
            [arm, str(len(runs)), f"{middle:.4f}", f"[{low:.4f}, {high:.4f}]", *means, curve, *others, collapse]
        )
    return "Arms (greedy, sampled, entropy, length: means of the last evaluations)", titles, rows


def _seen(analysis: Analysis) -> Table:
    """What evaluations of reward models have, and of policies that are paid by them."""
    arms = {arm: analysis.runs(arm) for arm in analysis.experiment.settings}
    means = {arm: [_mean(run.last(name) for run in runs) for name in SEEN] for arm, runs in arms.items()}
    there = [i for i in range(len(SEEN)) if any(row[i] for row in means.values())]
    rows = [[arm, *(row[i] for i in there)] for arm, row in means.items() if any(row)]
    return "Of reward models (means of the last evaluations)", ["arm", *(list(SEEN.values())[i] for i in there)], rows


def _differences(analysis: Analysis, control: str) -> Table:
    primary = analysis.experiment.primary
    titles = ["comparison", "difference", "95 %", "p", "pairs", "P(better)"]
    rows = []
    for panel in analysis.panels:
        for arm in analysis.panels[panel]:
            found = analysis.difference(arm, control, panel)
            if found is None:
                continue
            low, high = found.interval
            where = f"{panel}: " if panel else ""
            declared = (primary.arm, primary.control) == (found.arm, control) and primary.panel in (None, panel)
            bold = "**" if declared else ""
            rows.append([
                f"{bold}{where}{found.arm} - {found.control}{bold}", f"{found.mean:+.4f}", f"[{low:+.4f}, {high:+.4f}]",
                f"{found.p:.3g}", str(len(found.differences)), f"{found.improvement:.2f}",
            ])  # fmt: skip
    return f"Differences to {control}, by seed", titles, rows


def _trials(experiment: Experiment, trials: Mapping[str, Mapping[int, Record]]) -> Table:
    """The point that each arm's runs have, and what was gained by choosing."""
    rows = []
    for arm in experiment.searched():
        scores = trial_scores(experiment, [record for _, record in sorted(trials.get(arm, {}).items())])
        finite = scores[np.isfinite(scores)]
        diverged = f", {len(scores) - len(finite)} diverged" if len(finite) < len(scores) else ""
        point = experiment.chosen.get(arm, {})
        chosen = ", ".join(f"{flag.rpartition('.')[2]} {value}" for flag, value in point.items())
        numbers = [f"{of(finite):.4f}" if len(finite) else "" for of in (np.max, np.median, np.min)]
        rows.append([arm, f"{len(scores)} of {experiment.trials}{diverged}", chosen, *numbers])
    caption = f"Trials (seed {TUNING_SEED}, judged on other episodes than all other numbers here)"
    return caption, ["arm", "trials", "chosen", "its score", "median score", "worst score"], rows


def samples(analysis: Analysis, panel: str, arms: Sequence[str] | None = None) -> Table:
    """Texts of the runs with the first seed, where their records have some.

    Args:
        panel: "" where there are none.
        arms: names without panels; None: all of the panel.
    """
    chosen = [arm for arm in analysis.panels[panel] if arms is None or arm_of(arm) in arms]
    found = [run for arm in chosen for run in analysis.runs(arm)[:1] if "samples" in run.header]
    texts = [run.header["samples"] for run in found]
    columns = [texts[0][name] for name in ("prompt", "reference", "before")] if texts else []
    columns += [each["after"] for each in texts]
    rows = [[_code(text) for text in row] for row in zip(*columns, strict=True)]
    seed = f"seed {found[0].seed}" if found else "no seed"
    caption = f"Texts{f' ({panel})' if panel else ''} before and after training, {seed}, the likeliest tokens"
    return caption, ["prompt", "reference", "before", *(arm_of(run.arm) for run in found)], rows


def _code(text: str) -> str:
    """A text as code in a cell of a table."""
    text = "".join(c if c.isprintable() else " " for c in text).replace("|", "¦").replace("`", "'")
    return f"`{text}`" if text else ""


def _mean(values) -> str:
    given = [value for value in values if np.isfinite(value)]
    return f"{np.mean(given):.4f}" if given else ""


def sources(records: Sequence[Record]) -> str:
    """Versions and data that the records name."""
    versions = {", ".join(f"{k} {v}" for k, v in (r.header["versions"] or {}).items()) for r in records}
    data = sorted({str(r.header["fingerprint"]) for r in records if r.header["fingerprint"]})
    return f"Data and vocabulary {', '.join(data) or 'none'}; {' / '.join(sorted(versions - {''})) or 'no versions'}."


# -- the pages -------------------------------------------------------------------------------------

INTRODUCTION = (
    "Written by `python -m experiments report` from the records alone. True scores, never what was paid; fixed "
    "validation episodes, the same for every arm and seed."
)


def markdown(sections: Sequence[Section]) -> str:
    """The report as Markdown, figures beside it."""
    lines = ["# Experiments", "", INTRODUCTION, ""]
    lines += [f"- [{s.name}](#{s.name}): {s.verdict}" for s in sections]
    for each in sections:
        lines += ["", f"## {each.name}", "", each.page, "", each.verdict, ""]
        lines += [f"![{path.stem}](figures/{path.with_suffix('.png').name})\n" for path in each.figures]
        for caption, titles, rows in each.tables:
            lines += [f"{caption}:", "", *markdown_table(titles, rows), ""]
        lines += [note + "\n" for note in each.notes]
        lines += [f"<details><summary>Its {len(each.files)} records</summary>", ""]
        lines += [f"- `records/{file}`" for file in each.files] + ["", "</details>"]
    return "\n".join(lines) + "\n"


STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; font-variant-numeric: tabular-nums; font-size: .85rem; }
th, td { border-bottom: 1px solid #ddd; padding: .25rem .6rem; text-align: left; white-space: nowrap; }
.wide { overflow-x: auto; } svg { max-width: 100%; height: auto; } .verdict { border-left: 4px solid #0072B2;
padding-left: .8rem; } pre { white-space: pre-wrap; font: inherit; } details { font-size: .8rem; }
"""


def page(sections: Sequence[Section]) -> str:
    """The report as one HTML page that needs no other file."""
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Experiments</title>",
        f"<meta name='viewport' content='width=device-width'><style>{STYLE}</style><h1>Experiments</h1>",
        f"<p>{_inline(INTRODUCTION)}</p><ul>",
        *(f"<li><a href='#{s.name}'>{s.name}</a>: {_inline(s.verdict)}</li>" for s in sections),
        "</ul>",
    ]
    for each in sections:
        parts += [f"<h2 id='{each.name}'>{each.name}</h2><pre>{_inline(each.page)}</pre>"]
        parts += [f"<p class='verdict'>{_inline(each.verdict)}</p>"]
        parts += [_svg(path) for path in each.figures]
        for caption, titles, rows in each.tables:
            head = "".join(f"<th>{_inline(title)}</th>" for title in titles)
            body = "".join("<tr>" + "".join(f"<td>{_inline(c)}</td>" for c in row) + "</tr>" for row in rows)
            parts += [f"<p>{_inline(caption)}:</p><div class='wide'><table><tr>{head}</tr>{body}</table></div>"]
        parts += [f"<p>{_inline(note)}</p>" for note in each.notes]
        files = "".join(f"<li>{_inline(f'records/{file}')}</li>" for file in each.files)
        parts += [f"<details><summary>Its {len(each.files)} records</summary><ul>{files}</ul></details>"]
    return "\n".join(parts) + "\n"


def _svg(path: Path) -> str:
    """A figure to stand in the page; its ids are made its own, since all figures share the page's."""
    text = re.sub(r"^.*?(?=<svg)", "", path.read_text(), flags=re.DOTALL)
    return re.sub(r'(id="|#)', rf"\g<1>{path.stem}-", text)


def _inline(text: str) -> str:
    """**bold** and `code`."""
    text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", html.escape(text))
    return re.sub(r"`+(.+?)`+", r"<code>\1</code>", text)
