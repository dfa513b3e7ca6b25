"""On a GPU: the numbers of the CPU, runs that are resumed, steps in CUDA graphs. Skipped where there is none."""

import gymnasium as gym
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")
pytest.importorskip("transformers")

from networks import BUDGET, NETWORKS, PROMPT, V, make, prompts, same  # noqa: E402
from reward_models import ENV, KWARGS  # noqa: E402
from reward_models import SMALL as SMALL_REWARD  # noqa: E402
from saved_models import BYTES, TEXTS, finished  # noqa: E402
from test_agents_sb3 import quick as quick_sb3  # noqa: E402
from test_agents_transformer import SMALL, quick  # noqa: E402
from test_language_model import play  # noqa: E402

from agents.evaluation import evaluate, evaluation_env, load_agent  # noqa: E402
from agents.reward_model.train import RewardArgs  # noqa: E402
from agents.reward_model.train import train as train_reward  # noqa: E402
from agents.sb3.train import train as train_sb3  # noqa: E402
from agents.transformer.batch import as_batch  # noqa: E402
from agents.transformer.checkpoints import load_policy, read_checkpoint  # noqa: E402
from agents.transformer.model import Decoder, DecoderConfig  # noqa: E402
from agents.transformer.rollout import Writer  # noqa: E402
from agents.transformer.sampling import Sampling  # noqa: E402
from agents.transformer.train import train  # noqa: E402
from agents.transformer.update import evaluate_tokens  # noqa: E402
from textgym import Delta, Episode, Learned  # noqa: E402
from textgym.metrics.classifier import ClassifierProbability  # noqa: E402
from textgym.metrics.embedding import EmbeddingSimilarity  # noqa: E402
from textgym.metrics.language_model import LogLikelihood  # noqa: E402

GPU = "cuda"
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


# -- networks and rollouts -----------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "own"])  # whose GRU computes in TF32 there
def test_networks_say_what_they_say_on_the_cpu(name):
    policy, tokens = make(name), prompts(6, torch.Generator().manual_seed(0))
    tokens[:, PROMPT + 1 :] = torch.randint(0, V, (6, BUDGET), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = policy.heads(policy.hidden(tokens))
        got = policy.to(GPU).heads(policy.hidden(tokens.to(GPU)))
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-4, atol=1e-4)


def first_ratios(policy, env, sampling, steps=13):
    """What the update makes of the probabilities of a second rollout, over them; and the differences of values."""
    writer = Writer(env, policy, sampling, torch.Generator(GPU).manual_seed(0), seed=0)
    with torch.no_grad():
        writer.collect(9)
        rollout = writer.collect(steps)
        batch = as_batch(rollout, rollout.values, rollout.values, env.prompt_length)
        every = (torch.arange(len(each), device=GPU) for each in (batch.windows, batch.parts))
        with policy.autocast():
            logits, values = evaluate_tokens(policy, batch, *every)
    log_probs = sampling.log_probs(logits, batch.supports).gather(1, batch.actions[:, None]).squeeze(1)
    return (log_probs - batch.log_probs).exp(), values - batch.values


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("sampling", [Sampling(0.8, top_k=3), Sampling(1.3, top_p=0.8, epsilon=0.1)], ids=str)
def test_the_first_ratio_is_1(name, sampling):
    env = gym.make_vec("textgym/Brackets-v0", num_envs=6, autoreset_mode="SameStep", mask="task", copy=False)
    policy = make(name, vocabulary_size=env.vocabulary.size, prompt_length=env.prompt_length, budget=env.budget)
    ratios, differences = first_ratios(policy.to(GPU), env, sampling)
    torch.testing.assert_close(ratios, torch.ones_like(ratios), rtol=0, atol=3e-4)
    torch.testing.assert_close(differences, torch.zeros_like(differences), rtol=0, atol=3e-4)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("precision, near", [("float32", 3e-4), ("bfloat16", 0.05)])
def test_so_it_is_in_bfloat16_and_of_captured_steps(precision, near, compiled):
    env = gym.make_vec("textgym/Spelling-v0", num_envs=64, autoreset_mode="SameStep", copy=False)
    torch.manual_seed(0)
    policy = Decoder(DecoderConfig(env.vocabulary.size, 1 + env.prompt_length + env.budget, width=32))
    with torch.no_grad():
        policy.embedding.weight.mul_(4)  # not nearly uniform
    policy.to(GPU).precision = getattr(torch, precision)
    if compiled:
        policy.compile_step()
    ratios, differences = first_ratios(policy, env, Sampling(), steps=40)
    assert ratios.mean().item() == pytest.approx(1.0, abs=near / 5)
    torch.testing.assert_close(ratios, torch.ones_like(ratios), rtol=0, atol=near)
    torch.testing.assert_close(differences, torch.zeros_like(differences), rtol=0, atol=near)


# -- runs ------------------------------------------------------------------------------------------


WITH = {
    "plain": {},
    "bfloat16, captured": {"precision": "bfloat16", "compile": True},
    "likelihood and KL": {"pretrain": 100, "pretrain_lr": 5e-3, "kl_weight": 0.1, "top_k": 3},
    "random starts": {"random_starts": 0.5, "dropout": 0.1, "rollout_dropout": True},
    "groups": {"algo": "grpo"},
    "redistributed": {"algo": "reinforce", "reward": "terminal", "redistribute": "attention"},
}


@pytest.mark.parametrize("name", WITH)
def test_runs_go_on_and_what_they_learnt_is_loaded_on_the_cpu(name, tmp_path):
    settings = {"device": GPU, **WITH[name]}
    train(quick(tmp_path / "parts", steps=128, **settings))
    parts = train(quick(tmp_path / "parts", resume=True, **settings))
    whole = train(quick(tmp_path / "whole", **settings))
    ours, theirs = (read_checkpoint(run.folder / "last.pt") for run in (parts, whole))
    assert ours["trainer"]["tokens"] == theirs["trainer"]["tokens"] == 256
    assert same(ours["trainer"]["draws"], theirs["trainer"]["draws"])
    for key, value in theirs["policy"].items() if name != "bfloat16, captured" else ():  # whose draws may differ
        torch.testing.assert_close(ours["policy"][key].cpu(), value.cpu(), rtol=1e-4, atol=1e-4)  # atomic sums
    assert {p.device.type for p in load_policy(parts.best)[0].parameters()} == {"cpu"}
    agent, _ = load_agent(parts.best)
    env = evaluation_env("textgym/Copy-v0", "validation", num_envs=4, **SMALL)
    scores = [row["score"] for row in parts.evaluations]
    assert evaluate(agent, env, 10).scores.mean() == pytest.approx(max(scores), abs=0.1)


def test_an_sb3_run_goes_on(tmp_path):
    train_sb3(quick_sb3(tmp_path / "run", device=GPU))
    run = train_sb3(quick_sb3(tmp_path / "run", device=GPU, steps=256, resume=True))
    assert run.evaluations[-1]["steps"] == 256
    assert next(load_agent(run.best)[0].model.policy.parameters()).device.type == "cpu"


# -- metrics ---------------------------------------------------------------------------------------


def test_likelihoods_are_those_of_the_cpu(models):
    path = models("gpt2")
    for ours, theirs in zip(*(play(LogLikelihood(path, "sum", device=d), 0) for d in (GPU, "cpu")), strict=True):
        assert ours == (pytest.approx(theirs, rel=1e-4, abs=1e-5) if isinstance(theirs[0], float) else theirs)


def test_embeddings_and_classifiers_say_what_they_say_on_the_cpu(encoders):
    step = finished(TEXTS, [Episode("", ("the cat sat", "off")) for _ in TEXTS])
    for kind, name, *more in [(EmbeddingSimilarity, "bert"), (ClassifierProbability, "classifier", "glad")]:
        there, here = (kind(encoders[name], *more, device=device) for device in (GPU, "cpu"))
        np.testing.assert_allclose(there.score_rows(step), here.score_rows(step), atol=1e-5)
        np.testing.assert_allclose(there.start_rows(len(TEXTS), BYTES).value(step), here.score_rows(step), atol=1e-5)


def test_a_reward_model_is_trained_there_and_pays_the_same_on_both(judged, tmp_path):
    args = RewardArgs(judged, "Copy-v0", KWARGS, folder=tmp_path, epochs=6, device=GPU, **SMALL_REWARD)
    assert train_reward(args)["curve"][-1]["comparisons"]["accuracy"] > 0.6

    def paid(device):
        reward = Delta(Learned(tmp_path / "reward.pt", penalty=0.5, device=device))
        env = gym.make_vec(ENV, num_envs=8, reward=reward, **KWARGS)
        env.reset(seed=0)
        rng = np.random.default_rng(2)
        return np.array([env.step(rng.integers(env.vocabulary.size, size=8))[1] for _ in range(20)])

    np.testing.assert_allclose(paid(GPU), paid("cpu"), atol=1e-5)
    assert paid(GPU).any(1).mean() > 0.5
