"""Several processes learn what one with all their rows learns, and one that fails does not leave the others waiting."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from helpers import ROOT

from agents.runs import read_evaluations
from agents.transformer.checkpoints import read_checkpoint
from agents.transformer.distributed import ALONE, World, rows_of
from agents.transformer.model import Decoder, DecoderConfig
from agents.transformer.settings import ALGORITHMS, TrainArgs
from agents.transformer.train import train
from agents.transformer.trainer import Trainer

UPDATES, RANKS = 4, 2
COMMON = TrainArgs(
    env="textgym/Spelling-v0", n_envs=8, group_size=2, rollout=7, minibatch=16, steps=10_000, max_norm=0.1
)
CASES = {algo: replace(COMMON, algo=algo) for algo in ALGORITHMS}
CASES |= {
    "sequence": replace(COMMON, aggregation="sequence", kl_weight=0.1, top_k=5, temperature=2.0),
    "few texts": replace(COMMON, n_envs=2, minibatch=2),  # some minibatches have no text of one rank, or one token
    "few groups": replace(COMMON, algo="grpo", n_envs=4, rollout=5, minibatch=4),  # a rank has none, the other has
    "own terms": replace(COMMON, kl_weight=0.1, kl_in="reward", kl_target=0.01, kl_horizon=20, bonus_weight=0.1),
    "starts": replace(COMMON, random_starts=0.5, microbatch=5, aggregation="constant"),
    "mixer": replace(COMMON, mixer=4, steps=5 * 56),
    "redistributed": replace(COMMON, redistribute="attention", epsilon=0.1, dropout=0.0),
}


def learnt(args, world):
    """The weights after some updates, and what was seen in each."""
    group_size = args.whole_texts
    rows = rows_of(world, args.n_envs, group_size or 1)
    env = gym.make_vec(args.env, num_envs=rows, autoreset_mode="SameStep", copy=False, group_size=group_size)
    torch.manual_seed(0)
    policy = Decoder(
        DecoderConfig(env.vocabulary.size, 1 + env.prompt_length + env.budget, layers=1, width=16, heads=2)
    )
    trainer = Trainer(args, env, policy, world=world)
    seen = [trainer.step() for _ in range(UPDATES)]
    return policy.state_dict(), seen, trainer.tokens


def meet(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=RANKS)
    return World(rank, RANKS)


def one_rank(rank, folder):
    world = meet(rank, folder)
    results = {name: learnt(args, world) for name, args in CASES.items()}
    results["refused"] = refused(world)
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def refused(world):
    """What a rank is told of an error on rank 0."""
    try:
        world.once(lambda: TrainArgs(n_envs=world.rank + "rows"))
    except TypeError as error:
        return str(error)


def one_rank_of_which_the_second_fails(rank, folder):
    world = meet(rank, folder)
    try:
        world.gather(rank)
        if rank == 1:
            os._exit(3)
        world.sum(torch.ones(1))
    except ConnectionError as error:
        Path(folder, "told").write_text(str(error))


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What each of two processes has learnt, case by case."""
    folder = tmp_path_factory.mktemp("ranks")
    mp.spawn(one_rank, (str(folder),), RANKS)
    return [torch.load(folder / f"{rank}.pt") for rank in range(RANKS)]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_learn_what_one_with_all_rows_does(case, together):
    weights, seen, tokens = learnt(CASES[case], ALONE)
    assert any("entropy" in each for each in seen) and any("text_score" in each for each in seen)
    for rank, (ours, shown, written) in enumerate(each[case] for each in together):
        assert written == tokens
        assert [{*each} for each in shown] == [{*each} for each in seen]
        for here, there in zip(shown, seen, strict=True):
            if case != "mixer":  # there means are of portions, weighed by all of their tokens
                assert here == pytest.approx(there, rel=1e-3, abs=1e-5)
        for name, one in weights.items():
            torch.testing.assert_close(ours[name], one, rtol=0, atol=1e-5, msg=lambda text: f"{rank} {name}: {text}")  # noqa: B023
            assert torch.equal(ours[name], together[0][case][0][name])  # the ranks do not drift apart


def test_an_error_on_the_first_rank_is_one_on_all(together):
    assert [each["refused"] for each in together] == ["unsupported operand type(s) for +: 'int' and 'str'"] * RANKS


def test_a_rank_that_fails_does_not_leave_the_other_waiting(tmp_path):
    context = mp.get_context("spawn")
    ranks = [context.Process(target=one_rank_of_which_the_second_fails, args=(r, str(tmp_path))) for r in range(RANKS)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(100)
    assert [process.exitcode for process in ranks] == [0, 3]
    assert (
        (tmp_path / "told").read_text().startswith("rank 0 has lost the other 1, of which one has failed or is stuck")
    )


def test_rows_are_shared_in_whole_groups():
    assert rows_of(World(1, 4), 64, 8) == 16 and rows_of(ALONE, 7) == 7
    with pytest.raises(ValueError, match="n_envs=10 is the total of 4 processes.*multiple of 4, such as 12"):
        rows_of(World(0, 4), 10)
    with pytest.raises(ValueError, match="whole groups of 8 each: it must be a multiple of 16, such as 32"):
        rows_of(World(0, 2), 24, 8)


# -- the command -----------------------------------------------------------------------------------

SMALL = {"env_kwargs": {"length": 3, "symbols": 3}, "n_envs": 8, "width": 16, "minibatch": 32, "decay": "constant"}
SMALL |= {"eval_every": 64, "eval_episodes": 10, "pretrain": 3, "device": "cpu", "progress": False}


def torchrun(folder, **changes):
    """What two processes print, on stdout and stderr, and the exit status."""
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(RANKS)]
    line += ["-m", "agents.transformer.train", "--env", "Copy-v0", "--folder", str(folder)]
    for name, value in {**SMALL, **changes}.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            line.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            line += [f"--{flag}", json.dumps(value) if isinstance(value, dict) else str(value)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=200)


@pytest.mark.slow
def test_torchrun_stopped_and_resumed_is_one_process_never_stopped(tmp_path):
    whole = train(TrainArgs(env="Copy-v0", steps=256, folder=tmp_path / "one", **SMALL))
    assert torchrun(tmp_path / "two", steps=128).returncode == 0
    done = torchrun(tmp_path / "two", steps=256, resume=True)
    assert done.returncode == 0 and done.stdout.count("best ") == 1  # the first rank alone reports
    assert {path.name for path in (tmp_path / "two").iterdir()} == {path.name for path in (tmp_path / "one").iterdir()}
    lines = read_evaluations(tmp_path / "two")
    for here, there in zip(lines, whole.evaluations, strict=True):
        assert here.keys() == there.keys() and here["event"] == there["event"]
        assert [value is None for value in here.values()] == [value is None for value in there.values()]
        numbers = [name for name, value in here.items() if value is not None and name not in ("event", "wall_s")]
        assert [here[name] for name in numbers] == pytest.approx([there[name] for name in numbers], rel=1e-3)
    ours, theirs = (read_checkpoint(tmp_path / name / "last.pt") for name in ("two", "one"))
    for name, weights in theirs["policy"].items():
        torch.testing.assert_close(ours["policy"][name], weights, rtol=0, atol=1e-5)
    assert len(ours["trainer"]["ranks"]) == RANKS
    with pytest.raises(ValueError, match="processes was 2, is 1"):
        train(TrainArgs(env="Copy-v0", steps=512, folder=tmp_path / "two", resume=True, **SMALL))
