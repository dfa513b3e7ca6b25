"""Before and beside reinforcement learning: masked tokens, and small policies that learn what large ones say."""

import gymnasium as gym
import numpy as np
import pytest
import torch

pytest.importorskip("stable_baselines3")

from agents.transformer.checkpoints import load_policy
from agents.transformer.distill import DistillArgs, distill, divergence
from agents.transformer.model import Decoder, DecoderConfig
from agents.transformer.pretrain import masked_loss, pretrain, reference_windows
from agents.transformer.settings import TrainArgs
from agents.transformer.train import train

SMALL = {"length": 3, "symbols": 3}


def copying():
    env = gym.make_vec("textgym/Copy-v0", num_envs=1, **SMALL)
    torch.manual_seed(0)
    policy = Decoder(DecoderConfig(env.vocabulary.size, 1 + env.prompt_length + env.budget, width=32))
    return env, policy


def test_a_causal_network_is_asked_for_what_was_replaced():
    """Of a network that says the same of every text, the loss is its cross-entropy of the tokens that were chosen."""
    env, policy = copying()
    tokens, _ = reference_windows(env.task, np.random.default_rng(0), 500)
    read = []
    logits = torch.randn(policy.vocabulary_size, generator=torch.Generator().manual_seed(0))
    policy.hidden = lambda given: read.append(given) or torch.zeros(*given.shape, 4)
    policy.heads = lambda hidden: (logits.expand(*hidden.shape[:-1], -1), None)
    loss = masked_loss(policy, tokens, 1.0, torch.Generator().manual_seed(0))
    there = tokens[tokens != policy.vocabulary_size]
    assert loss.item() == pytest.approx(-logits.log_softmax(-1)[there].mean().item(), abs=1e-4)
    (given,) = read
    same = (given == tokens)[tokens != policy.vocabulary_size].float().mean()
    assert same == pytest.approx(0.1 + 0.9 / policy.vocabulary_size, abs=0.03)
    assert (given[:, 0] == policy.vocabulary_size).all()
    assert torch.isfinite(masked_loss(policy, tokens[:1], 0.0, torch.Generator()))


def test_a_network_that_reads_both_ways_is_asked_where_it_was():
    env, policy = copying()
    tokens, _ = reference_windows(env.task, np.random.default_rng(0), 500)
    seen = []
    policy.filled = lambda *given: seen.append(given) or torch.zeros(len(given[2]), 32)
    masked_loss(policy, tokens, 0.5, torch.Generator().manual_seed(0))
    ((read, hidden, rows, columns),) = seen
    there = int((tokens != policy.vocabulary_size).sum())
    assert len(rows) / there == pytest.approx(0.5, abs=0.03)
    asked_hidden = hidden[rows, columns].float().mean()
    assert asked_hidden == pytest.approx(0.8, abs=0.03) and hidden.sum() == hidden[rows, columns].sum()
    changed = (read != tokens)[rows, columns].float().mean()
    assert changed == pytest.approx(0.1 * (1 - 1 / policy.vocabulary_size), abs=0.03)


def test_masked_pretraining_lowers_the_loss():
    env, policy = copying()
    losses = []
    options = {"objective": "masked", "mask_probability": 0.3, "rate": 3e-3}
    end = pretrain(policy, env.task, 150, **options, progress=lambda update, loss: losses.append(loss))
    assert end < 0.8 * losses[0]
    with pytest.raises(ValueError, match="Did you mean 'masked'"):
        pretrain(policy, env.task, 1, objective="maskd")


def test_divergences_by_hand():
    p, q = torch.tensor([[0.5, 0.25, 0.25]]), torch.tensor([[0.25, 0.25, 0.5]])
    forward = 0.5 * np.log(2) + 0.25 * np.log(0.5)
    assert divergence(q.log(), p.log()).tolist() == pytest.approx([forward])
    assert divergence(q.log(), p.log(), "reverse").tolist() == pytest.approx([0.25 * np.log(0.5) + 0.5 * np.log(2)])
    skewed = torch.tensor([[0.8, 0.1, 0.1]])
    assert divergence(q.log(), skewed.log(), "forward") != pytest.approx(
        float(divergence(q.log(), skewed.log(), "reverse"))
    )
    # at temperature T the logits are divided by it, and the result multiplied by its square
    assert divergence(2 * q.log(), 2 * p.log(), "forward", 2.0).tolist() == pytest.approx([4 * forward], rel=1e-5)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distill") / "teacher"
    settings = {"width": 32, "positions": "learned", "pretrain": 300, "pretrain_lr": 5e-3, "steps": 0, "n_envs": 8}
    settings |= {"eval_episodes": 20, "device": "cpu", "progress": False}
    result = train(TrainArgs(env_kwargs=SMALL, **settings, folder=folder))
    assert result.best_score > 0.9
    return result.best


@pytest.mark.parametrize(
    "texts, kind",
    [
        ("references", "forward"),
        pytest.param("teacher", "forward", marks=pytest.mark.slow),
        pytest.param("student", "reverse", marks=pytest.mark.slow),
    ],
)
def test_a_student_learns_what_the_teacher_says(teacher, texts, kind, tmp_path):
    settings = {"layers": 1, "width": 24, "heads": 2, "updates": 300, "learning_rate": 5e-3, "eval_episodes": 20}
    settings |= {"texts": texts, "divergence": kind, "folder": tmp_path / "student", "device": "cpu"}
    args = DistillArgs(teacher, **settings, progress=False)
    result = distill(args)
    assert result.best_score > 0.6
    student, config = load_policy(result.best)
    assert student.config.width == 24 and config["distilled"]["teacher"] == str(teacher)
    with pytest.raises(ValueError, match="has a run already"):
        distill(args)


def test_the_default_folder_stands_beside_the_teachers(teacher):
    result = distill(DistillArgs(teacher, updates=1, eval_episodes=1, device="cpu", progress=False))
    assert result.folder == teacher.parent.with_name("teacher-distilled")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"texts": "referenzes"}, "Did you mean 'references'"),
        ({"divergence": "revers"}, "Did you mean 'reverse'"),
        ({"temperature": 0.0}, "temperature must be a finite number, above 0"),
        ({"width": 18, "heads": 4}, "2 \\* heads divides width"),
    ],
)
def test_refusals(teacher, changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        distill(DistillArgs(teacher, **changes, folder=tmp_path / "x", device="cpu", progress=False))
    assert not (tmp_path / "x").exists()
