"""Training with SB3: it learns, it can be killed and resumed, it refuses what cannot be right."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

import torch
from helpers import ROOT, killed_after

from agents.evaluation import SB3Agent, evaluate, evaluation_env, load_agent
from agents.runs import default_folder, read_evaluations, with_gamma
from agents.sb3 import algorithms
from agents.sb3.settings import TrainArgs, resolve
from agents.sb3.train import train
from agents.sb3.warm_start import TeacherForcing, log_likelihood, warm_start
from textgym.rewards import make_reward
from textgym.sb3 import make_vec_env

SMALL = {"length": 3, "symbols": 3}
OWN = {  # tiny and quick, but with everything that the algorithms do
    "ppo": {"n_steps": 16, "batch_size": 32, "n_epochs": 1},
    "a2c": {},
    "trpo": {"n_steps": 16, "batch_size": 32},
    "maskable_ppo": {"n_steps": 16, "batch_size": 32, "n_epochs": 1},
    "recurrent_ppo": {"n_steps": 16, "batch_size": 32, "n_epochs": 1, "policy_kwargs": {"lstm_hidden_size": 8}},
    "dqn": {"learning_starts": 32, "buffer_size": 500, "batch_size": 16},
    "double_dqn": {"learning_starts": 32, "buffer_size": 500, "batch_size": 16},
    "qr_dqn": {"learning_starts": 32, "buffer_size": 500, "batch_size": 16},
}


def quick(folder, algo="ppo", **changes) -> TrainArgs:
    settings = {
        "env": "textgym/Copy-v0",
        "env_kwargs": SMALL,
        "algo": algo,
        "encoder": "bag",
        "encoder_kwargs": {"features_dim": 16},
        "hyperparams": OWN[algo],
        "steps": 128,
        "n_envs": 4,
        "eval_every": 64,
        "eval_episodes": 10,
        "folder": folder,
        "device": "cpu",
        "progress": False,
    }
    return TrainArgs(**{**settings, **changes})


def parameters(path) -> np.ndarray:
    agent, _ = load_agent(path)
    return torch.cat([p.detach().flatten() for p in agent.model.policy.parameters()]).numpy()


def test_learning_happens(tmp_path):
    result = train(
        quick(
            tmp_path / "run",
            encoder_kwargs={"features_dim": 64, "last": 6},
            hyperparams={"n_steps": 32, "batch_size": 128, "n_epochs": 4, "learning_rate": 3e-3},
            steps=12_000,
            n_envs=16,
            eval_every=2_000,
            eval_episodes=50,
        )
    )
    assert result.evaluations[0]["score"] < 0.5 and result.best_score > 0.8
    assert read_evaluations(result.folder) == [pytest.approx(row) for row in result.evaluations]


@pytest.mark.parametrize("algo", OWN)
def test_saved_and_loaded_it_acts_the_same(algo, tmp_path):
    result = train(quick(tmp_path / "run", algo))
    agent, config = load_agent(result.folder / "last.zip")
    assert config["algo"] == algo
    env = evaluation_env("textgym/Copy-v0", **SMALL)
    scores = [row["score"] for row in result.evaluations]
    assert evaluate(agent, env, 10).mean_score == pytest.approx(scores[-1])
    assert evaluate(load_agent(result.best)[0], env, 10).mean_score == pytest.approx(max(scores)) == result.best_score
    assert [row["event"] for row in result.evaluations][0] == "start"


@pytest.mark.parametrize("algo", ["ppo", "a2c", "dqn", "recurrent_ppo"])
def test_a_resumed_run_is_the_run_that_was_never_stopped(algo, tmp_path):
    # no schedule that depends on the steps asked for
    constant = {"exploration_fraction": 1e-9} if algo == "dqn" else {"learning_rate": 1e-3}
    settings = {"hyperparams": {**OWN[algo], **constant}}
    whole = train(quick(tmp_path / "whole", algo, steps=256, **settings))
    train(quick(tmp_path / "parts", algo, steps=128, **settings))
    parts = train(quick(tmp_path / "parts", algo, steps=256, resume=True, **settings))
    np.testing.assert_array_equal(parameters(whole.folder / "last.zip"), parameters(parts.folder / "last.zip"))
    untimed = [[{k: v for k, v in row.items() if k != "wall_s"} for row in r.evaluations] for r in (whole, parts)]
    assert untimed[0] == untimed[1]
    steps = [row["steps"] for row in read_evaluations(parts.folder)]
    assert steps == sorted(set(steps)) and steps[-1] >= 256
    again = train(quick(tmp_path / "parts", algo, steps=256, resume=True, **settings))
    assert again.evaluations == parts.evaluations  # nothing left to do


def test_killed_and_resumed(tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "agents.sb3.train", "--env-kwargs", json.dumps(SMALL), "--encoder", "bag"]
    command += [
        "--hyperparams",
        json.dumps(OWN["ppo"]),
        "--n-envs",
        "4",
        "--eval-every",
        "256",
        "--eval-episodes",
        "10",
    ]
    command += ["--folder", str(folder), "--no-progress", "--device", "cpu"]
    before = killed_after([*command, "--steps", "10000000"], folder)
    assert before[-1]["steps"] >= 256
    args = quick(folder, encoder_kwargs={}, eval_every=256, steps=int(before[-1]["steps"]) + 512, resume=True)
    result = train(args)
    after = read_evaluations(folder)
    assert after[: len(before)] == before  # nothing lost, nothing twice
    steps = [row["steps"] for row in after]
    assert steps == sorted(set(steps)) and steps[-1] == args.steps
    assert all(b["wall_s"] >= a["wall_s"] for a, b in zip(after, after[1:], strict=False))
    assert not [p for p in folder.iterdir() if p.name.endswith(".part")]
    assert load_agent(result.best)


def test_the_files_of_a_run(tmp_path):
    result = train(quick(tmp_path / "run", "dqn", warm_start=0))
    names = {p.name for p in result.folder.iterdir()}
    assert names == {"best.zip", "config.json", "evaluations.csv", "last.zip", "logs", "replay_buffer.pkl"}
    config = json.loads((result.folder / "config.json").read_text())
    assert config["gamma"] == 1.0 and config["reward"] == "delta" and len(config["fingerprint"]) == 16
    assert {"python", "gymnasium", "stable-baselines3", "torch", "textgym"} <= set(config["versions"])
    assert any(p.name.startswith("progress") for p in (result.folder / "logs").iterdir())


# -- warm start ------------------------------------------------------------------------------------


def test_teacher_forcing_shows_what_the_environment_shows():
    source = TeacherForcing("textgym/Copy-v0", 3, **SMALL)
    task = source.env.task
    observations, actions, _ = source.batch(task.budget)
    assert observations.shape == (3 * task.budget, task.prompt_length + task.budget)
    for step in range(task.budget):
        for row in range(3):
            window, action = observations[step * 3 + row], actions[step * 3 + row]
            prompt = window[: task.prompt_length]
            text = window[task.prompt_length :]
            assert text[:step].tolist() == prompt[:step].tolist() and (text[step:] == task.vocabulary.pad).all()
            assert action == (prompt[step] if step < 3 else task.vocabulary.eos)


@pytest.mark.parametrize(
    ("algo", "env", "env_kwargs"),
    [
        ("ppo", "textgym/Copy-v0", SMALL),
        ("a2c", "textgym/Brackets-v0", {"mask": "task", "observe_mask": True}),
        ("maskable_ppo", "textgym/Brackets-v0", {"mask": "task"}),
        ("trpo", "textgym/Copy-v0", SMALL),
    ],
)
def test_warm_start_raises_the_likelihood(algo, env, env_kwargs):
    venv = make_vec_env(env, 2, **env_kwargs)
    prompt_length = venv.unwrapped.envs.task.prompt_length
    model = algorithms.build(
        algo, venv, encoder="bag", encoder_kwargs={}, prompt_length=prompt_length, seed=0, device="cpu"
    )
    held_out = TeacherForcing(env, 16, seed=99, **env_kwargs).batch(8)

    def likelihood():
        with torch.no_grad():
            return log_likelihood(model, *held_out).mean().item()

    before, value = likelihood(), model.policy.value_net.weight.clone()
    losses = warm_start(model, env, 60, seed=1, learning_rate=3e-3, references=16, **env_kwargs)
    assert likelihood() > before + 0.3 and losses[-1] < losses[0]
    assert torch.equal(value, model.policy.value_net.weight)


def test_both_starts_are_recorded(tmp_path):
    result = train(quick(tmp_path / "run", warm_start=30, steps=64))
    assert [row["event"] for row in result.evaluations] == ["start", "warm_start", "train"]
    assert [row["steps"] for row in result.evaluations] == [0, 0, 64]
    again = train(quick(tmp_path / "again", warm_start=30, steps=64))
    assert [row["score"] for row in again.evaluations] == [row["score"] for row in result.evaluations]


@pytest.mark.parametrize("algo", ["ppo", "a2c", "maskable_ppo", "trpo"])
def test_the_critic_starts_without_the_policy(algo, tmp_path):
    settings = {"warm_start": 20, "steps": 0}
    plain = train(quick(tmp_path / "plain", algo, **settings))
    fitted = train(quick(tmp_path / "fitted", algo, critic_start=512, **settings))
    env = evaluation_env("textgym/Copy-v0", **SMALL)
    texts = [evaluate(load_agent(r.folder / "last.zip")[0], env, 40).texts for r in (plain, fitted)]
    assert texts[0] == texts[1]
    assert 512 <= fitted.evaluations[-1]["steps"] < 600  # its tokens count
    values = [load_agent(r.folder / "last.zip")[0].model.policy.value_net.weight for r in (plain, fitted)]
    assert not torch.equal(*values)


def test_sampled_texts_are_evaluated_beside_the_likeliest(tmp_path):
    first, again = (train(quick(tmp_path / name)).evaluations for name in ("first", "again"))
    assert [row["sampled"] for row in first] == [row["sampled"] for row in again]
    assert all(0 <= row["sampled"] <= 1 for row in first)
    assert train(quick(tmp_path / "dqn", "dqn")).evaluations[-1]["sampled"] is None


# -- masks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("algo", ["ppo", "a2c", "trpo", "maskable_ppo"])
def test_masked_agents_never_end_illegally(algo, tmp_path):
    env_kwargs = {"mask": "task"} if algo == "maskable_ppo" else {"mask": "task", "observe_mask": True}
    result = train(quick(tmp_path / "run", algo, env="textgym/Brackets-v0", env_kwargs=env_kwargs))
    assert all(row["end_illegal"] == 0 for row in result.evaluations)


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_a_run_that_diverges_keeps_its_last_checkpoint(algo, tmp_path):
    args = quick(tmp_path / "run", algo, steps=400)
    args = dataclasses.replace(args, hyperparams={**args.hyperparams, "learning_rate": 1e30})
    with pytest.raises(FloatingPointError, match="tokens: (weights of the policy|logits) are no finite numbers"):
        train(args)
    assert np.isfinite(parameters(tmp_path / "run" / "last.zip")).all()


# -- refusals --------------------------------------------------------------------------------------


def test_it_refuses_to_resume_another_run(tmp_path):
    train(quick(tmp_path, steps=64, overwrite=True))
    with pytest.raises(ValueError, match="reward was 'delta', is 'terminal'"):
        train(quick(tmp_path, resume=True, reward="terminal"))
    with pytest.raises(ValueError, match="env was 'textgym/Copy-v0', is 'textgym/Reverse-v0'.*fingerprint was"):
        train(quick(tmp_path, resume=True, env="textgym/Reverse-v0"))
    with pytest.raises(ValueError, match="env_kwargs was"):
        train(quick(tmp_path, resume=True, env_kwargs={"length": 4, "symbols": 3}))
    with pytest.raises(ValueError, match="has a run already"):
        train(quick(tmp_path))
    assert train(quick(tmp_path, resume=True)).evaluations[-1]["steps"] == 128


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algo": "pppo", "hyperparams": {}}, "Did you mean 'ppo'"),
        ({"env": "textgym/Copie-v0"}, "Did you mean 'Copy-v0'"),
        ({"hyperparams": {"learning_rat": 1}}, "Did you mean 'learning_rate'"),
        ({"hyperparams": {"gamma": 0.9}}, "own flag"),
        ({"encoder": "transfomer", "encoder_kwargs": {}}, "Did you mean 'transformer'"),
        ({"algo": "dqn", "hyperparams": {}, "warm_start": 10}, "warm_start=10: dqn has no policy"),
        ({"reward": {"name": "delta", "gamma": 0.9}}, "gamma=0.9, the agent gamma=1.0"),
        ({"env_kwargs": {"split": "test"}}, "split"),
        ({"env_kwargs": {"lenght": 3}}, "Did you mean 'length'"),
        ({"n_envs": 0}, "n_envs must be a finite number, at least 1, got 0"),
        ({"encoder_kwargs": {"feature_dim": 16}}, "Did you mean 'features_dim'"),
        ({"encoder_kwargs": {"features_dim": "16"}}, "encoder_kwargs {'features_dim': '16'}"),
        ({"hyperparams": {"n_steps": "16"}}, "hyperparams {'n_steps': '16'}"),
        ({"device": "cudo"}, "device 'cudo'"),
        ({"device": "cuda:99"}, "device 'cuda:99' cannot be used"),
        ({"gamma": 2.0}, "gamma must be a finite number"),
        ({"warm_start_lr": -1.0}, "warm_start_lr must be a finite number"),
        ({"eval_every": 0}, "eval_every must be a whole number, at least 1"),
        ({"eval_episodes": 0}, "eval_episodes must be"),
        ({"eval_first": -1}, "eval_first must be"),
        ({"threads": 0}, "threads must be"),
    ],
)
def test_refusals(changes, message, tmp_path):
    with pytest.raises(ValueError, match=re.escape(message)):
        train(dataclasses.replace(quick(tmp_path / "run"), **changes))
    assert not (tmp_path / "run").exists()


def test_without_sb3_contrib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    with pytest.raises(ImportError, match=r"textgym\[contrib\]"):
        train(quick(tmp_path, "trpo"))


POTENTIAL = {"name": "potential", "metric": "cer", "gamma": 0.9}


@pytest.mark.parametrize(
    "spec, expected",
    [
        ("potential:cer", POTENTIAL),
        ({"name": "potential:cer", "weight": 2}, {**POTENTIAL, "weight": 2}),
        ([{"name": "potential"}, "delta"], [{"name": "potential", "gamma": 0.9}, "delta"]),
        ("delta:cer", "delta:cer"),
        ({"name": "delta:cer", "weight": 2}, {"name": "delta:cer", "weight": 2}),
        ({"name": "delayed", "reward": "potential:cer"}, {"name": "delayed", "reward": POTENTIAL}),
        ({"name": "delayed", "reward": "delta:cer"}, {"name": "delayed", "reward": "delta:cer"}),
        ("normalised:potential:cer", {"name": "normalised", "reward": POTENTIAL, "gamma": 0.9}),
        ({**POTENTIAL, "base": ["delta", "potential:cer"]}, {**POTENTIAL, "base": ["delta", POTENTIAL]}),
        ({**POTENTIAL, "base": None}, {**POTENTIAL, "base": None}),
    ],
)
def test_a_reward_gets_the_gamma_of_the_agent(spec, expected):
    assert with_gamma(spec, 0.9) == expected
    assert with_gamma(with_gamma(spec, 0.9), 0.9) == expected
    if spec != expected:
        names = make_reward(spec).name, make_reward(expected).name
        assert names[0] == names[1]


@pytest.mark.parametrize(
    "spec",
    [
        POTENTIAL,
        ["delta", {"name": "delayed", "reward": {**POTENTIAL, "weight": 2}}],
        {"name": "potential", "base": POTENTIAL},
        {"name": "normalised:delta", "gamma": 0.9},
    ],
)
def test_a_reward_with_another_gamma_than_the_agents_is_refused(spec):
    assert with_gamma(spec, 0.9)
    with pytest.raises(ValueError, match="gamma=0.9, the agent gamma=0.99"):
        with_gamma(spec, 0.99)
    settings = resolve(TrainArgs(reward=spec, gamma=0.9))
    assert json.dumps(settings["reward"]) == json.dumps(with_gamma(spec, 0.9))
    make_reward(settings["reward"])


def test_an_id_needs_no_namespace_and_may_name_the_module_that_registers_it(tmp_path, monkeypatch):
    assert resolve(TrainArgs(env="SpellingNoisy-v0")) == resolve(TrainArgs(env="textgym/SpellingNoisy-v0"))
    (tmp_path / "my_ids.py").write_text(
        "import textgym\ntextgym.register('me/Copy-v0', 'textgym.tasks.symbolic:Copy', reward='terminal', length=2)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    settings = resolve(TrainArgs(env="my_ids:me/Copy-v0"))
    assert settings["env"] == "my_ids:me/Copy-v0" and settings["reward"] == "terminal"
    assert evaluation_env(settings["env"], num_envs=1).task.prompt_length == 2


# -- settings --------------------------------------------------------------------------------------


def test_settings_go_over_those_of_the_file(tmp_path):
    settings = resolve(TrainArgs(algo="ppo", steps=7, hyperparams={"learning_rate": 0.5}))
    assert settings["steps"] == 7 and settings["hyperparams"]["learning_rate"] == 0.5
    assert settings["reward"] == "delta" and "n_envs" not in settings["hyperparams"]
    other = resolve(TrainArgs(encoder="bag"))
    assert other["encoder"] == "bag" and other["encoder_kwargs"] == {}  # not the Transformer's
    assert str(default_folder(settings, "ppo")) == "runs/Copy-v0-ppo-delta-s0"
    long = [{**settings, "reward": ["delta", "delta:cer", name]} for name in ("delta:wer", "terminal:wer")]
    assert default_folder(long[0], "ppo") != default_folder(long[1], "ppo")


@pytest.mark.parametrize("algo", algorithms.ALGORITHMS)
def test_the_file_names_only_what_the_algorithm_takes(algo):
    for id in algorithms._table()[algo]:
        resolve(TrainArgs(algo=algo, env="textgym/Copy-v0" if id == "default" else id))


@pytest.mark.parametrize("module", ["agents.sb3.train", "agents.evaluate"])
def test_help_has_a_sentence_for_every_flag(module):
    from agents.evaluate import EvaluateArgs

    command = [sys.executable, "-m", module, "--help"]
    text = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200"}
    ).stdout
    args = TrainArgs if module == "agents.sb3.train" else EvaluateArgs
    source = Path(sys.modules[args.__module__].__file__).read_text()
    words = " ".join(re.sub("[│╭╮╰╯─]", " ", text).split())
    for name in args.__dataclass_fields__:
        sentence = re.search(rf'^    {name}: .*\n    """(.*?)"""', source, re.MULTILINE).group(1)
        assert f"--{name.replace('_', '-')}" in words and sentence[:40] in words, name


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["ppo", "a2c", "dqn", "maskable_ppo"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_copy_is_solved(algo, seed, tmp_path):
    result = train(
        TrainArgs(env="textgym/Copy-v0", algo=algo, seed=seed, folder=tmp_path / "run", device="cpu", progress=False)
    )
    assert result.evaluations[-1]["score"] > 0.95


def test_an_sb3_agent_samples_when_asked():
    env = make_vec_env("textgym/Copy-v0", 2, **SMALL)
    model = algorithms.build("ppo", env, encoder="bag", encoder_kwargs={}, prompt_length=3, seed=0, device="cpu")
    texts = {
        tuple(evaluate(SB3Agent(model, deterministic=False), "textgym/Copy-v0", 20, **SMALL).texts) for _ in range(3)
    }
    assert len(texts) == 3
