"""Figures from records: curves (every run thin, the interquartile mean thick, its interval a band), scores, profiles.

Colours are Okabe and Ito's and then Paul Tol's, which the colour-blind tell apart; each arm has its own dashes and
marker, for print.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.analysis import Analysis
from experiments.records import Record
from experiments.registry import Experiment, arm_of
from experiments.statistics import iqm, performance_profile

COLOURS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C510A", "#000000", "#882255", "#44AA99", "#999933", "#332288")
DASHES = ("-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (3, 1)), (0, (1, 3)))
MARKERS = "D^vPX*"
# the same in every figure
KNOWN = {
    "delta": ("#0072B2", "-", "o"),
    "terminal": ("#D55E00", "--", "s"),
    "copy_prompt": ("black", ":", "|"),
    "warm_start": ("0.45", "-.", "|"),
    "random": ("0.6", (0, (1, 4)), "|"),
}


def draw(experiment: Experiment, records: Sequence[Record], folder: Path) -> list[Path]:
    """``<name>-curves``, ``-scores`` and ``-profiles``, each as .png and .svg. The same records give the same bytes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    look = {"svg.hashsalt": "textgym", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False}
    with plt.rc_context({**look, "axes.spines.right": False}):
        analysis = Analysis(experiment, records)
        for name, made in (("curves", _curves), ("scores", _scores), ("profiles", _profiles)):
            if (figure := made(plt, analysis)) is None:
                continue
            for kind in ("png", "svg"):
                path = folder / f"{experiment.name}-{name}.{kind}"
                metadata = {"Date": None} if kind == "svg" else {"Software": None}
                figure.savefig(path, dpi=130, metadata=metadata)
                written.append(path)
            plt.close(figure)
    return written


def _style(analysis: Analysis, arm: str) -> dict:
    """Colour, dashes and marker of an arm: the same in every panel."""
    if arm in KNOWN:
        styles = KNOWN[arm]
    else:
        place = [each for each in analysis.arms if each not in KNOWN].index(arm)
        again, place = divmod(place, len(COLOURS))  # with the next dashes and marker, once the colours are used up
        styles = (COLOURS[place], DASHES[(place + again) % len(DASHES)], MARKERS[(place + again) % len(MARKERS)])
    return dict(zip(("color", "linestyle", "marker"), styles, strict=True))


def _curves(plt, analysis: Analysis):
    """A row of panels a column of the evaluations (of many panels: a row a panel), lines of no panel in each; None
    where no arm has a curve."""
    columns, panels = analysis.experiment.columns, dict(analysis.panels)
    if not any(analysis.is_curve(arm) for arms in panels.values() for arm in arms):
        return None
    if len(panels) > 1 and not any(map(analysis.is_curve, panels.get("", ()))):
        lines = panels.pop("", [])
        panels = {panel: [*lines, *arms] for panel, arms in panels.items()}
    side_by_side = len(panels) == 1
    upright = side_by_side or len(panels) > max(3, len(columns))  # a page is higher than wide
    shape = (len(panels), len(columns)) if upright else (len(columns), len(panels))
    size = (4.6 * shape[1] + 0.4, 3.3 * shape[0] + 0.9)
    figure, grid = plt.subplots(*shape, figsize=size, layout="constrained", squeeze=False)
    for i, (panel, arms) in enumerate(panels.items()):
        for k, (column, title) in enumerate(columns.items()):
            axes = grid[i, k] if upright else grid[k, i]
            _panel(axes, analysis, arms, column)
            axes.set_title(title if side_by_side else panel, fontsize=9)
            if not side_by_side and (upright or i == 0):
                axes.set_ylabel(title)
            if (i == len(panels) - 1) if upright else (k == len(columns) - 1):
                axes.set_xlabel("tokens of training")
    _legend(figure, grid, 4)
    figure.suptitle(f"{analysis.title}, every run drawn", fontsize=10)
    return figure


def _legend(figure, grid, columns: int) -> None:
    """One of all panels, below them."""
    handles = {label: h for axes in grid.flat for h, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    where = {"loc": "outside lower center", "ncols": min(columns, len(handles))}
    figure.legend(handles.values(), handles, frameon=False, **where)


def _panel(axes, analysis: Analysis, arms: Sequence[str], column: str) -> None:
    first = np.inf
    for arm in arms:
        runs = analysis.runs(arm)
        curves = [run.curve(column) for run in runs]
        if not runs or all(np.isnan(curve).all() for curve in curves):
            continue
        style = {**_style(analysis, arm_of(arm)), "markersize": 3}
        if not analysis.is_curve(arm):
            height = iqm(np.array([curve[-1] for curve in curves]))
            axes.axhline(height, label=arm_of(arm), linewidth=1.4, color=style["color"], linestyle=style["linestyle"])
            continue
        for run, curve in zip(runs, curves, strict=True):
            axes.plot(run.tokens, curve, color=style["color"], alpha=0.25, linewidth=0.6)
        tokens, middle, low, high = analysis.curve(arm, column)
        axes.plot(tokens, middle, label=arm_of(arm), linewidth=2.0, **style)
        axes.fill_between(tokens, low, high, color=style["color"], alpha=0.15, linewidth=0)
        first = min(first, tokens[tokens > 0].min())
    if np.isfinite(first):
        if axes.get_xlim()[1] > 20 * first:
            axes.set_xscale("symlog", linthresh=first, linscale=0.4)
            ticks = np.outer(10.0 ** np.arange(8), (1, 3)).ravel()
            axes.set_xticks([0.0, *ticks[(first <= ticks) & (ticks <= axes.get_xlim()[1])]])
        axes.xaxis.set_major_formatter(
            lambda x, _: f"{x / 1e6:g}M" if x >= 1e6 else f"{x / 1e3:g}k" if x >= 1e3 else f"{x:g}"
        )
    else:
        axes.set_xticks([])
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center")
    axes.grid(alpha=0.25, linewidth=0.5)


def _scores(plt, analysis: Analysis):
    """Left the score of each run, right the differences to the primary comparison's control, with their intervals."""
    panels = analysis.panels
    height = 0.9 + 0.36 * sum(len(arms) + 1 for arms in panels.values())
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, height), layout="constrained", sharey=True)
    control, places, labels, at = analysis.experiment.primary.control, [], [], 0.0
    for panel, arms in panels.items():
        if panel:
            left.text(0.0, at - 0.1, panel, transform=left.get_yaxis_transform(), weight="bold", va="center")
            at += 0.8
        for arm in arms:
            scores = analysis.scores(arm)
            if not len(scores):
                continue
            style = _style(analysis, arm_of(arm))
            left.plot(scores, np.full(len(scores), at), style["marker"], color=style["color"], alpha=0.45, markersize=4)
            middle, (low, high) = analysis.estimate(arm)
            left.plot([low, high], [at, at], color=style["color"], linewidth=2)
            left.plot(middle, at, "|", color=style["color"], markersize=14, markeredgewidth=2.5)
            pair = analysis.difference(arm, control, panel)
            if pair is not None and analysis.experiment.settings[arm]["agent"] != "baseline":
                far = np.isfinite(pair.interval).all()
                right.plot(pair.differences, np.full(len(pair.differences), at), ".", color=style["color"], alpha=0.45)
                if far:
                    right.plot(pair.interval, [at, at], color=style["color"], linewidth=2)
                right.plot(pair.mean, at, "|", color=style["color"], markersize=14, markeredgewidth=2.5)
            places.append(at)
            labels.append(arm_of(arm))
            at += 1.0
        at += 0.4
    left.set_yticks(places, labels)
    left.invert_yaxis()
    right.axvline(0.0, color="black", linewidth=0.8)
    left.set_xlabel("score of each run; IQM, 95 % bootstrap interval")
    right.set_xlabel(f"minus {control}, paired by seed; mean, 95 %")
    for axes in (left, right):
        axes.grid(axis="x", alpha=0.25, linewidth=0.5)
    figure.suptitle(f"{analysis.title}, every run drawn", fontsize=10)
    return figure


def _profiles(plt, analysis: Analysis):
    """Performance profiles (Agarwal et al. 2021), one panel each: how many runs of an arm have more than a score."""
    panels = analysis.panels
    width = 3.4 * len(panels) + 1.2
    figure, grid = plt.subplots(1, len(panels), figsize=(width, 4.2), layout="constrained", squeeze=False)
    for axes, (panel, arms) in zip(grid[0], panels.items(), strict=True):
        scores = {arm: analysis.scores(arm) for arm in arms if len(analysis.scores(arm))}
        every = np.concatenate(list(scores.values()))
        margin = 0.05 * max(np.ptp(every), 1e-9)
        thresholds = np.unique([every.min() - margin, *every, every.max() + margin])  # shares change at scores alone
        for arm, of_arm in scores.items():
            style = _style(analysis, arm_of(arm))
            line = {"color": style["color"], "linestyle": style["linestyle"], "label": arm_of(arm)}
            axes.step(thresholds, performance_profile(of_arm, thresholds), where="post", linewidth=1.6, **line)
        axes.set_title(panel, fontsize=9)
        axes.set_xlabel("score")
        axes.locator_params(axis="x", nbins=5)
        axes.grid(alpha=0.25, linewidth=0.5)
    grid[0, 0].set_ylabel("share of runs above it")
    _legend(figure, grid, int(width / 1.5))
    figure.suptitle(analysis.title, fontsize=10)
    return figure
