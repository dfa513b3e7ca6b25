"""What the benchmarks compare is the same thing: the hand-written reference env and TextGenEnv."""

import time

import numpy as np
import pytest

import textgym
from experiments.benchmarks.reference_env import ReferenceEnv
from experiments.benchmarks.task import CopyWide
from experiments.benchmarks.timing import compare, in_fresh_processes
from textgym.tasks.symbolic import Copy


@pytest.mark.parametrize("metric", ["token_match", "character_match", "character_accuracy"])
@pytest.mark.parametrize("task", [CopyWide(items=50), Copy(length=4, symbols=3)], ids=["wide", "small"])
def test_the_reference_env_does_what_the_environment_does(task, metric):
    env = textgym.TextGenEnv(task, reward=f"delta:{metric}")
    reference = ReferenceEnv(task, textgym.make_metric(metric))
    observations = [e.reset(seed=3)[0] for e in (env, reference)]
    rng, ends = np.random.default_rng(0), 0
    for _ in range(1500):
        np.testing.assert_array_equal(*observations)
        if rng.random() < 0.5:  # half right, so that something is paid
            action = int(rng.integers(task.vocabulary.size))
        else:
            at = int(env.state.lengths[0])
            ids = [*task.vocabulary.encode(env.episode.references[0]), task.vocabulary.eos]
            action = int(ids[at]) if at < len(ids) else task.vocabulary.eos
        ours, theirs = env.step(action), reference.step(action)
        assert ours[1:] == theirs[1:]
        observations = [ours[0], theirs[0]]
        if ours[2]:
            np.testing.assert_array_equal(*observations)
            ends += 1
            observations = [e.reset()[0] for e in (env, reference)]
    assert ends > 10


def test_rounds_of_fresh_processes_are_put_together():
    ratio = in_fresh_processes(compare, (time.perf_counter, time.localtime, 3, 0.001), 2)
    assert ratio.rounds.shape == (6,) and (ratio.rounds > 0).all()
    assert ratio.seconds > 0 and ratio.baseline_seconds > 0


def test_compare_times_both_sides_in_every_round():
    calls = {"fast": 0, "slow": 0}

    def count(name):
        calls[name] += 1

    ratio = compare(lambda: count("fast"), lambda: count("slow"), rounds=4, seconds=1e-4)
    assert len(ratio.rounds) == 4
    assert min(calls.values()) >= 5
    assert ratio.rounds.min() > 0


class CountingItems(tuple):
    """A tuple that counts how often it is read."""

    reads = 0

    def __getitem__(self, index):
        self.reads += 1
        return super().__getitem__(index)

    def __iter__(self):
        raise AssertionError("a reset went through all items")


def test_a_reset_reads_one_item_however_many_there_are():
    task = CopyWide(items=2000)
    task.items = CountingItems(task.items)
    env = textgym.TextGenEnv(task)
    for seed in range(20):
        env.reset(seed=seed)
    assert task.items.reads == 20
