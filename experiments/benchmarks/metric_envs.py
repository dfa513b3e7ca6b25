"""What metrics cost in environments: tokens a second, and their share of training."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU as SacreBLEU
from stable_baselines3 import PPO
from tqdm import tqdm

import textgym
from experiments.benchmarks.metric_rows import python_code
from experiments.benchmarks.prose import Rewrite, likely_actions
from experiments.measurements import Table
from textgym.sb3 import SB3VecEnv
from textgym.sb3.encoders import policy_kwargs

TRAINED_ROWS = 64
COMPILED = ("delta:bleu", "delta:chrf", "delta:cer")


def sacrebleu_on_the_prefix(text: str, references: tuple[str, ...]) -> float:
    """Sentence BLEU as people pay it per token now: sacrebleu on the text so far."""
    return _SACREBLEU.sentence_score(text, list(references)).score / 100 if references else 0.0


def rouge_score_on_the_prefix(text: str, references: tuple[str, ...]) -> float:
    """ROUGE-L as people pay it per token now."""
    return _ROUGE.score_multi(references, text)["rougeL"].fmeasure if references else 0.0


_SACREBLEU = SacreBLEU(effective_order=True)
_ROUGE = RougeScorer(["rougeL"])


def stepping_table(rows: Sequence[int], seconds: float) -> Table:
    """``seconds``: about how long each environment is stepped."""
    rewards = {"nothing at every token (terminal:token_match)": "terminal:token_match"}
    names = ("token_match", "token_bleu", "bleu", "chrf", "rougeL", "cer")
    rewards |= {f"delta:{name}": f"delta:{name}" for name in names}
    rewards["delta of BLEU, ROUGE-1, ROUGE-L and chrF"] = [f"delta:{n}" for n in ("bleu", "rouge1", "rougeL", "chrf")]
    rewards["delta of sacrebleu called on the prefix"] = textgym.Delta(sacrebleu_on_the_prefix)
    columns = [("reward", "{}"), *((f"{n:,} rows", "{:.1f}") for n in rows)]
    table = Table("Tokens a second of the vector env, V = 8,192, texts of 60 tokens (thousands)", columns, [])
    for name, reward in tqdm(rewards.items(), desc="stepping"):
        rates = [stepping(reward, n, seconds) / 1000 for n in rows]
        table.rows.append([name, *rates])
        if name in COMPILED:
            with python_code():
                rates = [stepping(reward, n, seconds) / 1000 for n in rows[1:]]
            table.rows.append([f"{name}, Python code", None, *rates])
    return table


def stepping(reward: object, rows: int, seconds: float) -> float:
    """Tokens a second of a vector env of ``rows`` rows that writes nearly right texts of 64 tokens."""
    task = Rewrite(64)
    env = textgym.TextGenVectorEnv(task, rows, reward=reward, autoreset_mode="SameStep", copy=False)
    rng, spent, tokens = np.random.default_rng(0), 0.0, 0
    env.reset(seed=0)
    for _ in range(300 if rows == 1 else 20):
        if spent > seconds:
            break
        env.reset()
        actions = likely_actions(task, env.episodes, rng)[:60]
        start = time.perf_counter()
        for action in actions:
            env.step(action)
        spent += time.perf_counter() - start
        tokens += actions.size
    return tokens / spent


class Training:
    """SB3 PPO that is paid a reward: embedding bag, V = 128 (characters), 64 rows, default settings but n_steps.

    With fewer steps a rollout an update has fewer minibatches: per token, they are as many.
    """

    def __init__(self, reward: object, budget: int, n_steps: int):
        task = Rewrite(budget - 8, 128, budget=budget)
        self.env = textgym.TextGenVectorEnv(task, TRAINED_ROWS, reward=reward, autoreset_mode="SameStep")
        kwargs = policy_kwargs("bag", prompt_length=task.prompt_length)
        env = SB3VecEnv(self.env)
        self.model = PPO("MlpPolicy", env, n_steps=n_steps, seed=0, device="cpu", policy_kwargs=kwargs)
        self.paid = 0.0  # seconds in the reward: decoding the new tokens, its step and its reset
        paying, stream = self.env.state.paying, self.env.state.stream
        paying.step, paying.reset = self._timed(paying.step), self._timed(paying.reset)
        if stream is not None:
            stream.push = self._timed(stream.push)

    def _timed(self, function: Callable) -> Callable:
        def call(*arguments, **keywords):
            start = time.perf_counter()
            try:
                return function(*arguments, **keywords)
            finally:
                self.paid += time.perf_counter() - start

        return call

    def learn(self) -> tuple[float, float]:
        """Seconds that another rollout and update take for a token, and of these the reward's."""
        self.paid, start = 0.0, time.perf_counter()
        tokens = TRAINED_ROWS * self.model.n_steps
        self.model.learn(tokens, reset_num_timesteps=False)
        return (time.perf_counter() - start) / tokens, self.paid / tokens


def training_table(budgets: Sequence[int], n_steps: int, rounds: int = 2) -> Table:
    """Each reward in turn takes ``rounds`` rollouts of ``n_steps`` tokens a row, and updates after them."""
    rewards = {"nothing (terminal:token_match)": "terminal:token_match"}
    rewards |= {"delta:bleu": "delta:bleu", "sacrebleu on the prefix": textgym.Delta(sacrebleu_on_the_prefix)}
    rewards |= {"delta:rougeL": "delta:rougeL", "rouge-score on the prefix": textgym.Delta(rouge_score_on_the_prefix)}
    caption = f"SB3 PPO, embedding bag, V = 128 (characters), {TRAINED_ROWS} rows, wall time of rollouts and updates"
    columns = [("budget", "{}"), ("reward", "{}"), ("tokens/s", "{:,.0f}"), ("share of the reward", "{:.1%}")]
    table = Table(caption, columns, [])
    for budget in tqdm(budgets, desc="training"):
        each = [Training(reward, budget, n_steps) for reward in rewards.values()]
        seconds = np.array([[training.learn() for training in each] for _ in range(rounds)]).sum(axis=0) / rounds
        for name, (total, paid) in zip(rewards, seconds, strict=True):
            table.rows.append([budget, name, 1 / total, paid / total])
    return table
