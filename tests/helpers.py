"""What several test files share: comparing nested results, choosing tokens, a task and rewards of a user's own."""

import itertools
import pickle
import re
import subprocess
import time
from inspect import signature
from pathlib import Path

import gymnasium as gym
import numpy as np

from agents.runs import read_evaluations
from textgym import DatasetTask, EditDistance, Episode, RewardFunction, RewardState, make_vocabulary
from textgym.metrics import METRICS

# a model has to be named for the others, and naive Bayes learns from tasks with classes
METRICS_WITHOUT_ARGUMENTS = [
    name
    for name, make in METRICS.items()
    if name != "naive_bayes" and all(p.default is not p.empty for p in signature(make).parameters.values())
]
ROOT = Path(__file__).parents[1]
MODES = ["NextStep", "SameStep", "Disabled"]
MASKED = {"mask": {"name": "banned", "tokens": [0]}}


def shown(value):
    """``repr`` without memory addresses: parallel runs need the same names of tests in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def assert_same(ours, theirs, where="result"):
    """Equal all the way down: types, keys, dtypes, shapes, values."""
    assert type(ours) is type(theirs), f"{where}: {ours!r} is no {type(theirs).__name__} {theirs!r}"
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), f"{where}: {sorted(ours)} != {sorted(theirs)}"
        for key, value in theirs.items():
            assert_same(ours[key], value, f"{where}[{key!r}]")
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs), where
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(a, b, f"{where}[{i}]")
    elif isinstance(theirs, np.ndarray) and theirs.dtype == object:
        assert ours.dtype == object, f"{where}: {ours.dtype}"
        assert_same(ours.tolist(), theirs.tolist(), where)
    elif isinstance(theirs, np.ndarray):
        if ours.dtype == theirs.dtype and ours.shape == theirs.shape and (ours == theirs).all():
            return  # much faster than what follows
        np.testing.assert_array_equal(ours, theirs, err_msg=where, strict=True)
    elif type(theirs).__eq__ is object.__eq__ and theirs is not None:
        assert_same(contents(ours), contents(theirs), where)
    else:
        assert ours == theirs, f"{where}: {ours!r} != {theirs!r}"


def contents(thing):
    """The attributes of an object, in slots or not."""
    slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    return getattr(thing, "__dict__", {}) | {name: getattr(thing, name) for name in slots}


def arrays(tree):
    """Every numeric array in nested dicts, tuples and object arrays."""
    if isinstance(tree, np.ndarray) and tree.dtype != object:
        yield tree
    elif isinstance(tree, dict):
        for value in tree.values():
            yield from arrays(value)
    elif isinstance(tree, (list, tuple, np.ndarray)):
        for value in tree:
            yield from arrays(value)


def scribble_over(tree):
    """Change every array."""
    for array in arrays(tree):
        array[...] = ~array if array.dtype == bool else 77


def written(env, observations):
    """Tokens written so far, (n,), as the observations (n, ...) show it."""
    tokens = observations["tokens"] if isinstance(observations, dict) else observations
    return (tokens[:, env.task.prompt_length :] != env.vocabulary.pad).sum(axis=1)


def some_tokens(rng, env, observations):
    """Token ids (n,) for a vector env: mostly the next one of the reference, now and then EOS, else any."""
    actions = rng.integers(env.vocabulary.size, size=env.num_envs)
    for row, (length, choice) in enumerate(zip(written(env, observations), rng.random(env.num_envs), strict=True)):
        right = [*env.vocabulary.encode((*env.episodes[row].references, "")[0]), env.vocabulary.eos]
        if choice < 0.75 and length < len(right):
            actions[row] = right[length]
        elif choice < 0.8:
            actions[row] = env.vocabulary.eos
    return actions


def a_word(env):
    """The first token that is legal and does not end the text."""
    vocabulary = env.unwrapped.vocabulary
    return next(id for id in np.flatnonzero(vocabulary.legal).tolist() if id != vocabulary.eos)


def check_splits(build, n=100):
    """``build(split)`` makes tasks with the same fixed episodes always; what n of them and n drawn ones are is their
    split's alone."""
    found = {}
    for split in ("train", "validation", "test"):
        task = build(split)
        again, rng = pickle.loads(pickle.dumps(task)), np.random.default_rng(0)
        fixed = [task.episode(i) for i in range(n)]
        assert fixed == [again.episode(i) for i in range(n)] and again.fingerprint == task.fingerprint
        found[split] = {task.identity(episode) for episode in (*fixed, *(task.sample(rng) for _ in range(n)))}
        assert len(found[split]) > 1.9 * n and not task.dropped
    assert not any(found[a] & found[b] for a, b in itertools.combinations(found, 2))


def vector(env_id, n, mode="SameStep", **kwargs):
    return gym.make_vec(env_id, num_envs=n, autoreset_mode=mode, **kwargs)


def play(env, actions, seed=0, options=None):
    """One episode of a single env: the reset's result and those of the steps until the end."""
    results = [env.reset(seed=seed, options=options)]
    for action in actions:
        results.append(env.step(int(action)))
        if results[-1][2]:
            break
    return results


def write(env, text, **kwargs):
    """:func:`play` a text and EOS."""
    return play(env, [*env.vocabulary.encode(text), env.vocabulary.eos], **kwargs)


class Phrases(DatasetTask):
    """Short texts of many scripts, with none, one or two references, and prompts of different lengths."""

    metric = EditDistance("character", "accuracy")
    ITEMS = [
        ("", ("naïve café",)),
        ("two", ("我爱你 说", "汉字")),
        ("a smile", ("😀👍🏽 ok",)),
        ("none at all", ()),
        ("or nothing", ("", "ab")),
        ("words", ("the cat sat", "a cat sits")),
    ]

    def __init__(self, split="train", tokenizer="byte_bpe", budget=None, lossy=False):
        items = [Episode(prompt, references) for prompt, references in self.ITEMS]
        texts = [text for item in items for text in (item.prompt, *item.references)]
        super().__init__(
            items,
            vocabulary=make_vocabulary(tokenizer, lambda: texts),
            prompt_length=14,
            budget=budget or 28,
            split=split,
            lossy=lossy,
        )


class Lottery(RewardFunction):
    """Random pay, with a bonus drawn at the start of each episode: uses the reward's generators in both places."""

    name = "lottery"
    needs_text = False

    def start(self, n, rngs, metrics):
        return _Lottery(n, rngs)


class _Lottery(RewardState):
    def __init__(self, n, rngs):
        self.rngs = rngs
        self.bonus = np.zeros(n)

    def reset(self, rows, episodes):
        for row in rows.tolist():
            self.bonus[row] = self.rngs[row].normal()

    def step(self, step):
        paid = np.array([self.bonus[row] + self.rngs[row].normal() for row in step.rows.tolist()])
        self.terms = {"lottery": paid}
        return paid


class Vowels(RewardFunction):
    """A user's own reward: each new vowel pays, and how many there are is remembered (committed text only)."""

    name = "vowels"

    def start(self, n, rngs, metrics):
        return _Vowels(n)


class _Vowels(RewardState):
    def __init__(self, n):
        self.found = [0] * n

    def reset(self, rows, episodes):
        for row in rows.tolist():
            self.found[row] = 0

    def step(self, step):
        new = [sum(map("aeiou".count, piece)) for piece in step.pieces]
        for row, count in zip(step.rows.tolist(), new, strict=True):
            self.found[row] += count
        self.terms = {
            "new_vowels": np.array(new, float),
            "many": np.array([0.1 * self.found[r] for r in step.rows.tolist()]),
        }
        return self.terms["new_vowels"] + self.terms["many"]


def killed_after(command, folder, evaluations=3):
    """Run a trainer's command until evaluations.csv in ``folder`` has some lines, kill it: the lines."""
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        deadline = time.monotonic() + 120
        while not (folder / "evaluations.csv").exists() or len(read_evaluations(folder)) < evaluations:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    return read_evaluations(folder)
