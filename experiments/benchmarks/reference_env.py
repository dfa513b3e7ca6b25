"""What the batched environments are measured against: the best plain-Python single environment.

One text, one token an action, as one would write it by hand for speed: lists and dicts, array code only
for the observation. Same observations, rewards, ends and infos as ``textgym.TextGenEnv`` for a character
vocabulary without a mask (a test holds them side by side).
"""

from __future__ import annotations

import gymnasium as gym
import numpy as np

from textgym.metrics import Metric, TokenMatch
from textgym.tasks import Task


class ReferenceEnv(gym.Env):
    """Delta of ``metric`` (token_match: by hand; a text metric: its own incremental code, shared with textgym)."""

    metadata = {"render_modes": []}

    def __init__(self, task: Task, metric: Metric | TokenMatch):
        self.task = task
        vocabulary = self.task.vocabulary
        self.size, self.eos, self.pad = vocabulary.size, vocabulary.eos, vocabulary.pad
        self.pieces = [vocabulary.decode([i]) for i in range(self.size)]
        self.ids = {piece: i for i, piece in enumerate(self.pieces) if piece}
        self.start, self.budget = self.task.prompt_length, self.task.budget
        self.metric = None if isinstance(metric, TokenMatch) else metric
        self.term = f"delta:{metric.name}"
        self.action_space = gym.spaces.Discrete(self.size)
        self.observation_space = gym.spaces.Box(0, self.size, (self.start + self.budget,), np.int32)
        self.window = np.full(self.start + self.budget, self.pad, np.int32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode = self.task.sample(self.np_random)
        prompt = [self.ids[c] for c in self.episode.prompt]
        self.window.fill(self.pad)
        if prompt:
            self.window[self.start - len(prompt) : self.start] = prompt
        self.length, self.value = 0, 0.0
        self.text: list[str] = []
        if self.metric is None:
            self.reference = [self.ids[c] for c in self.episode.references[0]]
            self.right = 0
        else:
            self.progress = self.metric.start(self.episode)
        return self.window.copy(), {}

    def step(self, action):
        action = int(action)
        if not 0 <= action < self.size:
            raise ValueError(f"action {action} is not in 0 .. {self.size - 1}")
        at = self.length
        self.window[self.start + at] = action
        self.length = at + 1
        terminated = action == self.eos or self.length == self.budget
        piece = self.pieces[action]
        self.text.append(piece)
        if self.metric is None:
            reference = self.reference
            if at < len(reference) and reference[at] == action:
                self.right += 1
            value = self.right / max(len(reference), self.length - (action == self.eos), 1)
        else:
            value = self.progress.push(piece)
        reward, self.value = value - self.value, value
        info = {"reward_terms": {self.term: reward}}
        if terminated:
            text = "".join(self.text)
            score = self.task.score(text, self.episode)
            info["end_reason"] = "eos" if action == self.eos else "budget"
            info["score"] = score
            info["is_success"] = score >= 1.0 - 1e-9
            info["text"] = text
        return self.window.copy(), reward, terminated, False, info
