"""What an arm's ``agent`` may be: functions that make a run and tell what came of it. Not all of them learn.

Each takes the run, a folder of its own and the checkpoint it starts from (or None), and goes on in that folder where it
was, if it was begun. Their arguments are the arm's other settings.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from agents.files import write_json
from agents.runs import versions
from experiments.registry import Run
from textgym.errors import load_object, one_of

NOT_THE_AGENTS = ("agent", "init")  # of an arm's settings
SAMPLES = 6  # texts of an agent in its record


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes:
        evaluations: see :class:`~experiments.records.Record`.
        fingerprint: of data and vocabulary; None: there are none.
        config: all settings as the trainer resolved them.
        checkpoint: what other runs can start from.
        diverged: of a trial, the error that it ended with; then it has no evaluations.
        samples: of some prompts, lists of texts: "prompt", "reference", "before" the training, "after" it.
    """

    evaluations: list[dict[str, Any]]
    fingerprint: str | None = None
    config: dict[str, Any] | None = None
    checkpoint: Path | None = None
    diverged: str | None = None
    samples: dict[str, list[str]] | None = None


def log_spaced(total: int, count: int = 10) -> tuple[int, ...]:
    """``count`` numbers of tokens up to ``total``, each the square root of 2 times the one before."""
    return tuple(sorted({max(1, round(total / 2 ** (k / 2))) for k in range(count)}))


def perform(run: Run, folder: Path, start: Path | None) -> Outcome:
    """Make a run.

    Raises:
        ValueError: an unknown agent, or a setting that it refuses.
        FloatingPointError: it diverged. A trial that does is one that is not chosen.
    """
    name = run.settings["agent"]
    call = load_object(name) if ":" in name else AGENTS[one_of("agent", name, AGENTS)]
    try:
        return call(run, folder, start, **{k: v for k, v in run.settings.items() if k not in NOT_THE_AGENTS})
    except FloatingPointError as error:
        if run.trial is None:
            raise
        return Outcome([], *_config(folder), diverged=str(error))


def transformer(run: Run, folder: Path, start: Path | None, *, evaluations: int = 10, **settings: Any) -> Outcome:
    """``agents.transformer.train``: ``settings`` are its flags; evaluated after log-spaced tokens."""
    from agents.transformer.settings import TrainArgs
    from agents.transformer.train import train

    at = log_spaced(settings["steps"], evaluations)
    common = {"seed": run.seed, "folder": folder, "resume": True, "progress": False, "device": "cpu", "init": start}
    result = train(TrainArgs(**settings, **common, eval_at=at))
    return Outcome(_rows(result.evaluations), *_config(folder), folder / "last.pt")


def sb3(run: Run, folder: Path, start: Path | None, *, evaluations: int = 10, **settings: Any) -> Outcome:
    """``agents.sb3.train``, likewise. Runs of a seed and the same settings have the same warm start."""
    from agents.sb3.settings import TrainArgs
    from agents.sb3.train import train

    at = log_spaced(settings["steps"], evaluations)
    common = {"seed": run.seed, "folder": folder, "resume": True, "progress": False, "device": "cpu"}
    args, before = TrainArgs(**settings, **common, eval_at=at), folder / "before.json"
    if not before.exists():
        train(replace(args, steps=0))  # to the end of the warm start; what follows goes on from there
        write_json(before, _texts("before", folder / "last.zip", args))
    result = train(args)
    samples = {**json.loads(before.read_text()), **_texts("after", folder / "last.zip", args)}
    return Outcome(_rows(result.evaluations), *_config(folder), samples=samples)


def likelihood(
    run: Run, folder: Path, start: Path | None, *, env: str, eval_episodes: int, eval_first: int = 0,
    updates: int | None = None, tokens: int | None = None, rate: float = 1e-3, batch: int = 64, evaluations: int = 10,
    env_kwargs: dict[str, Any] | None = None, **network: Any,
) -> Outcome:  # fmt: skip
    """Likelihood training of the Transformer on the references of the train split. It begins anew when it is killed.

    Args:
        updates: of ``batch`` references each; or ``tokens``, of references (EOS included), rounded to whole updates.
        rate: learning rate, falling linearly to 0; of a run that starts from a checkpoint, too.
        network: flags of the Transformer trainer that make its network, the one of the checkpoint.
    """
    from agents.evaluation import evaluation_env
    from agents.transformer.checkpoints import load_policy
    from agents.transformer.pretrain import pretrain
    from agents.transformer.settings import TrainArgs
    from agents.transformer.train import train

    env_kwargs = env_kwargs or {}
    common = {"env": env, "env_kwargs": env_kwargs, "eval_episodes": eval_episodes, "steps": 0, "seed": run.seed}
    common |= {"folder": folder, "overwrite": True, "progress": False, "device": "cpu", "init": start, **network}
    train(TrainArgs(**common))  # makes the network, and the folder
    policy, _ = load_policy(folder / "last.pt")
    task = evaluation_env(env, "train", num_envs=1, **env_kwargs).task
    of_text = np.random.default_rng(0)
    each = batch * np.mean([_tokens(task, of_text) for _ in range(500)])  # tokens of an update
    updates = updates or max(1, round(tokens / each))
    look = PolicyEvaluator(env, env_kwargs, eval_episodes, eval_first)
    at, began = set(log_spaced(updates, evaluations)), time.monotonic()
    rows = [look(policy, 0, 0.0)]

    def seen(update: int, loss: float) -> None:
        if update + 1 in at:
            rows.append({**look(policy, round((update + 1) * each), time.monotonic() - began), "loss": loss})

    # another stream of references than that of the run it starts from
    pretrain(policy, task, updates, batch=batch, rate=rate, seed=run.seed + (10_000 if start else 0), progress=seen)
    saved = folder / "policy.pt"
    _save_policy(folder / "last.pt", policy, saved)
    return Outcome(rows, *_config(folder), saved)


def temperature(
    run: Run, folder: Path, start: Path | None, *, env: str, eval_episodes: int, temperatures: Sequence[float],
    env_kwargs: dict[str, Any] | None = None,
) -> Outcome:  # fmt: skip
    """The warm start as it is, sampled at the best of some temperatures: what sharper sampling alone is worth.

    The temperature is chosen on the ``eval_episodes`` validation episodes behind those that are reported.
    """
    from agents.evaluation import evaluate, evaluation_env
    from agents.transformer.agent import PolicyAgent
    from agents.transformer.checkpoints import load_policy
    from agents.transformer.sampling import Sampling

    policy, _ = load_policy(start)
    environment = evaluation_env(env, **(env_kwargs or {}))
    found = {}
    for t in temperatures:
        agent = PolicyAgent(policy, environment.prompt_length, Sampling(t))
        scores = evaluate(agent, environment, 2 * eval_episodes).scores
        if len(scores) <= eval_episodes:
            raise ValueError(f"{env} has {len(scores)} validation episodes, none beyond eval_episodes={eval_episodes}")
        found[t] = scores[eval_episodes:].mean(), scores[:eval_episodes].mean()
    best = max(found, key=lambda t: found[t][0])
    row = PolicyEvaluator(env, env_kwargs or {}, eval_episodes)(policy, 0, 0.0)
    row |= {"sampled": float(found[best][1]), "temperature": best}
    return Outcome([row], _fingerprint(env, env_kwargs), {**run.settings, "versions": _versions()})


def baseline(
    run: Run, folder: Path, start: Path | None, *, env: str, baseline: str, eval_episodes: int,
    env_kwargs: dict[str, Any] | None = None,
) -> Outcome:  # fmt: skip
    """An agent of ``agents/baselines.py``, which does not learn."""
    from agents.baselines import make_baseline
    from agents.evaluation import evaluate, evaluation_env

    environment = evaluation_env(env, **(env_kwargs or {}))
    agent = make_baseline(baseline, env, environment.task, run.seed, **(env_kwargs or {}))
    row = _row({**evaluate(agent, environment, eval_episodes).summary(), "steps": 0, "wall_s": 0.0})
    row["sampled"] = row["greedy"]
    return Outcome([row], _fingerprint(env, env_kwargs), {**run.settings, "versions": _versions()})


AGENTS: dict[str, Callable[..., Outcome]] = {
    call.__name__: call for call in (transformer, sb3, likelihood, temperature, baseline)
}


def policy_digest(checkpoint: Path) -> str:
    """16 hexadecimal digits of the weights in a checkpoint."""
    from agents.transformer.checkpoints import read_checkpoint

    digest = hashlib.sha256()
    for name, tensor in sorted(read_checkpoint(checkpoint)["policy"].items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


# -- evaluations as a record has them ----------------------------------------------------------------


class PolicyEvaluator:
    """Greedy and sampled true scores of a policy on fixed validation episodes, from the index ``first`` on."""

    def __init__(self, env: str, env_kwargs: dict[str, Any], episodes: int, first: int = 0):
        from agents.evaluation import evaluation_env

        self.env = evaluation_env(env, num_envs=min(episodes, 128), **env_kwargs)
        self.visited = {"episodes": episodes, "first": first}

    def __call__(self, policy, tokens: int, wall: float) -> dict[str, Any]:
        from agents.evaluation import evaluate
        from agents.transformer.agent import PolicyAgent
        from agents.transformer.sampling import Sampling

        greedy, sampled = (
            evaluate(PolicyAgent(policy, self.env.prompt_length, sampling), self.env, **self.visited)
            for sampling in (None, Sampling())
        )
        return _row({**greedy.summary(), "sampled": sampled.mean_score, "steps": tokens, "wall_s": wall})


def _rows(evaluations: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of a trainer's table, from the agent that reinforcement learning starts from."""
    warm = any(row["event"] == "warm_start" for row in evaluations)
    return [_row(row) for row in evaluations if not (warm and row["event"] == "start")]


def _row(row: dict[str, Any]) -> dict[str, Any]:
    names = ("success", "return", "length", "end_eos", "end_budget", "end_illegal", "episodes")
    return {
        "tokens": int(row["steps"]),
        "greedy": row["score"],
        "sampled": row.get("sampled"),
        **{name: row.get(name) for name in (*names, "entropy", "kl", "start_kl")},
        "terms": {name.removeprefix("term_"): value for name, value in row.items() if name.startswith("term_")},
        "wall_s": round(row["wall_s"], 2),
    }


def _texts(when: str, checkpoint: Path, args) -> dict[str, list[str]]:
    """What an SB3 agent makes of the first validation prompts, by its likeliest tokens."""
    from agents.evaluation import evaluate, load_agent

    agent, _ = load_agent(checkpoint)
    found = evaluate(agent, args.env, SAMPLES, **args.env_kwargs)
    return {"prompt": found.prompts, "reference": [each[0] for each in found.references], when: found.texts}


def _config(folder: Path) -> tuple[str, dict[str, Any]]:
    config = json.loads((folder / "config.json").read_text())
    return config["fingerprint"], {name: value for name, value in config.items() if name not in ("folder", "init")}


def _fingerprint(env: str, env_kwargs: dict[str, Any] | None) -> str:
    """Of the train split, as trainers record it."""
    from agents.evaluation import evaluation_env

    return evaluation_env(env, "train", num_envs=1, **(env_kwargs or {})).task.fingerprint


def _versions() -> dict[str, str]:
    return versions("gymnasium", "torch", "numpy")


def _save_policy(like: Path, policy, path: Path) -> None:
    """A checkpoint as ``like``, with the weights of ``policy``."""
    import torch

    from agents.files import replacing
    from agents.transformer.checkpoints import read_checkpoint

    saved = read_checkpoint(like)
    with replacing(path) as file:
        torch.save({**{k: saved[k] for k in ("format", "config", "history")}, "policy": policy.state_dict()}, file)


def _tokens(task, rng: np.random.Generator) -> int:
    """Tokens of a reference, EOS included."""
    return len(task.vocabulary.encode(task.sample(rng).references[0])) + 1
