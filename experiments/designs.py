"""Sets of arms that several experiments have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TEMPERATURES = [0.1, 0.2, 0.4, 0.6, 0.8, 1.0]  # that a start is sampled at, to choose the best


def from_one_warm_start(
    env: str,
    rewards: Mapping[str, Any],
    *,
    budget: int,
    updates: int,
    eval_episodes: int,
    network: Mapping[str, Any],
    trainer: Mapping[str, Any],
    env_kwargs: Mapping[str, Any] | None = None,
    panel: str = "",
) -> dict[str, dict[str, Any]]:
    """Rewards against all controls; the arms of a seed start from one checkpoint and see as many tokens of text.

    Args:
        env: its id.
        rewards: arm -> reward.
        budget: tokens of each arm behind the warm start.
        updates: of the warm start, 64 references each.
        network: flags of the Transformer trainer that make its network.
        trainer: its other flags.
        env_kwargs: of the environment.
        panel: of all these arms.
    """
    seen = {"env": env, "eval_episodes": eval_episodes, **({"env_kwargs": env_kwargs} if env_kwargs else {})}
    start = f"{panel}/warm_start" if panel else "warm_start"
    of_likelihood = {"agent": "likelihood", "batch": 64, **seen, **network}
    reinforced = {"agent": "transformer", "init": start, "steps": budget, **seen, **network, **trainer}
    arms = {
        "copy_prompt": {"agent": "baseline", "baseline": "copy_prompt", **seen},
        "warm_start": {**of_likelihood, "updates": updates, "rate": 1e-3},
        "tuned_temperature": {"agent": "temperature", "init": start, "temperatures": TEMPERATURES, **seen},
        "more_likelihood": {**of_likelihood, "init": start, "tokens": budget, "rate": 5e-4},
        **{arm: {**reinforced, "reward": reward} for arm, reward in rewards.items()},
    }
    return {f"{panel}/{arm}" if panel else arm: settings for arm, settings in arms.items()}


def shuffled(arm: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Controls of an arm of the Transformer trainer: each text's pay in random order; that of another text."""
    return {name: {**arm, "redistribute": name} for name in ("shuffled_time", "shuffled_texts")}


_TEXT = {"eval_episodes": 8}
SMALL = {**_TEXT, "layers": 1, "width": 16, "evaluations": 2}
SMOKE: dict[str, dict[str, Any]] = {
    "baseline": _TEXT,
    "likelihood": {**SMALL, "updates": 2},
    "temperature": {**_TEXT, "temperatures": [0.5, 1.0]},
    "transformer": {**SMALL, "steps": 256, "n_envs": 8, "critic_start": 80},
    "sb3": {**_TEXT, "steps": 256, "n_envs": 4, "evaluations": 2, "warm_start": 0},
}
"""Settings over those of each agent that make a run tiny."""

SMOKE_LEARNED = {
    agent: {**settings, "env": "textgym/Copy-v0", "env_kwargs": {}}
    for agent, settings in {
        **SMOKE,
        "experiments.learned:judged": {"eval_episodes": 8, "judgements": 40, "epochs": 1},
        "experiments.learned:learned": SMOKE["transformer"],
    }.items()
}
"""The same where a reward model learns from judgements: in a task in which the texts of a beginner differ in score."""
