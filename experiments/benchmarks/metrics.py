"""What exact metrics cost at every token, against calling the reference library on the text so far.

    python -m experiments.benchmarks.metrics [--quick] [--output FILE]

English prose in byte-level BPE (V = 8,192), one thread; texts are references with noise in 35 % of their words. The
library scores the same prefixes, given to it ready decoded, at up to 24 places spread over the text; its objects
and references are kept between calls where it can. Ratios are medians over rounds that time both sides one after
the other, each round on fresh texts (the libraries memoise lines); in brackets the 10th and 90th percentile.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import rouge_score
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU as SacreBLEU
from sacrebleu.metrics import CHRF as SacreCHRF
from stable_baselines3 import PPO
from tqdm import tqdm

import textgym
from experiments.benchmarks.flags import flags
from experiments.benchmarks.metric_rows import compiled_resets, compiled_rows, in_arrays, python_code
from experiments.benchmarks.prose import Rewrite, likely_actions, pair, vocabulary
from experiments.benchmarks.timing import Ratio
from textgym.episode import Episode
from textgym.metrics import BLEU, ROUGE, ChrF, EditDistance, Metric, OptimisticEditDistance
from textgym.sb3 import SB3VecEnv
from textgym.sb3.encoders import policy_kwargs

LENGTHS = (16, 64, 256, 1024)
PLACES = 24  # prefixes of a text that the library scores


@dataclass(frozen=True)
class Compared:
    """Metrics of ours that together are what one call of the library computes."""

    name: str
    ours: tuple[Metric, ...]
    library: Callable[[str], Callable[[str], object]]  # reference -> (text -> score)


def sacre(kind: type) -> Callable[[str], Callable[[str], object]]:
    """Sentence scores by an object that is kept."""
    scorer = kind(effective_order=True) if kind is SacreBLEU else kind()
    return lambda reference: lambda text: scorer.sentence_score(text, [reference])


def sacre_cached(kind: type) -> Callable[[str], Callable[[str], object]]:
    """The same with what is computed of the reference kept, by the library's own option."""

    def start(reference):
        options = {"effective_order": True} if kind is SacreBLEU else {}
        scorer = kind(references=[[reference]], **options)
        return lambda text: scorer.corpus_score([text], None)

    return start


def rouge(*kinds: str, stem: bool = False) -> Callable[[str], Callable[[str], object]]:
    scorer = RougeScorer(list(kinds), use_stemmer=stem)
    return lambda reference: lambda text: scorer.score(reference, text)


ALL_ROUGE = tuple(ROUGE(kind) for kind in "12L")
METRICS = (
    Compared("BLEU against sacrebleu, object kept", (BLEU(),), sacre(SacreBLEU)),
    Compared("BLEU against sacrebleu, object and reference kept", (BLEU(),), sacre_cached(SacreBLEU)),
    Compared("chrF against sacrebleu, object kept", (ChrF(),), sacre(SacreCHRF)),
    Compared("ROUGE-1, 2 and L against rouge-score", ALL_ROUGE, rouge("rouge1", "rouge2", "rougeL")),
    Compared(
        "ROUGE-1, 2 and L, stemmed, against rouge-score",
        tuple(ROUGE(kind, stem=True) for kind in "12L"),
        rouge("rouge1", "rouge2", "rougeL", stem=True),
    ),
)


EDIT_DISTANCES = (EditDistance(), EditDistance("word"), OptimisticEditDistance())


def follow(metrics: tuple[Metric, ...], episode: Episode, pieces: list[tuple[str, str]]) -> float:
    """Seconds that the metrics take for all pieces of a text; the text is decoded once for all of them."""
    start = time.perf_counter()
    each = [metric.start(episode) for metric in metrics]
    for piece, provisional in pieces:
        for progress in each:
            progress.push(piece, provisional)
    return time.perf_counter() - start


def pieces_of(ids: list[int]) -> list[tuple[str, str]]:
    stream, row = vocabulary().stream(1), np.zeros(1, np.int64)
    pushed = (stream.push(row, np.array([id])) for id in ids)
    return [(piece, provisional) for (piece,), (provisional,) in pushed]


def against_library(compared: Compared, tokens: int, rounds: int) -> Ratio:
    """Seconds a token: ours over the whole text, the library's at PLACES prefixes of it."""
    rng, times = np.random.default_rng(tokens), np.empty((rounds, 2))
    for r in range(rounds):
        reference, ids = pair(tokens, rng)
        pieces = pieces_of(ids)
        at = np.unique(np.linspace(1, len(ids), PLACES).astype(int))
        prefixes = [vocabulary().decode(ids[:t]) for t in at]
        episode = Episode("", (reference,))
        follow(compared.ours, episode, pieces[:1])  # what is computed of a reference is kept: see ``set_up``
        times[r, 0] = follow(compared.ours, episode, pieces) / len(ids)
        score = compared.library(reference)
        score(prefixes[0])
        start = time.perf_counter()
        for prefix in prefixes:
            score(prefix)
        times[r, 1] = (time.perf_counter() - start) / len(prefixes)
    return Ratio(float(np.median(times[:, 0])), float(np.median(times[:, 1])), times[:, 1] / times[:, 0])


def flatness(metrics: tuple[Metric, ...], rounds: int) -> Ratio:
    """Seconds a token of texts of 64 tokens, and of texts of 1,024, 16 of the first for one of the second."""
    rng, times = np.random.default_rng(1), np.empty((rounds, 2))
    for r in range(rounds):
        for column, tokens in enumerate((64, 1024)):
            texts = [pair(tokens, rng) for _ in range(1024 // tokens)]
            each = [(Episode("", (reference,)), pieces_of(ids)) for reference, ids in texts]
            for episode, pieces in each:
                follow(metrics, episode, pieces[:1])
            times[r, column] = sum(follow(metrics, *one) for one in each) / sum(len(pieces) for _, pieces in each)
    return Ratio(float(np.median(times[:, 0])), float(np.median(times[:, 1])), times[:, 1] / times[:, 0])


_FRESH = np.random.default_rng(2)  # goes on from call to call: no metric meets another's references


def set_up(metrics: tuple[Metric, ...], tokens: int) -> float:
    """Seconds to begin a text whose reference has not been met before."""
    episodes = [Episode("", (pair(tokens, _FRESH)[0],)) for _ in range(10)]
    start = time.perf_counter()
    for episode in episodes:
        for metric in metrics:
            metric.start(episode)
    return (time.perf_counter() - start) / len(episodes)


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


def by_library(text: str, references: tuple[str, ...]) -> float:
    """Sentence BLEU as people pay it per token now: sacrebleu on the text so far."""
    return _SCORER.sentence_score(text, list(references)).score / 100 if references else 0.0


_SCORER = SacreBLEU(effective_order=True)


def training(reward: object, budget: int, n_steps: int) -> tuple[float, float]:
    """Seconds that one rollout and update of SB3 PPO take for a token, and of these the reward's.

    Embedding bag, V = 128, 64 rows, default settings (``n_steps`` 2,048). The reward's: decoding the new tokens, its
    step and its reset.
    """
    task = Rewrite(budget - 8, 128, budget=budget)
    env = textgym.TextGenVectorEnv(task, 64, reward=reward, autoreset_mode="SameStep")
    spent = {"reward": 0.0}

    def timed(function):
        def call(*arguments, **keywords):
            start = time.perf_counter()
            try:
                return function(*arguments, **keywords)
            finally:
                spent["reward"] += time.perf_counter() - start

        return call

    paying, stream = env.state.paying, env.state.stream
    paying.step, paying.reset = timed(paying.step), timed(paying.reset)
    if stream is not None:
        stream.push = timed(stream.push)
    kwargs = policy_kwargs("bag", prompt_length=task.prompt_length)
    model = PPO("MlpPolicy", SB3VecEnv(env), n_steps=n_steps, seed=0, device="cpu", policy_kwargs=kwargs)
    spent["reward"] = 0.0
    start = time.perf_counter()
    model.learn(64 * n_steps)
    return (time.perf_counter() - start) / (64 * n_steps), spent["reward"] / (64 * n_steps)


def shown(times: np.ndarray, digits: int = 2) -> str:
    """Compiled code, Python code, us, and how many times as fast; ``times``: seconds, (rounds, 2)."""
    ours, python = np.median(times, axis=0) * 1e6
    return f"{ours:.{digits}f}, {python:.{digits}f}, {Ratio(ours, python, times[:, 1] / times[:, 0])}"


def main() -> None:
    args = flags("experiments.benchmarks.metrics", __doc__)
    import torch

    torch.set_num_threads(1)
    lengths, rounds = (LENGTHS[:2], 3) if args.quick else (LENGTHS, 9)
    lines = [
        f"sacrebleu {sacrebleu.__version__}, rouge-score {getattr(rouge_score, '__version__', '0.1.2')}, "
        f"numpy {np.__version__}, Python {platform.python_version()}, {platform.machine()}",
        "",
        "us a token, the library's us a call on the prefix, times as fast:",
        "",
        "| metric | "
        + " | ".join(f"{t:,} tokens" for t in lengths)
        + " | a token at 1,024 over one at 64 | new reference, 64 tokens |",
        "|---|" + "---|" * (len(lengths) + 2),
    ]
    for compared in tqdm(METRICS, desc="against the libraries"):
        cells = []
        for tokens in lengths:
            ratio = against_library(compared, tokens, rounds if tokens < 1024 else max(3, rounds // 3))
            cells.append(f"{ratio.seconds * 1e6:.1f}, {ratio.baseline_seconds * 1e6:,.0f}, {ratio}")
        flat = flatness(compared.ours, rounds)
        lines.append(f"| {compared.name} | {' | '.join(cells)} | {flat} | {set_up(compared.ours, 64) * 1e6:.0f} us |")
    for metric in EDIT_DISTANCES:
        cells = []
        for tokens in lengths:
            rng = np.random.default_rng(tokens)
            texts = [pair(tokens, rng) for _ in range(rounds)]
            each = [(Episode("", (reference,)), pieces_of(ids)) for reference, ids in texts]
            for episode, pieces in each:
                follow((metric,), episode, pieces[:1])
            cells.append(f"{np.median([follow((metric,), *one) / len(one[1]) for one in each]) * 1e6:.1f}")
        lines.append(
            f"| {metric.name} (us a token) | {' | '.join(cells)} | {flatness((metric,), rounds)} "
            f"| {set_up((metric,), 64) * 1e6:.0f} us |"
        )
    lines += ["", "BLEU on token ids, in arrays (token_bleu), against sacrebleu on the ids, object kept:", ""]
    lines += ["| tokens | rows | us a token and row | sacrebleu | times as fast |", "|---|---|---|---|---|"]
    for tokens in (64, 256):
        for n in (64, 1024):
            ratio = in_arrays(tokens, n, rounds, PLACES)
            us, library = ratio.seconds * 1e6, ratio.baseline_seconds * 1e6
            lines.append(f"| {tokens} | {n:,} | {us:.2f} | {library:.0f} | {ratio} |")
    shapes = [(tokens, 64) for tokens in lengths[1:]] + [(64, 1024)]
    lines += ["", "Many rows of texts, us a token and row: compiled code, Python code, times as fast:", ""]
    lines += [
        "| metric | "
        + " | ".join(f"{tokens:,} tokens, {n:,} rows" for tokens, n in shapes)
        + f" | a token at {lengths[-1]:,} over one at 64, 64 rows: compiled, Python | new reference, 64 tokens |",
        "|---|" + "---|" * (len(shapes) + 2),
    ]
    for metric in tqdm((BLEU(), ChrF(), *EDIT_DISTANCES), desc="compiled code"):
        times = compiled_rows(metric, shapes, max(3, rounds // 3))
        cells = [shown(times[:, i]) for i in range(len(shapes))]
        flat = np.median(times[:, len(shapes) - 2] / times[:, 0], axis=0)
        new = shown(compiled_resets(metric, rounds, _FRESH), digits=0)
        lines.append(f"| {metric.name} | {' | '.join(cells)} | {flat[0]:.1f}x, {flat[1]:.1f}x | {new} |")
    rewards = {"nothing at every token (terminal:token_match)": "terminal:token_match"}
    rewards |= {
        f"delta:{name}": f"delta:{name}" for name in ("token_match", "token_bleu", "bleu", "chrf", "rougeL", "cer")
    }
    rewards["delta of BLEU, ROUGE-1, ROUGE-L and chrF"] = [f"delta:{n}" for n in ("bleu", "rouge1", "rougeL", "chrf")]
    rewards["delta of sacrebleu called on the prefix"] = textgym.Delta(by_library)
    lines += ["", "Tokens a second of the vector env, V = 8,192, texts of 60 tokens (thousands):", ""]
    rows = (1, 64, 1024)
    lines += ["| reward | " + " | ".join(f"{n:,} rows" for n in rows) + " |", "|---|---|---|---|"]
    seconds = 0.2 if args.quick else 1.5
    for name, reward in tqdm(rewards.items(), desc="stepping"):
        rates = [stepping(reward, n, seconds) / 1000 for n in rows]
        lines.append(f"| {name} | " + " | ".join(f"{rate:.1f}" for rate in rates) + " |")
        if name in ("delta:bleu", "delta:chrf", "delta:cer"):
            with python_code():
                rates = [stepping(reward, n, seconds) / 1000 for n in rows[1:]]
            lines.append(f"| {name}, Python code | | " + " | ".join(f"{rate:.1f}" for rate in rates) + " |")
    lines += ["", "SB3 PPO, default settings, embedding bag, V = 128 (characters), 64 rows, wall time:", ""]
    lines += ["| budget | reward | tokens/s | share of the reward |", "|---|---|---|---|"]
    trained = {"delta:bleu": "delta:bleu", "sacrebleu on the prefix": textgym.Delta(by_library)}
    trained = {"nothing": "terminal:token_match", **trained}
    for budget in tqdm((64, 256), desc="training"):
        for name, reward in trained.items():
            seconds, reward_seconds = training(reward, budget, 32 if args.quick else 2048)
            lines.append(f"| {budget} | {name} | {1 / seconds:,.0f} | {reward_seconds / seconds:.1%} |")
    text = "\n".join(lines)
    print(text)
    if args.output:
        args.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
