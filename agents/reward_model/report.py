"""How good a reward model is on judgements that it was not trained on: numbers, Markdown, one figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.files import replacing
from agents.reward_model.judged import Judged
from agents.reward_model.losses import FIRST, TIE, davidson
from agents.reward_model.network import ScoreNetwork
from agents.reward_model.training import prefix_scores, score_at

BINS = 10  # of the calibration curve
PREFIXES = 10  # lengths at which prefixes are compared


@torch.no_grad()
def held_out(members: Sequence[ScoreNetwork], judged: Judged, items: np.ndarray) -> dict[str, Any]:
    """What the ensemble, the mean of whose probabilities is taken, says of the judgements ``items``: JSON values.

    ``comparisons``: ``decided`` is how many chose one text, ``accuracy`` the share of these that is predicted,
    ``accuracy_se`` its standard error, ``log_loss`` in nats over all three outcomes, ``calibration`` [predicted
    probability, share, count] by tenths, ``by_prefix`` [tokens, accuracy] where both texts are cut to so many. Where
    true scores are known: ``true_score``, the share of the choices that agree with them, and ``against_true_score``,
    the share of those pairs that the model orders as they do.
    ``ratings``: ``rmse`` of ratings in [0, 1], and ``rmse_of_mean``, that of always saying the mean.
    ``marks``: ``accuracy``, the share of marked tokens at which the score rises (good) or falls (bad).
    """
    compared, rated = len(judged.pairs), len(judged.pairs) + len(judged.rated)
    found: dict[str, Any] = {}
    if len(at := items[items < compared]):
        found["comparisons"] = _comparisons(members, judged, torch.from_numpy(at))
    if len(at := items[(items >= compared) & (items < rated)] - compared):
        texts, ratings = judged.rated[at], judged.ratings[at].numpy()
        scores = [score_at(member, judged, texts, judged.lengths[texts]).sigmoid() for member in members]
        predicted = torch.stack(scores).mean(0).cpu().numpy()
        rmse, of_mean = (float(np.sqrt(np.mean((p - ratings) ** 2))) for p in (predicted, judged.ratings.mean().item()))
        found["ratings"] = {"count": len(at), "rmse": rmse, "rmse_of_mean": of_mean}
    if len(at := items[items >= rated] - rated):
        changes = sum(prefix_scores(member, judged, judged.marked[at])[0].diff(dim=1).cpu() for member in members)
        signs = judged.signs[at]
        right = (changes.sign() == signs)[signs != 0].float()
        found["marks"] = {"tokens": len(right), "accuracy": float(right.mean()) if len(right) else None}
    return found


def _comparisons(members: Sequence[ScoreNetwork], judged: Judged, at: torch.Tensor) -> dict[str, Any]:
    pairs, outcomes = judged.pairs[at], judged.outcomes[at].numpy()
    decided = outcomes != TIE
    first = outcomes[decided] == FIRST

    def predicted(sizes: torch.Tensor) -> np.ndarray:
        """Probabilities (k, 3) of prefixes of so many tokens."""
        each = []
        for member in members:
            scores = score_at(member, judged, pairs, sizes)
            each.append(davidson(scores[:, 0] - scores[:, 1], member.log_nu).exp())
        return torch.stack(each).mean(0).double().cpu().numpy()

    p = predicted(judged.lengths[pairs])
    count = int(decided.sum())
    found: dict[str, Any] = {"count": len(p), "decided": count, "ties": len(p) - count}
    found["log_loss"] = float(-np.log(p[np.arange(len(p)), outcomes]).mean())
    if not count:
        return found
    p = p[decided]
    share = p[:, 0] / (p[:, 0] + p[:, 1])
    found["accuracy"] = _accuracy(share, first)
    found["accuracy_se"] = float(np.sqrt(found["accuracy"] * (1 - found["accuracy"]) / count))
    tenth = np.minimum((share * BINS).astype(int), BINS - 1)
    groups = [tenth == i for i in range(BINS) if (tenth == i).any()]
    found["calibration"] = [[float(share[g].mean()), float(first[g].mean()), int(g.sum())] for g in groups]
    longest = int(judged.lengths[pairs].max())
    found["by_prefix"] = []
    for size in np.unique(np.linspace(1, longest, min(PREFIXES, longest)).round().astype(int)).tolist():
        cut = predicted(torch.full_like(pairs, size))[decided]
        found["by_prefix"].append([size, _accuracy(cut[:, 0] / (cut[:, 0] + cut[:, 1]), first)])
    differences = np.subtract(*judged.scores[pairs.numpy()][decided].T)
    if not np.isnan(differences).any():
        found["true_score"] = _accuracy(0.5 + np.sign(differences) / 2, first)
        if (known := differences != 0).any():
            found["against_true_score"] = _accuracy(share[known], differences[known] > 0)
    return found


def _accuracy(share: np.ndarray, first: np.ndarray) -> float:
    """Of probabilities (k,) of the first, who cannot decide being right half of the time."""
    return float(np.where(share == 0.5, 0.5, (share > 0.5) == first).mean())


def markdown(report: dict[str, Any]) -> str:
    """A page of what :func:`agents.reward_model.train.train` returns."""
    config, rows = report["config"], report["curve"]
    counts = ", ".join(f"{count:,} {kind}" for kind, count in report["counts"].items())
    held = "prompts" if report["held_out_by_prompt"] else "judgements"
    lines = [f"# Reward model of {config['task']}", ""]
    lines += [f"{counts} of {report['texts']:,} texts; {report['held_out']:,} of them held out, by {held}. An ensemble"]
    lines += [f"of {config['members']}; data {config['data'][:12]}, vocabulary {config['vocabulary'][:12]}.", ""]
    lines += [f"Left out: {count:,} {why}." for why, count in report["left_out"].items()]
    lines += [f"Look at the annotator {odd}." for odd in report["annotators"]]
    if "comparisons" in rows[-1]:
        lines += [
            "",
            "| judgements trained on | members | held-out accuracy | log-loss (nats) |",
            "| ---: | ---: | ---: | ---: |",
        ]
        for row in rows:
            of = row["comparisons"]
            accuracy = f"{of['accuracy']:.3f} ± {of['accuracy_se']:.3f}" if "accuracy" in of else "-"
            lines += [f"| {row['trained_on']:,} | {row['members']} | {accuracy} | {of['log_loss']:.3f} |"]
        of = rows[-1]["comparisons"]
        if "true_score" in of:
            lines += [
                "",
                f"The true score agrees with {of['true_score']:.3f} of the held-out choices.",
            ]
        if "against_true_score" in of:
            lines += [f"The model orders {of['against_true_score']:.3f} of these pairs as the true score does."]
        if "by_prefix" in of:
            lines += ["", "| tokens of both texts | accuracy |", "| ---: | ---: |"]
            lines += [f"| {size} | {accuracy:.3f} |" for size, accuracy in of["by_prefix"]]
    for kind in ("ratings", "marks"):
        if kind in rows[-1]:
            lines += [
                "",
                f"Held-out {kind}: " + ", ".join(f"{k} {_number(v)}" for k, v in rows[-1][kind].items()) + ".",
            ]
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"


def figure(report: dict[str, Any], path: Path) -> None:
    """Accuracy and log-loss by the number of judgements, calibration, accuracy by the length of prefixes, as PNG.

    Without held-out comparisons nothing is drawn.
    """
    rows = [row for row in report["curve"] if "accuracy" in row.get("comparisons", {})]
    if not rows:
        return
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(11, 2.9), layout="constrained")
    axes = drawn.subplots(1, 4)
    sizes = [row["trained_on"] for row in rows]
    last = rows[-1]["comparisons"]
    accuracies, errors = ([row["comparisons"][name] for row in rows] for name in ("accuracy", "accuracy_se"))
    axes[0].errorbar(sizes, accuracies, errors, marker="o", capsize=2)
    axes[1].plot(sizes, [row["comparisons"]["log_loss"] for row in rows], marker="o")
    for ax, label in ((axes[0], "held-out accuracy (± s.e.)"), (axes[1], "held-out log-loss (nats)")):
        ax.set(xscale="log", xlabel="judgements trained on", ylabel=label)
    predicted, share, counts = np.array(last["calibration"]).T
    axes[2].plot([0, 1], [0, 1], color="0.7", lw=1)
    axes[2].scatter(predicted, share, s=4 + 60 * counts / counts.max())
    axes[2].set(xlabel="predicted P(first is better)", ylabel="share of choices", xlim=(0, 1), ylim=(0, 1))
    axes[3].plot(*np.array(last["by_prefix"]).T, marker="o")
    axes[3].set(xlabel="tokens of both texts", ylabel="held-out accuracy")
    for ax in (axes[0], axes[3]):
        ax.axhline(0.5, color="0.7", lw=1)
        if "true_score" in last:
            ax.axhline(last["true_score"], color="black", ls=":", label="true score")
            ax.legend(frameon=False, fontsize=7)
    with replacing(path) as file:
        drawn.savefig(file, format="png", dpi=130, metadata={"Software": None})
