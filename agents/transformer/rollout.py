"""Rollouts: n texts written side by side from a cache, one token a row and step; a row that ends begins anew at once.

Every rollout takes the same number of tokens of every row, and a text that is not finished then goes on in the next
rollout, its value standing for what is still to come. So short texts are not seen more often than they are written,
as they would be if rollouts began with new texts and cut off the long ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.transformer.distributed import ALONE, World
from agents.transformer.policy import Policy, windows
from agents.transformer.prefixes import Prefixes
from agents.transformer.sampling import Sampling, draw

OF_TOKENS = ("log_probs", "values", "actions", "supports", "forced")  # of a rollout, as the policy has them


@dataclass
class Rollout:
    """N steps of n rows, and the S parts of texts that they wrote.

    Attributes:
        log_probs, values, rewards: float (N, n), of the tokens chosen; ``values`` of the text before each.
        ended: bool (N, n), the text ended with this token.
        last_values: float (n,), of the texts as they stand at the end; of no meaning where the last token ended one.
        windows: int64 (S, C): BEGIN, prompt and text, as far as it was written.
        actions: int64 (N, n).
        supports: bool (N, n, V), which tokens could be drawn; None: all.
        rows, starts, first, last: int64 (S,): part s is tokens first .. last - 1 of its text, chosen in row ``rows[s]``
            from step ``starts[s]`` on.
        finished: one dict an episode that ended: score, return, length, terms, ...
        forced: bool (N, n), the token was a reference's, not drawn; None: none was.
    """

    log_probs: Tensor
    values: Tensor
    rewards: Tensor
    ended: Tensor
    last_values: Tensor
    windows: Tensor
    actions: Tensor
    supports: Tensor | None
    rows: Tensor
    starts: Tensor
    first: Tensor
    last: Tensor
    finished: list[dict[str, Any]] = field(default_factory=list)
    forced: Tensor | None = None


class Writer:
    """Lets a policy write in a vector env, and remembers where its n texts stand.

    Args:
        env: a ``TextGenVectorEnv`` with ``autoreset_mode="SameStep"``; ``copy=False`` will do.
        policy: what writes.
        sampling: how it is drawn from.
        generator: what draws; on the policy's device.
        seed: of the episodes.
        world: whose rows ``env`` has a share of.

    Raises:
        ValueError: the policy has another vocabulary size, or reads shorter windows.
    """

    def __init__(
        self,
        env,
        policy: Policy,
        sampling: Sampling,
        generator: torch.Generator,
        seed: int | None = None,
        world: World = ALONE,
    ):
        self.env, self.policy, self.sampling, self.generator = env, policy, sampling, generator
        self.world = world
        n, self.prompt_length = env.num_envs, env.prompt_length
        self.columns = 1 + env.prompt_length + env.budget
        policy.check(env.vocabulary.size, self.columns)
        self.cache = policy.cache(n, self.columns)
        observations, _ = env.reset(seed=seed)
        self.windows = self._windows(observations)
        self.lengths = torch.zeros(n, dtype=torch.long, device=policy.device)  # tokens of each text
        self.returns = np.zeros(n)
        self.terms: dict[str, np.ndarray] = {}
        self.output: Tensor | None = None
        self.prefixes: Prefixes | None = None

    def begin_with(self, prefixes: Prefixes) -> None:
        """From now on texts begin with tokens of references."""
        self.prefixes = prefixes
        prefixes.begin(np.arange(self.env.num_envs))

    def collect(self, steps: int) -> Rollout:
        """Write ``steps`` tokens in every row."""
        with self.policy.autocast():
            return self._collect(steps)

    def _collect(self, steps: int) -> Rollout:
        n, device = self.env.num_envs, self.policy.device
        self._read_again()
        columns: dict[str, list[Tensor]] = {name: [] for name in OF_TOKENS}
        rewards, ended = np.empty((steps, n), np.float32), np.empty((steps, n), bool)
        starts, first = np.zeros(n, np.int64), self.lengths.cpu().numpy()  # of the part that each row is writing
        parts: list[tuple[Tensor, Tensor, np.ndarray, np.ndarray, Tensor]] = []
        finished: list[dict[str, Any]] = []
        for step in range(steps):
            logits, values = self.policy.heads(self.output)
            legal = None if self.env.state.legal is None else torch.from_numpy(self.env.action_masks()).to(device)
            support = self.sampling.support(logits, legal)
            forced, given = (None, None) if self.prefixes is None else self.prefixes.next(self.lengths)
            if forced is not None and support is not None:
                support = support | forced[:, None]  # it need not be among the likeliest
            log_probs = self.sampling.log_probs(logits, support)
            actions = draw(log_probs, self.generator, self.world)
            if forced is not None:
                actions = torch.where(forced, given, actions)
                columns["forced"].append(forced)
            columns["values"].append(values.float())
            columns["log_probs"].append(log_probs.gather(1, actions[:, None]).squeeze(1))
            columns["actions"].append(actions)
            if support is not None:
                columns["supports"].append(support)
            observations, rewards[step], ended[step], _, infos = self.env.step(actions.cpu().numpy())
            self._count(rewards[step])
            self._write(actions)
            over = np.flatnonzero(ended[step])
            if len(over):
                rows = torch.from_numpy(over).to(device)
                parts.append((self.windows[rows], rows, starts[over], first[over], self.lengths[rows]))
                finished += self._finished(over, infos["final_info"])
                starts[over], first[over] = step + 1, 0
                self.windows[rows] = self._windows(self._tokens(observations)[over])
                self.lengths[rows] = 0
                if self.prefixes is not None:
                    self.prefixes.begin(over)
            self._advance(actions, ended[step], last=step == steps - 1)
        last_values = self.policy.heads(self.output)[1].float()
        open_rows = np.flatnonzero(starts < steps)
        rows = torch.from_numpy(open_rows).to(device)
        parts.append((self.windows[rows], rows, starts[open_rows], first[open_rows], self.lengths[rows]))
        windows, rows, starts, first, last = zip(*parts, strict=True)
        return Rollout(
            **{name: torch.stack(each) if each else None for name, each in columns.items()},
            rewards=torch.from_numpy(rewards).to(device),
            ended=torch.from_numpy(ended).to(device),
            last_values=last_values,
            windows=torch.cat(windows),
            rows=torch.cat(rows),
            starts=torch.from_numpy(np.concatenate(starts)).to(device),
            first=torch.from_numpy(np.concatenate(first)).to(device),
            last=torch.cat(last),
            finished=finished,
        )

    def state_dict(self) -> dict[str, Any]:
        """Where the texts stand; the environment's state, and the policy's, are theirs to save."""
        terms = {name: torch.tensor(paid) for name, paid in self.terms.items()}
        windows, lengths = self.windows.clone(), self.lengths.clone()
        state = {"windows": windows, "lengths": lengths, "returns": torch.tensor(self.returns), "terms": terms}
        return state if self.prefixes is None else {**state, "prefixes": self.prefixes.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.windows, self.lengths = (state[name].to(self.policy.device) for name in ("windows", "lengths"))
        self.returns = state["returns"].numpy().copy()
        self.terms = {name: paid.numpy().copy() for name, paid in state["terms"].items()}
        if self.prefixes is not None:
            self.prefixes.load_state_dict(state["prefixes"])

    # -- the texts, on the policy's side -----------------------------------------------------------

    def _read_again(self) -> None:
        """Fill the cache by the policy as it is now: what an older one has left there would be another distribution."""
        rows = torch.arange(len(self.lengths), device=self.lengths.device)
        columns = self.prompt_length + self.lengths
        self.output = self.cache.begin(rows, self.windows[:, : int(columns.max()) + 1], columns)

    def _write(self, actions: Tensor) -> None:
        rows = torch.arange(len(actions), device=actions.device)
        self.windows[rows, 1 + self.prompt_length + self.lengths] = actions
        self.lengths = self.lengths + 1

    def _advance(self, actions: Tensor, ended: np.ndarray, last: bool) -> None:
        """The outputs from which the next tokens are drawn: of the token just written, or of a new prompt.

        ``last``: of the rollout. The next one reads all prompts, so here the new ones are left.
        """
        if not ended.all():
            self.output = self.cache.append(actions, self._written_to(ended))
        if ended.any() and not last:
            rows = torch.from_numpy(np.flatnonzero(ended)).to(actions.device)
            columns = torch.full_like(rows, self.prompt_length)
            self.output[rows] = self.cache.begin(rows, self.windows[rows, : self.prompt_length + 1], columns)

    def _written_to(self, ended: np.ndarray) -> Tensor:
        """The column of the token just written, in rows that begin anew any: 1."""
        columns = self.prompt_length + self.lengths
        if not ended.any():
            return columns
        return torch.where(torch.from_numpy(ended).to(columns.device), min(1, self.columns - 1), columns)

    def _windows(self, observations) -> Tensor:
        tokens = torch.from_numpy(self._tokens(observations).astype(np.int64))  # a copy: the env's may be a view
        return windows(tokens.to(self.policy.device), self.env.vocabulary.pad)

    @staticmethod
    def _tokens(observations) -> np.ndarray:
        return observations["tokens"] if isinstance(observations, Mapping) else observations

    # -- the books ---------------------------------------------------------------------------------

    def _count(self, rewards: np.ndarray) -> None:
        self.returns += rewards
        for name, paid in self.env.last_reward_terms.items():
            self.terms[name] = self.terms.get(name, 0.0) + paid

    def _finished(self, rows: np.ndarray, final: dict[str, Any]) -> list[dict[str, Any]]:
        """What came of the texts that ended in ``rows``; their books begin anew."""
        lengths = self.lengths.cpu().numpy()
        names = [name for name in final if not name.startswith("_") and name not in ("reward_terms", "action_mask")]
        episodes = []
        for row in rows.tolist():
            episode = {name: final[name][row] for name in names}
            episode |= {"return": float(self.returns[row]), "length": int(lengths[row])}
            episode["terms"] = {name: float(paid[row]) for name, paid in self.terms.items()}
            episodes.append(episode)
        self.returns[rows] = 0.0
        for paid in self.terms.values():
            paid[rows] = 0.0
        return episodes
