"""The commands of the Transformer trainer: runs that can be killed and resumed, and what is done with their result."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("stable_baselines3")
pytest.importorskip("transformers")

import torch
from helpers import ROOT, killed_after
from networks import same

from agents import evaluate as evaluate_command
from agents.cli import command_line
from agents.evaluation import evaluate, evaluation_env, load_agent
from agents.runs import read_evaluations
from agents.transformer.checkpoints import load_policy, read_checkpoint
from agents.transformer.distill import DistillArgs
from agents.transformer.export import ExportArgs
from agents.transformer.generate import GenerateArgs, generate
from agents.transformer.settings import ALGORITHMS, TrainArgs, resolve
from agents.transformer.train import train
from agents.transformer.trainer import Trainer

SMALL = {"length": 3, "symbols": 3}


def quick(folder, **changes) -> TrainArgs:
    settings = {
        "env": "textgym/Copy-v0",
        "env_kwargs": SMALL,
        "steps": 256,
        "n_envs": 8,
        "group_size": 4,
        "width": 16,
        "heads": 2,
        "minibatch": 32,
        "decay": "constant",
        "eval_every": 64,
        "eval_episodes": 10,
        "folder": folder,
        "device": "cpu",
        "progress": False,
    }
    return TrainArgs(**{**settings, **changes})


def untimed(rows):
    return [{k: v for k, v in row.items() if k != "wall_s"} for row in rows]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run with a warm start."""
    return train(quick(tmp_path_factory.mktemp("transformer") / "run", pretrain=400, pretrain_lr=5e-3, top_k=3))


def test_the_files_of_a_run(run):
    names = {path.name for path in run.folder.iterdir()}
    assert names == {"best.pt", "config.json", "evaluations.csv", "last.pt", "logs"}
    config = json.loads((run.folder / "config.json").read_text())
    assert (config["reward"], config["lam"], config["architecture"]["columns"]) == ("delta", 0.95, 8)
    assert {"python", "gymnasium", "torch", "textgym"} <= set(config["versions"])
    assert [row["event"] for row in run.evaluations][:3] == ["start", "warm_start", "train"]
    assert read_evaluations(run.folder) == [pytest.approx(row) for row in run.evaluations]
    assert run.evaluations[1]["score"] > run.evaluations[0]["score"]  # it learns from the references
    (table,) = (run.folder / "logs").glob("*.csv")
    assert {"train/entropy", "train/kl_to_old", "train/tokens_per_s", "eval/score"} <= set(
        table.read_text().splitlines()[0].split(",")
    )


def test_a_run_in_bfloat16(tmp_path):
    run = train(quick(tmp_path / "run", precision="bfloat16", pretrain=200, pretrain_lr=5e-3, kl_weight=0.1))
    assert run.evaluations[-1]["score"] > run.evaluations[0]["score"]
    assert all(each.dtype == torch.float32 for each in read_checkpoint(run.folder / "last.pt")["policy"].values())


@pytest.mark.parametrize(
    "changes",
    [
        *({"algo": algo} for algo in ALGORITHMS),
        {"kl_in": "reward", "kl_target": 1.0, "bonus_weight": 0.1, "random_starts": 0.5, "rollout_dropout": True},
        {"redistribute": "attention", "epsilon": 0.1, "microbatch": 8, "pretrain_objective": "masked"},
    ],
    ids=str,
)
def test_a_resumed_run_is_the_run_that_was_never_stopped(changes, tmp_path):
    settings = {"kl_weight": 0.1, "dropout": 0.1, "pretrain": 3, **changes}
    whole = train(quick(tmp_path / "whole", **settings))
    train(quick(tmp_path / "parts", steps=128, **settings))
    parts = train(quick(tmp_path / "parts", resume=True, **settings))
    ours, theirs = (read_checkpoint(r.folder / "last.pt") for r in (parts, whole))
    assert same(ours["policy"], theirs["policy"]) and same(ours["trainer"], theirs["trainer"])
    assert untimed(parts.evaluations) == untimed(whole.evaluations)
    again = train(quick(tmp_path / "parts", resume=True, **settings))
    assert again.evaluations == parts.evaluations  # nothing left to do


def test_killed_and_resumed(tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "agents.transformer.train", "--env-kwargs", json.dumps(SMALL)]
    command += ["--n-envs", "8", "--width", "16", "--heads", "2", "--eval-every", "256", "--eval-episodes", "10"]
    command += ["--folder", str(folder), "--no-progress", "--device", "cpu", "--decay", "constant"]
    before = killed_after([*command, "--steps", "10000000"], folder)
    steps = int(before[-1]["steps"]) + 512
    args = quick(folder, eval_every=256, steps=steps, resume=True, group_size=8, minibatch=1024)
    after = read_evaluations(train(args).folder)
    assert after[: len(before)] == before and after[-1]["steps"] >= steps  # nothing lost, nothing twice
    assert not [path for path in folder.iterdir() if path.name.endswith(".part")]


def test_a_loss_that_is_no_number_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    healthy = Trainer.estimated

    def poisoned(self, rollout, batch, args):
        batch = healthy(self, rollout, batch, args)
        return batch.with_advantages(batch.advantages * float("nan")) if self.update > 4 else batch

    monkeypatch.setattr(Trainer, "estimated", poisoned)
    folder = tmp_path / "run"
    message = "update 5, 160 tokens: .* minibatch 0 of epoch 0: policy_loss nan.*last.pt is that of 128 tokens"
    with pytest.raises(SystemExit, match=f"^error: {message}"):
        command_line(TrainArgs, lambda args: train(quick(folder)), "train", [])
    saved = read_checkpoint(folder / "last.pt")
    assert all(torch.isfinite(weights).all() for weights in saved["policy"].values())
    assert read_evaluations(folder)[-1]["steps"] == saved["trainer"]["tokens"] == 128
    monkeypatch.undo()
    assert train(quick(folder, resume=True)).evaluations[-1]["steps"] == 256


# -- what is done with the result ------------------------------------------------------------------


@pytest.mark.parametrize("which", ["best", "last"])
def test_saved_and_loaded_it_writes_the_same(run, which):
    path = run.folder / f"{which}.pt"
    env = evaluation_env("textgym/Copy-v0", num_envs=10, **SMALL)
    row = run.evaluations[-1] if which == "last" else max(run.evaluations, key=lambda row: row["score"])
    greedy, sampled = (evaluate(load_agent(path, deterministic)[0], env, 10) for deterministic in (True, False))
    assert greedy.mean_score == pytest.approx(row["score"]) and sampled.mean_score == pytest.approx(row["sampled"])
    assert load_agent(path)[1]["algo"] == "ppo" and load_agent(path, False)[0].sampling.top_k == 3


def command(*argv):
    return command_line(evaluate_command.EvaluateArgs, evaluate_command.main, "evaluate", argv)


def test_it_is_evaluated_by_the_command(run, capsys):
    path = str(run.folder / "last.pt")
    assert command("--agent", path, "--episodes", "10").mean_score == pytest.approx(run.evaluations[-1]["score"])
    first, again, other = (command("--agent", path, "--sample", "--seed", seed).texts for seed in "001")
    assert first == again != other
    capsys.readouterr()
    with pytest.raises(SystemExit, match="cannot write in textgym/Spelling-v0: the policy knows 4 tokens"):
        command("--agent", path, "--env", "Spelling-v0")
    with pytest.raises(SystemExit, match="cannot write in textgym/Copy-v0: the policy reads at most 8 columns"):
        command("--agent", path, "--env-kwargs", '{"length": 4, "symbols": 3}')
    agent, env = load_agent(path)[0], evaluation_env("textgym/Copy-v0", num_envs=1, **SMALL)
    agent.check(env)
    agent.vocabulary = "0" * 64
    with pytest.raises(ValueError, match="its vocabulary has the fingerprint 000000000000..., that of"):
        agent.check(env)


def test_texts_are_written_to_a_file(run, tmp_path):
    given = {"checkpoint": run.best, "episodes": 10, "rows": 4, "device": "cpu", "progress": False}
    evaluation = generate(GenerateArgs(**given, temperature=0, output=tmp_path / "texts.jsonl"))
    lines = [json.loads(line) for line in (tmp_path / "texts.jsonl").read_text().splitlines()]
    assert [line["text"] for line in lines] == evaluation.texts
    assert [line["score"] for line in lines] == pytest.approx(evaluation.scores.tolist())
    assert set(lines[0]) == {"prompt", "text", "score", "length", "return", "end_reason", "references"}
    assert evaluation.mean_score == pytest.approx(run.best_score)
    hot, again, cold = (generate(GenerateArgs(**given, temperature=t)).texts for t in (5.0, 5.0, 1e-4))
    assert hot == again != cold == evaluation.texts


# -- refusals --------------------------------------------------------------------------------------


def test_it_refuses_to_resume_another_run(run, tmp_path):
    args = quick(run.folder, pretrain=100, pretrain_lr=1e-2, top_k=3, resume=True)
    with pytest.raises(ValueError, match="reward was 'delta', is 'terminal'; width was 16, is 32"):
        train(dataclasses.replace(args, reward="terminal", width=32))
    with pytest.raises(ValueError, match="has a run already"):
        train(dataclasses.replace(args, resume=False))


def test_a_checkpoint_of_another_network_is_refused(run, tmp_path):
    other = train(quick(tmp_path / "run", layers=1, steps=0))
    (other.folder / "last.pt").write_bytes((run.folder / "last.pt").read_bytes())
    with pytest.raises(ValueError, match="is of another architecture: it has .*'layers': 2.*, this run .*'layers': 1"):
        train(quick(tmp_path / "run", layers=1, steps=0, resume=True))


def test_what_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "text.pt").write_text("no")
    torch.save({"format": "another"}, tmp_path / "other.pt")
    for name in ("text.pt", "other.pt"):
        with pytest.raises(ValueError, match=f"{name} is no checkpoint of agents.transformer.train"):
            load_policy(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        load_policy(tmp_path / "none.pt")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algo": "pppo"}, "Did you mean 'ppo'"),
        ({"env": "Copie-v0"}, "Did you mean 'Copy-v0'"),
        ({"reward": {"name": "delta", "gamma": 0.9}}, "gamma=0.9, the agent gamma=1.0"),
        ({"env_kwargs": {"split": "test"}}, "split"),
        ({"env_kwargs": {"lenght": 3}}, "Did you mean 'length'"),
        ({"n_envs": 0}, "n_envs must be a whole number, at least 1, got 0"),
        ({"width": 18, "heads": 4}, "2 * heads divides width"),
        ({"algo": "rloo", "group_size": 3}, "group_size=3 must divide n_envs=8"),
        ({"algo": "grpo", "lam": 0.9}, "lam=0.9: grpo compares whole texts"),
        ({"algo": "rloo", "estimator": "n_step"}, "estimator=n_step: rloo compares whole texts"),
        ({"algo": "rloo", "redistribute": "uniform"}, "redistribute=uniform: rloo compares whole texts"),
        ({"algo": "grpo", "value_clip": 0.2}, "value_clip=0.2: grpo compares whole texts"),
        ({"estimator": "n_step", "lam": 0.9}, "lam=0.9: the estimator n_step has no lambda; gae has"),
        ({"estimator": "nstep"}, "Did you mean 'n_step'"),
        ({"redistribute": "attn"}, "unknown redistribute 'attn'"),
        ({"kl_target": 6.0}, "kl_target=6.0: kl_weight=0 would stay 0"),
        ({"kl_in": "rewards"}, "Did you mean 'reward'"),
        ({"mixer": 2, "random_starts": 0.5}, "mixer=2, random_starts=0.5: texts can begin in one way only"),
        ({"random_starts": 1.5}, "random_starts must be a finite number"),
        ({"epsilon": 1.0}, "epsilon must be at least 0 and below 1, got 1.0"),
        ({"rollout_dropout": True}, "rollout_dropout: dropout=0 is none"),
        ({"microbatch": 0}, "microbatch must be a whole number, at least 1, got 0"),
        ({"bonus_weight": -1.0}, "bonus_weight must be a finite number"),
        ({"pretrain_objective": "masks"}, "Did you mean 'masked'"),
        ({"algo": "grpo", "gamma": 0.9}, "gamma=0.9: grpo compares the undiscounted returns"),
        ({"algo": "a2c", "clip": 0.2}, "clip=0.2: a2c uses every token once"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"gamma": 2.0}, "gamma must be a finite number"),
        ({"learning_rate": 0.0}, "learning_rate must be a finite number, above 0"),
        ({"decay": "cosin"}, "Did you mean 'cosine'"),
        ({"eval_episodes": 0}, "eval_episodes must be"),
        ({"eval_first": -1}, "eval_first must be"),
        ({"device": "cudo"}, "device 'cudo'"),
        ({"device": "cuda:99"}, "device 'cuda:99'"),
    ],
)
def test_refusals(changes, message, tmp_path):
    with pytest.raises(ValueError, match=re.escape(message)):
        train(quick(tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


def test_shaping_gets_the_discount_of_the_agent():
    assert resolve(TrainArgs(reward="potential:cer", gamma=0.9))["reward"]["gamma"] == 0.9


@pytest.mark.parametrize(
    "module, args",
    [("train", TrainArgs), ("generate", GenerateArgs), ("distill", DistillArgs), ("export", ExportArgs)],
)
def test_help_has_a_sentence_for_every_flag(module, args):
    line = [sys.executable, "-m", f"agents.transformer.{module}", "--help"]
    environment = {**os.environ, "COLUMNS": "200"}
    text = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True, env=environment).stdout
    words = " ".join(re.sub("[│╭╮╰╯─]", " ", text).split())
    source = Path(sys.modules[args.__module__].__file__).read_text()
    for field in dataclasses.fields(args):
        sentence = re.search(rf'^    {field.name}: .*\n    """(.*?)"""', source, re.MULTILINE).group(1)
        assert f"--{field.name.replace('_', '-')}" in words and sentence[:40] in words, field.name


@pytest.mark.slow
@pytest.mark.parametrize("env", ["textgym/Copy-v0", "textgym/Reverse-v0"])
def test_sixteen_letters_are_copied_and_reversed(env, tmp_path):
    args = TrainArgs(
        env=env,
        env_kwargs={"length": 16, "symbols": 26},
        steps=400_000,
        width=64,
        positions="learned",
        gamma=0.0,
        lam=0.0,
        entropy_weight=0.05,
        minibatch=256,
        random_starts=0.25,
        folder=tmp_path / "run",
        device="cpu",
        progress=False,
    )
    assert train(args).best_score > 0.99
