"""``show``: an environment's settings and two of its episodes."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np

from textgym.commands import environment
from textgym.commands.common import colour, print_columns
from textgym.envs.render import amount, as_text, visible
from textgym.envs.single import TextGenEnv


def show(args: argparse.Namespace) -> None:
    """Show an environment's settings, and two episodes with the same prompt: the reference and a random agent."""
    env = environment.make(args)
    task, vocabulary = env.task, env.vocabulary
    facts = {
        env.spec.id: environment.summary(task),
        "task": f"{type(task).__name__}, split {task.split} ({len(task)} fixed episodes)",
        "arguments": ", ".join(f"{k}={v!r}" for k, v in env.spec.kwargs.items() if k not in ("task", "render_mode")),
        "reward": visible(env.state.reward.name),
        "vocabulary": f"{vocabulary.kind}, V = {vocabulary.size}, EOS is {vocabulary.eos}",
        "actions": f"{env.action_space}, {vocabulary.legal.sum()} of them tokens",
        "observation": f"{env.observation_space}: prompt {task.prompt_length}, text {task.budget}",
        "mask": "none" if env.state.legal is None else type(env.state.mask).__name__,
        "optimum": "unknown" if task.optimum is None else f"{task.optimum:g}",
        "dropped": ", ".join(f"{count} {reason}" for reason, count in task.dropped.items()) or "nothing",
        "fingerprint": task.fingerprint,
        **({"notes": "; ".join(task.notes)} if task.notes else {}),
    }
    width = max(map(len, facts)) + 2
    for name, fact in facts.items():
        print(f"{name:{width}}{fact}")
    _show_episode(env, args, "the first reference", _reference)
    _show_episode(env, args, "a random agent", _random)


def _show_episode(env: TextGenEnv, args: argparse.Namespace, title: str, agent: Callable[..., Iterator[int]]) -> None:
    environment.begin(env, args, args.seed)
    print(f"\n--- {title}")
    if agent is _reference and not env.episode.references:
        print("(the episode has no reference)")
        return
    paid = []
    for action in agent(env, args.seed):
        _, reward, ended, _, _ = env.step(action)
        paid.append(f"{env.vocabulary.token(action)} {amount(reward)}")
        if ended:
            break
    print(as_text(env.state, 0, colour=colour()))
    print("\ntoken by token")
    print_columns(paid)


def _reference(env: TextGenEnv, seed: int) -> Iterator[int]:
    yield from env.vocabulary.encode(env.episode.references[0]).tolist()
    yield env.vocabulary.eos


def _random(env: TextGenEnv, seed: int) -> Iterator[int]:
    rng = np.random.default_rng(seed)
    while True:
        yield int(rng.choice(np.flatnonzero(env.action_masks())))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    environment.add_arguments(parser)
    parser.set_defaults(seed=0)
