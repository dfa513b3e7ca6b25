"""When runs are evaluated, what an evaluation says of the reward, and starting from another run's policy."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents.baselines import CopyPrompt, Random
from agents.evaluation import evaluate, evaluation_env
from agents.runs import due, read_evaluations
from agents.transformer.advantages import gae
from agents.transformer.checkpoints import load_policy
from agents.transformer.critic import fit_values
from agents.transformer.model import Decoder, DecoderConfig
from agents.transformer.settings import TrainArgs
from agents.transformer.train import train
from agents.transformer.trainer import Trainer

SMALL = {
    "env": "Copy-v0",
    "layers": 1,
    "width": 16,
    "n_envs": 8,
    "eval_episodes": 8,
    "progress": False,
    "device": "cpu",
}


def test_evaluations_are_due_every_so_often_or_at_given_tokens():
    grid = range(0, 1000, 48)
    assert [b for a, b in zip(grid, grid[1:], strict=False) if due(a, b, 300)] == [336, 624, 912]
    assert [b for a, b in zip(grid, grid[1:], strict=False) if due(a, b, 300, (50, 60, 480))] == [96, 480]


def test_the_terms_of_a_reward_add_up_to_what_was_paid():
    reward = ["terminal", {"name": "delta", "metric": "length", "weight": 0.1}]
    env = evaluation_env("textgym/Copy-v0", num_envs=4, reward=reward)
    for agent in (Random(env.task), CopyPrompt(env.task)):
        found = evaluate(agent, env, 10)
        assert found.returns == pytest.approx([sum(paid.values()) for paid in found.terms])
        assert [paid["terminal:character_match"] for paid in found.terms] == pytest.approx(found.scores.tolist())
        summary = found.summary()
        assert summary["term_terminal:character_match"] == pytest.approx(summary["score"])
    assert summary["term_delta:character_count"] == pytest.approx(0.5)
    assert found.records()[0]["terms"] == found.terms[0]


def test_a_run_starts_from_the_policy_of_another(tmp_path):
    first = train(TrainArgs(**SMALL, steps=96, folder=tmp_path / "first"))
    start = tmp_path / "first" / "last.pt"
    args = {**SMALL, "steps": 480, "init": start, "eval_at": (100, 200), "seed": 5, "folder": tmp_path / "second"}
    second = train(TrainArgs(**args))
    assert second.evaluations[0]["score"] == first.evaluations[-1]["score"]
    assert [row["steps"] for row in second.evaluations] == [0, 144, 240, 480]
    table = read_evaluations(tmp_path / "second")
    assert [row["term_delta:character_match"] for row in table] == pytest.approx([row["return"] for row in table])
    assert table[0]["entropy"] is None and all(row["entropy"] > 0 and row["kl"] is not None for row in table[1:])
    ours, theirs = (load_policy(tmp_path / name / "last.pt")[0].state_dict() for name in ("second", "first"))
    assert any(not np.array_equal(ours[name], theirs[name]) for name in ours)
    # resumed it is the same run, and goes on from its own policy
    again = train(TrainArgs(**{**args, "resume": True}))
    assert again.evaluations == second.evaluations
    with pytest.raises(ValueError, match="of another architecture"):
        train(TrainArgs(**{**args, "width": 32, "folder": tmp_path / "third"}))
    with pytest.raises(ValueError, match="init was"):
        train(TrainArgs(**{**args, "init": None, "resume": True}))


@pytest.mark.parametrize("reward", ["delta", "terminal"])
def test_values_are_fitted_and_no_token_changes_its_probability(reward):
    env = gym.make_vec("textgym/Copy-v0", num_envs=64, autoreset_mode="SameStep", reward=reward, copy=False)
    torch.manual_seed(0)
    policy = Decoder(DecoderConfig(env.vocabulary.size, 1 + env.prompt_length + env.budget, width=32))
    before = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
    trainer = Trainer(TrainArgs(env="Copy-v0", n_envs=64, steps=10_000), env, policy)
    explained = fit_values(trainer, 4000)
    changed = {name for name, tensor in policy.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"value.weight", "value.bias"}
    assert 4000 <= trainer.tokens < 4000 + 64 * env.budget and trainer.update > 0
    assert 0 < explained < 1
    rollout = trainer.write()  # text that it was not fitted on: better than the mean
    to_come = rollout.values + gae(
        rollout.rewards, rollout.values, rollout.ended, rollout.last_values, gamma=1.0, lam=1.0
    )
    if reward == "delta":  # what a policy without a clue is paid in the end, no prefix tells
        assert (rollout.values - to_come).square().mean() < to_come.var()


def test_algorithms_without_values_refuse_to_fit_them():
    with pytest.raises(ValueError, match="critic_start=8: rloo has no values"):
        train(TrainArgs(**SMALL, algo="rloo", critic_start=8))
