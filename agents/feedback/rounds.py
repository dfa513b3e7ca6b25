"""What came of the rounds of a loop: rounds.json, rounds.md, rounds.png."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents.files import replacing, write_json


def report_rounds(rows: list[dict[str, Any]], env: str, folder: Path) -> None:
    """Write the three files into ``folder``. ``rows``: as of :func:`agents.feedback.loop.loop`; ``env``: the id."""
    write_json(folder / "rounds.json", rows)
    lines = [f"# {env}: rounds of feedback", ""]
    lines += ["| round | judgements | true score | sampled | learned | KL | reward model's accuracy |"]
    lines += ["| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for row in rows:
        score = f"{row['score']:.3f} ± {row['score_se']:.3f}"
        rest = " | ".join(_number(row.get(name)) for name in ("sampled", "learned", "start_kl", "accuracy"))
        lines += [f"| {row['round']} | {row['judgements']:,} | {score} | {rest} |"]
    with replacing(folder / "rounds.md") as file:
        file.write(("\n".join(lines) + "\n").encode())
    _draw(rows, folder / "rounds.png")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _draw(rows: list[dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(11, 3), layout="constrained")
    left, middle, right = drawn.subplots(1, 3)
    judged = [row["judgements"] for row in rows]
    left.errorbar(judged, [r["score"] for r in rows], [r["score_se"] for r in rows], marker="o", label="true score")
    left.plot(judged, [r["sampled"] for r in rows], "^:", label="true score, sampled texts")
    later = [row for row in rows if row["learned"] is not None]
    left.plot([r["judgements"] for r in later], [r["learned"] for r in later], "s--", label="learned reward")
    left.set(xlabel="judgements", ylabel="of validation texts (± s.e.)")
    for i, row in enumerate(rows[1:]):  # what going away from the warm start gains, and loses
        far = [each["start_kl"] or 0.0 for each in row["curve"]]
        for name, said, style in (("score", "true", "o-"), ("learned", "learned", "s--")):
            values = [each[name] for each in row["curve"]]
            middle.plot(far, values, style, color=f"C{i}", ms=3, label=f"round {row['round']}, {said}")
    middle.set(xlabel="KL to the warm start (nats a text)", ylabel="of validation texts")
    known = [row for row in rows if row.get("accuracy") is not None]
    right.plot([r["judgements"] for r in known], [r["accuracy"] for r in known], "o-", label="reward model")
    if limit := [(r["judgements"], r["true_score"]) for r in known if r["true_score"] is not None]:
        right.plot(*zip(*limit, strict=True), "k:", label="true score")
    right.set(xlabel="judgements", ylabel="held-out accuracy")
    for ax in (left, middle, right):
        if ax.lines:
            ax.legend(frameon=False, fontsize=7)
    with replacing(path) as file:
        drawn.savefig(file, format="png", dpi=130, metadata={"Software": None})
