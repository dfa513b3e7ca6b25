"""The two arms that have one network begin as one, and are evaluated alike."""

from dataclasses import replace

import pytest

pytest.importorskip("stable_baselines3")

from experiments import arms  # noqa: E402
from experiments.registry import load  # noqa: E402


@pytest.mark.parametrize("seed", [1, 2])
def test_both_begin_with_the_same_weights_and_go_different_ways(seed, tmp_path):
    experiment = load("sb3_vs_transformer").tiny()
    longer = {"steps": 2048, "critic_start": 0}
    settings = {
        arm: {k: v for k, v in {**s, **longer}.items() if k in {*s, "steps"}} for arm, s in experiment.settings.items()
    }
    runs = {run.arm: run for run in replace(experiment, settings=settings).runs() if run.seed == seed}
    ours, theirs = (
        arms.perform(runs[f"same/{arm}"], tmp_path / arm, None).evaluations for arm in ("transformer", "sb3")
    )
    for column in ("greedy", "sampled", "length", "terms"):
        assert ours[0][column] == theirs[0][column]
    assert ours[-1]["tokens"] == theirs[-1]["tokens"] == 2048
    assert ours[-1]["sampled"] != ours[0]["sampled"] and theirs[-1]["sampled"] != theirs[0]["sampled"]  # both learn
