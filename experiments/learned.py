"""Arms that are paid by a reward model: one that has texts of a warm start judged and learns from that, and policies.

The judge is simulated: it knows the true score and errs. The arms share one reward model a seed: it is in the
checkpoint of :func:`judged`, beside the policy whose texts were judged, which is the one that they start from.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from experiments.arms import Outcome, PolicyEvaluator, transformer
from experiments.registry import Run


def judged(
    run: Run, folder: Path, start: Path | None, *, env: str, eval_episodes: int, judgements: int,
    kind: str = "comparison", each: int = 4, error: float = 0.1, env_kwargs: dict[str, Any] | None = None,
    **training: Any,
) -> Outcome:  # fmt: skip
    """A reward model, from judgements of texts that the warm start ``start`` wrote; it begins as the warm start.

    Its only evaluation is that of the warm start, with ``accuracy``, ``bayes_accuracy`` (of who knows the true scores)
    and ``log_loss`` on held-out comparisons, or ``rmse`` and ``rmse_of_mean`` of held-out ratings, or ``accuracy``, the
    share of the tokens of held-out marked words at which the score moves as they were marked.

    Args:
        judgements: how many; there are texts enough for each to be judged once.
        kind: comparison, rating, or marks: of all words of a text, by the reference.
        each: texts for each prompt.
        error: of the annotator.
        training: flags of ``agents.reward_model.train``.
    """
    import torch

    from agents.evaluation import evaluation_env
    from agents.feedback.sample import SampleArgs, sample
    from agents.feedback.simulated import SimulatedAnnotator
    from agents.feedback.store import Store
    from agents.files import replacing
    from agents.reward_model.train import RewardArgs, train
    from agents.transformer.checkpoints import load_policy, read_checkpoint

    env_kwargs, began = env_kwargs or {}, time.monotonic()
    policy, config = load_policy(start)
    row = PolicyEvaluator(env, env_kwargs, eval_episodes)(policy, 0, 0.0)
    store, texts = folder / "feedback.db", judgements * (2 if kind == "comparison" else 1)
    sampling = {
        "prompts": -(-texts // each),
        "each": each,
        "seed": each * run.seed,
        "progress": False,
    }  # one for each of them
    sample(SampleArgs(store, str(start), env_kwargs=env_kwargs, **sampling))
    references = {}
    if kind == "marks":
        task = evaluation_env(env, "train", num_envs=1, **env_kwargs).task
        episodes = map(task.episode, range(min(sampling["prompts"], len(task))))
        references = {each.prompt: each.references for each in episodes}
    annotator = SimulatedAnnotator(error, seed=run.seed, references=references)
    with Store(store) as opened:
        row["judgements"] = annotator.annotate(opened, kind, judgements)
    common = {"seed": run.seed, "halvings": 0, "device": "cpu", "progress": False, "overwrite": True, "init": start}
    report = train(RewardArgs(store, env, env_kwargs, folder=folder / "reward", **common, **training))
    seen = report["curve"][-1].get(kind if kind == "marks" else f"{kind}s", {})
    row |= {to: seen.get(of) for of, to in NAMES.items()} | {"wall_s": round(time.monotonic() - began, 2)}
    path = folder / "judged.pt"
    model = torch.frombuffer(bytearray((folder / "reward" / "reward.pt").read_bytes()), dtype=torch.uint8)
    saved = {name: value for name, value in read_checkpoint(start).items() if name != "trainer"}
    with replacing(path) as file:
        torch.save({**saved, "reward_model": model}, file)
    reward = {name: value for name, value in report["config"].items() if name != "init"}
    kept = {**run.settings, "reward_model": reward, "versions": config["versions"]}
    return Outcome([row], config["fingerprint"], kept, path)


# of a reward model's report -> in an evaluation
NAMES = {
    "accuracy": "accuracy", "true_score": "bayes_accuracy", "log_loss": "log_loss", "rmse": "rmse",
    "rmse_of_mean": "rmse_of_mean",
}  # fmt: skip


def learned(
    run: Run, folder: Path, start: Path | None, *, schedule: str = "delta", penalty: float = 0.0, **settings: Any
) -> Outcome:
    """``agents.transformer.train`` from the warm start in ``start``, paid by nothing but the reward model there.

    Evaluations have ``learned`` too: what it thinks of the greedy texts. So has every setting of ``transformer``.

    Args:
        schedule: how it is paid.
        penalty: see :class:`~textgym.metrics.learned.Learned`.
    """
    from agents.files import replacing
    from agents.transformer.checkpoints import read_checkpoint

    model = folder / "reward.pt"
    with replacing(model) as file:
        file.write(read_checkpoint(start)["reward_model"].numpy().tobytes())
    metric = {"name": "learned", "model": str(model), "penalty": penalty}
    outcome = transformer(run, folder, start, reward={"name": schedule, "metric": metric}, **settings)
    for row in outcome.evaluations:
        row["learned"] = next((value for name, value in row["terms"].items() if "learned" in name), None)
    config = json.loads(json.dumps(outcome.config).replace(json.dumps(str(model))[1:-1], model.name))
    return Outcome(outcome.evaluations, outcome.fingerprint, config, outcome.checkpoint)
