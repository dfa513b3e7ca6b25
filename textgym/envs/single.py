"""TextGenEnv: a batch of one, with Gymnasium's single-environment interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from textgym.envs.checks import checked_action
from textgym.envs.options import checked_options, requested_episodes
from textgym.envs.render import render_row
from textgym.envs.settings import RENDER_FPS, RENDER_MODES, EnvSettings
from textgym.episode import Episode
from textgym.tasks import Task


class TextGenEnv(gym.Env):
    """Write a text, one token an action, and be paid at every token.

    ## Action space
    ``Discrete(V)``: the token ids of ``env.vocabulary``, EOS among them.

    ## Observation space
    ``Box(0, V, (prompt_length + budget,), int32)``: the prompt, right-aligned in the first prompt_length
    columns, then token t of the text in column prompt_length + t; PAD = V in empty columns. With
    ``observe_mask=True`` a Dict of ``tokens`` and ``action_mask`` (int8 (V,)).

    ## Rewards
    What ``reward`` says; ``info["reward_terms"]`` has its parts at every step.

    ## Episode end
    EOS, the budget spent, or a token that the mask forbids (``info["end_reason"]``: "eos", "budget",
    "illegal"); all three are ``terminated``. The last step's info has ``score`` (the task's true score in
    [0, 1], whatever the reward), ``is_success``, ``text``, ``end_reason`` and the ``metrics`` asked for.

    ## Arguments
    task, reward, tokenizer, split, budget, mask, observe_mask, on_illegal, metrics, render_mode: see
    :class:`~textgym.envs.settings.EnvSettings`. Further keywords are the task's own.
    ``reset`` takes ``options={"index": i}`` (a fixed episode) and ``{"prompt": text, "references": [...]}``.
    """

    metadata = {"render_modes": RENDER_MODES, "render_fps": RENDER_FPS}

    def __init__(
        self,
        task: Any,
        *,
        reward: Any = "delta",
        tokenizer: Any = None,
        split: str | None = None,
        budget: int | None = None,
        mask: Any = None,
        observe_mask: bool = False,
        on_illegal: str | float = "end",
        metrics: Sequence[Any] = (),
        render_mode: str | None = None,
        **task_arguments: Any,
    ):
        settings = EnvSettings(
            task, reward, tokenizer, split, budget, mask, observe_mask, on_illegal, metrics, render_mode, task_arguments
        )
        self.task: Task = settings.task
        self.vocabulary = self.task.vocabulary
        self.prompt_length, self.budget = self.task.prompt_length, self.task.budget
        self.render_mode = settings.render_mode
        self.observe_mask = settings.observe_mask
        self.action_space = settings.action_space
        self.observation_space = settings.observation_space
        self.state = settings.start(1, scalar=True)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        episodes = requested_episodes(self.task, checked_options(options), [0], 1)
        super().reset(seed=seed)
        if self.state.streams.rngs[0] is not self.np_random:
            self.state.streams.seed(0, self.np_random)
        self.state.begin(self.state.all_rows, episodes)
        info = {} if self.state.legal is None else {"action_mask": self.state.action_mask(0, np.int8)}
        if self.render_mode == "human":
            self.render()
        return self._observe(), info

    def step(self, action):
        state = self.state
        action = checked_action(action, self.vocabulary)
        rewards, step = state.append(action if state.scalar else action.reshape(1))
        reward, terminated = (rewards, bool(step.ended)) if step.scalar else (float(rewards[0]), bool(step.ended[0]))
        terms = state.paid_terms.items()
        info: dict[str, Any] = {"reward_terms": {name: float(paid if step.scalar else paid[0]) for name, paid in terms}}
        if state.legal is not None:
            info["action_mask"] = state.action_mask(0, np.int8)
        if terminated:
            info.update((name, values[0]) for name, values in state.outcomes(step.ending).items())
        if self.render_mode == "human":
            self.render()
        return self._observe(), reward, terminated, False, info

    def _observe(self):
        tokens = self.state.window[0].copy()
        return {"tokens": tokens, "action_mask": self.state.action_mask(0, np.int8)} if self.observe_mask else tokens

    def action_masks(self) -> np.ndarray:
        """Which tokens are legal now, bool (V,): the method that sb3-contrib's MaskablePPO calls."""
        return self.state.action_mask(0)

    @property
    def episode(self) -> Episode:
        """The episode in progress: prompt, references, meta."""
        return self.state.episodes[0]

    @property
    def last_reward_terms(self) -> dict[str, np.ndarray]:
        """Name -> float64 (1,): what the last step paid, term by term."""
        return {name: paid.copy() for name, paid in self.state.terms.items()}

    def render(self):
        """The episode so far: a string, an uint8 (H, W, 3) picture, or (human) printed."""
        return render_row(self.state, 0, self.render_mode)

    def get_state(self) -> dict[str, Any]:
        """All that :meth:`set_state` needs to go on exactly from here; can be pickled."""
        return self.state.get_state()

    def set_state(self, saved: dict[str, Any]) -> None:
        """Go back to a state of :meth:`get_state`, of this environment or of one with the same settings."""
        self.state.set_state(saved)
        if self.state.streams.rngs[0] is not None:
            self.np_random = self.state.streams.rngs[0]  # Gymnasium then gives np_random_seed as -1: not known
