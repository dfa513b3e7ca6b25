"""Arms paid by a reward model: what their records have, and that they start from the policy that was judged."""

from dataclasses import replace

import pytest

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from experiments import arms  # noqa: E402
from experiments.registry import load  # noqa: E402


@pytest.mark.parametrize(
    "name, chain, measured",
    [
        pytest.param(
            "overoptimisation", ("spelling/warm_start", "spelling/judged", "spelling/kl_and_penalty"), "log_loss",
            marks=pytest.mark.slow,
        ),
        ("feedback_budget", ("warm_start", "ratings/judged_50", "ratings/50"), "rmse_of_mean"),
        ("feedback_budget", ("warm_start", "spans/judged_50", "spans/50"), "accuracy"),
    ],
)  # fmt: skip
def test_a_policy_is_paid_by_what_was_learnt_from_judgements_of_its_start(tmp_path, name, chain, measured):
    experiment = replace(load(name).tiny(), seeds=1)
    made = {}
    for run in experiment.runs():
        if run.arm in chain:
            folder = tmp_path / run.arm.replace("/", "-")
            folder.mkdir()
            start = None if run.init is None else made[run.init.arm].checkpoint
            made[run.arm] = arms.perform(run, folder, start)
    start, judged, last = (made[arm] for arm in chain)
    assert arms.policy_digest(judged.checkpoint) == arms.policy_digest(start.checkpoint)
    row = judged.evaluations[-1]
    assert row["judgements"] == 40
    assert row[measured] > 0
    first, *_, end = last.evaluations
    assert first["greedy"] == row["greedy"] and 0 < end["learned"] < 1 and abs(end["start_kl"]) < 10
    assert str(tmp_path) not in str(last.config)  # a record says nothing of where it was made
