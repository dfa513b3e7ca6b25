"""What a store says about the texts of one task, as tensors."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agents.feedback.judgements import RATINGS, Comparison, Marks, Rating, Text
from agents.feedback.store import Store
from agents.reward_model.losses import FIRST, SECOND, TIE
from agents.transformer.policy import windows
from textgym.errors import did_you_mean
from textgym.tokenizers import Vocabulary

OUTCOMES = {"a": FIRST, "b": SECOND, "tie": TIE, "both_bad": TIE}
FEWEST_PROMPTS = 10  # with fewer of them, judgements are held out instead of prompts


@dataclass(frozen=True)
class Judged:
    """N texts and the judgements of them. Judgement i is a comparison for i < K, then come R ratings, then Q marks.

    Attributes:
        windows: int64 (N, C): BEGIN, prompt, text, and EOS where there is room for it.
        lengths: int64 (N,), tokens of the texts, EOS included.
        scores: float64 (N,), true scores; NaN where they are not known.
        pairs: int64 (K, 2), the texts compared; ``outcomes`` int64 (K,): 0 the first is better, 1 the second, 2 a tie,
            which "both bad" is, too.
        rated: int64 (R,), texts; ``ratings`` float32 (R,): 0 (the worst) to 1.
        marked: int64 (Q,), texts; ``signs`` int64 (Q, T): of each token, 1 good, -1 bad, 0 no mark.
        held: bool (K + R + Q,), the judgement is held out.
        by_prompt: held out are prompts, with all that was judged of them; else single judgements.
        left_out: why texts and marks could not be used -> how many.
        fingerprint: sha256 of texts and judgements.
    """

    windows: Tensor
    lengths: Tensor
    scores: np.ndarray
    pairs: Tensor
    outcomes: Tensor
    rated: Tensor
    ratings: Tensor
    marked: Tensor
    signs: Tensor
    held: np.ndarray
    by_prompt: bool
    left_out: dict[str, int]
    fingerprint: str

    @property
    def counts(self) -> dict[str, int]:
        return {"comparisons": len(self.pairs), "ratings": len(self.rated), "marks": len(self.marked)}


def window_rows(
    vocabulary: Vocabulary, prompt_length: int, budget: int, prompts: list[str], texts: list[str]
) -> tuple[Tensor, Tensor, list[int]]:
    """Windows int64 (N, C) and lengths int64 (N,) of the texts that fit, and which of those given these are.

    Texts are read as the vocabulary writes them. EOS ends those that leave room for it: the others spent the budget.
    """
    ids, fit = [], []
    for i, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        try:
            both = vocabulary.encode(prompt), vocabulary.encode(text)
        except ValueError:  # a character that it does not have
            continue
        if len(both[0]) <= prompt_length and len(both[1]) <= budget:
            ids.append((both[0], np.append(both[1], vocabulary.eos)[:budget]))
            fit.append(i)
    rows = np.full((len(ids), prompt_length + budget), vocabulary.pad, np.int64)
    for row, (before, text) in zip(rows, ids, strict=True):
        row[prompt_length - len(before) : prompt_length] = before
        row[prompt_length : prompt_length + len(text)] = text
    lengths = torch.tensor([len(text) for _, text in ids], dtype=torch.long)
    return windows(torch.from_numpy(rows), vocabulary.pad), lengths, fit


def read_store(store: Store, task: str, env, held_out: float = 0.2) -> Judged:
    """The judgements that stand of the texts of ``task``, read in the vocabulary of ``env``.

    What is held out depends on the prompt alone: it is the same while the store grows.

    Args:
        task: as the store names it.
        env: has ``vocabulary``, ``prompt_length`` and ``budget``.
        held_out: about this share of the prompts, or of the judgements where there are fewer than ``FEWEST_PROMPTS``.

    Raises:
        ValueError: there are no such texts or no judgements of them; these all say the same; or none are left to learn
            from or to hold out.
    """
    judgements = store.judgements()
    every = store.texts()
    texts = [text for text in every if text.task == task]
    if not texts:
        tasks = list(dict.fromkeys(text.task for text in every))
        raise ValueError(
            f"{store.path} has no texts of {task!r}.{did_you_mean(task, tasks)} It has texts of: "
            f"{', '.join(map(repr, tasks)) or 'nothing'} (--task names another one)"
        )
    tokens, lengths, fit = window_rows(
        env.vocabulary, env.prompt_length, env.budget, [t.prompt for t in texts], [t.text for t in texts]
    )
    texts, left_out = [texts[i] for i in fit], Counter({"texts that do not fit": len(texts) - len(fit)})
    place = {text.id: i for i, text in enumerate(texts)}
    pairs, outcomes, rated, ratings, marked, signs = [], [], [], [], [], []
    for answer in (judgement.answer for judgement in judgements):
        if not all(id in place for id in answer.texts):
            continue
        at = [place[id] for id in answer.texts]
        if isinstance(answer, Comparison):
            pairs.append(at)
            outcomes.append(OUTCOMES[answer.choice])
        elif isinstance(answer, Rating):
            rated += at
            ratings.append((answer.rating - RATINGS[0]) / (len(RATINGS) - 1))
        elif (of_tokens := token_signs(env.vocabulary, env.budget, texts[at[0]], answer)) is None:
            left_out["marks of texts that the vocabulary writes otherwise"] += 1
        else:
            marked += at
            signs.append(of_tokens)
    first = [*(pair[0] for pair in pairs), *rated, *marked]
    if not first:
        unfit = f" ({left_out['texts that do not fit']:,} more do not fit)" if left_out["texts that do not fit"] else ""
        raise ValueError(f"{store.path} has no judgements of the {len(texts):,} texts of {task!r}{unfit} yet")
    if not any(outcome != TIE for outcome in outcomes) and len(set(ratings)) < 2 and not np.any(signs):
        raise ValueError(
            f"{store.path}: the {len(first):,} judgements of {task!r} say the same of all texts ({len(outcomes)} ties, "
            f"{len(ratings)} equal ratings, {len(signs)} texts without marks): nothing can be learnt from them"
        )
    by_prompt = len({texts[i].prompt for i in first}) >= FEWEST_PROMPTS
    said = [[texts[i].prompt] if by_prompt else [texts[i].digest, n] for n, i in enumerate(first)]
    held = np.array([_share(each) < held_out for each in said])
    if held.all() or (held_out and not held.any()):
        raise ValueError(f"{len(held)} judgements are too few to hold some of them out: collect more")
    content = [[text.digest for text in texts], pairs, outcomes, rated, ratings, marked, np.array(signs).tolist()]
    return Judged(
        windows=tokens,
        lengths=lengths,
        scores=np.array([np.nan if text.score is None else text.score for text in texts]),
        pairs=torch.tensor(pairs, dtype=torch.long).reshape(-1, 2),
        outcomes=torch.tensor(outcomes, dtype=torch.long),
        rated=torch.tensor(rated, dtype=torch.long),
        ratings=torch.tensor(ratings, dtype=torch.float32),
        marked=torch.tensor(marked, dtype=torch.long),
        signs=torch.from_numpy(np.array(signs, np.int64).reshape(-1, env.budget)),
        held=held,
        by_prompt=by_prompt,
        left_out={why: count for why, count in left_out.items() if count},
        fingerprint=hashlib.sha256(json.dumps(content).encode()).hexdigest(),
    )


def token_signs(vocabulary: Vocabulary, budget: int, text: Text, marks: Marks) -> np.ndarray | None:
    """Of each token of a text: 1 where it has a character marked good, -1 one marked bad (which wins), else 0, int64
    (budget,). None: the vocabulary does not write this text, character by character."""
    ids = vocabulary.encode(text.text)
    stream, ends = vocabulary.stream(1), []
    written = ""
    for id in ids.tolist():
        pieces, _ = stream.push(np.zeros(1, np.int64), np.array([id]))
        written += pieces[0]
        ends.append(len(written))
    if vocabulary.decode(ids) != text.text:
        return None
    if ends:
        ends[-1] = len(text.text)
    signs, begin = np.zeros(budget, np.int64), 0
    for i, end in enumerate(ends):
        labels = {span.label for span in marks.spans if span.start < end and begin < span.end}
        signs[i] = -1 if "bad" in labels else 1 if labels else 0
        begin = end
    return signs


def _share(said: list) -> float:
    """A number in [0, 1) that looks drawn, always the same for the same words."""
    return int.from_bytes(hashlib.sha256(json.dumps(said).encode()).digest()[:6], "big") / 2**48
