"""A reward model's checkpoint, and what it says of texts: read whole, or followed token by token from a cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.files import read_saved, replacing
from agents.reward_model.network import ScoreNetwork
from textgym.errors import usable_device

FORMAT = "textgym-reward-model-2"


class Scorer:
    """An ensemble of M score networks. Each member's scores are those of the texts it was trained on, standardised.

    Args:
        members: the networks, in evaluation mode, on one device.
        scales: M pairs: mean and standard deviation of a member's scores.
        config: ``env``, ``vocabulary`` (fingerprint), ``prompt_length``, ``budget``, ``data`` (fingerprint), ...
        path: where it was read from, for messages.
    """

    def __init__(
        self,
        members: Sequence[ScoreNetwork],
        scales: Sequence[Sequence[float]],
        config: Mapping[str, Any],
        path: str = "",
    ):
        self.networks, self.config, self.path = list(members), config, path
        self.members = len(self.networks)
        self.prompt_length, self.budget = config["prompt_length"], config["budget"]
        self.device = self.networks[0].score.weight.device
        self.scales = torch.tensor(scales, dtype=torch.float64, device=self.device)

    def check(self, vocabulary, prompt_length: int, budget: int) -> None:
        """Raise ``ValueError`` where texts of ``vocabulary``, of at most that many tokens, cannot be scored."""
        ours, theirs = self.config["vocabulary"], vocabulary.fingerprint
        name = f"the reward model {self.path!r}"
        if ours != theirs:
            raise ValueError(
                f"{name} was trained for {self.config['env']}, whose vocabulary has the fingerprint {ours[:12]}...; "
                f"the task's has {theirs[:12]}...: train one on judgements of this task"
            )
        for what, known, needed in (
            ("prompts", self.prompt_length, prompt_length),
            ("texts", self.budget, budget),
        ):
            if known < needed:
                raise ValueError(f"{name} reads {what} of {known} tokens, those of the task can have {needed}")

    @torch.no_grad()
    def scores(self, windows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Of the first ``lengths`` int64 (k,) tokens of texts, all in one go: float64 (k, M).

        Args:
            windows: int64 (k, prompt_length + w): prompts, padded on the left, and the first w columns of texts.
        """
        read = self.windows(windows)
        rows, columns = torch.arange(len(read), device=self.device), self.columns(lengths)
        return self.standardised([network(read, rows, columns) for network in self.networks])

    @torch.no_grad()
    def attention(self, windows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """How much :meth:`scores` look at each column of their windows, in the last layer, mean of heads and members:
        float64 (k, prompt_length + w). What is missing to 1 is the look at BEGIN. Of members that count the likelihood
        of a text, too, this is the attention of the other part of the score.

        Raises:
            ValueError: the networks have no attention, or do not tell.
        """
        read, columns = self.windows(windows), self.columns(lengths)
        looks = [network.policy.attention(read, columns) for network in self.networks]
        return torch.stack(looks).double().mean(0)[:, 1:].cpu().numpy()

    def rows(self, n: int) -> Rows:
        """n texts to be followed."""
        return Rows(self, n)

    def windows(self, windows: np.ndarray) -> Tensor:
        """With the column BEGIN, int64 (k, 1 + ...)."""
        begin = np.full((len(windows), 1), self.networks[0].policy.vocabulary_size)
        return torch.from_numpy(np.concatenate([begin, windows], 1)).to(self.device)

    def columns(self, lengths: np.ndarray) -> Tensor:
        return torch.from_numpy(self.prompt_length + lengths).to(self.device)

    def standardised(self, scores: Sequence[Tensor]) -> np.ndarray:
        """M tensors (k,) as float64 (k, M)."""
        mean, deviation = self.scales.T
        return ((torch.stack(list(scores), 1).double() - mean) / deviation).cpu().numpy()


class Rows:
    """n texts, each token of which every member reads once."""

    def __init__(self, scorer: Scorer, n: int):
        self.scorer, self.n = scorer, n
        columns = 1 + scorer.prompt_length + scorer.budget
        self.followed = [_Followed(network, n, columns) for network in scorer.networks]

    @torch.no_grad()
    def begin(self, rows: np.ndarray, windows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Begin ``rows`` int64 (k,) with the first ``lengths`` (k,) tokens of their texts: scores float64 (k, M)."""
        at, columns = torch.from_numpy(rows).to(self.scorer.device), self.scorer.columns(lengths)
        read = self.scorer.windows(windows)
        return self.scorer.standardised([each.begin(at, read, columns) for each in self.followed])

    @torch.no_grad()
    def append(self, rows: np.ndarray, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """One more token (k,) of ``rows`` (k,), whose texts then have ``lengths`` (k,): scores float64 (k, M).

        All other rows must be begun before they are appended to again.
        """
        every = torch.zeros(2, self.n, dtype=torch.long)
        every[1] = min(1, self.scorer.prompt_length + self.scorer.budget)
        every[0, rows], every[1, rows] = torch.from_numpy(tokens), torch.from_numpy(self.scorer.prompt_length + lengths)
        ids, columns = every.to(self.scorer.device)
        at = torch.from_numpy(rows).to(self.scorer.device)
        return self.scorer.standardised([each.append(ids, columns, at) for each in self.followed])


class _Followed:
    """What a member keeps of n texts: its cache; where likelihoods count, those of the texts and of what is next."""

    def __init__(self, network: ScoreNetwork, n: int, columns: int):
        self.network, self.cache = network, network.policy.cache(n, columns)
        if network.text_begins is not None:
            device = network.score.weight.device
            self.sums = torch.zeros(n, device=device)
            self.next = torch.zeros(n, network.policy.vocabulary_size, device=device)

    def begin(self, rows: Tensor, windows: Tensor, columns: Tensor) -> Tensor:
        """Scores (k,) of the windows (k, C') up to and with ``columns`` (k,), in ``rows`` (k,)."""
        outputs = self.cache.begin(rows, windows, columns)
        if self.network.text_begins is None:
            return self.network.of(outputs)
        self.sums[rows], written = 0.0, columns >= self.network.text_begins
        if written.any():  # a text that has just begun has no likelihood that would have to be read
            own = torch.arange(int(written.sum()), device=rows.device)
            _, self.sums[rows[written]] = self.network.read(windows[written], own, columns[written])
        self.next[rows] = self.network.next_tokens(outputs)
        return self.network.of(outputs, self.sums[rows])

    def append(self, tokens: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
        """Scores (k,) of ``rows`` (k,), all rows having one of ``tokens`` (n,) more, in ``columns`` (n,)."""
        outputs = self.cache.append(tokens, columns)[rows]
        if self.network.text_begins is None:
            return self.network.of(outputs)
        self.sums[rows] += self.next[rows, tokens[rows]]
        self.next[rows] = self.network.next_tokens(outputs)
        return self.network.of(outputs, self.sums[rows])


def save(path: Path, scorer: Scorer, report: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all."""
    saved = {
        "format": FORMAT,
        "config": dict(scorer.config),
        "members": [network.state_dict() for network in scorer.networks],
        "scales": scorer.scales.cpu(),
        "report": report,
    }
    with replacing(path) as file:
        torch.save(saved, file)


def read(path: str | Path) -> dict[str, Any]:
    """What is in a checkpoint: config, members, scales, report. No code in it is run.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is none.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no reward model {str(path)!r}; agents.reward_model.train writes one")
    return read_saved(path, FORMAT, "agents.reward_model.train")


def load_scorer(path: str | Path, device: str = "cpu") -> Scorer:
    """The reward model in a file.

    Raises:
        FileNotFoundError, ValueError: as :func:`read`; no such device; a network of one's own that has other weights
            by now.
    """
    saved, device = read(path), usable_device(device)
    members = []
    for weights in saved["members"]:
        network = ScoreNetwork(saved["config"]["architecture"], text_begins=saved["config"]["text_begins"])
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            kind = saved["config"]["architecture"]["kind"]
            raise ValueError(f"{path} has other weights than {kind} has by now: {error}") from error
        members.append(network.to(device).eval().requires_grad_(False))
    return Scorer(members, saved["scales"].tolist(), saved["config"], str(path))
