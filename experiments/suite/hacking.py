"""Which dense rewards are hacked: paid more for texts that are wrong?

SB3 PPO writes Copy (5 letters of 8) with room for 24 tokens. All arms but `every_step` are paid the true score at the
end; what they are paid beside it differs.

Hypothesis: 0.1 a character without an end (`bonus`) is exploited: the agent writes on, the true score falls below that
of Terminal while the return rises beyond what the intended text earns (1.5). The same bonus as a potential, whose sum
over a text is 0, or bounded (paid as the length nears the reference's), is not exploited.

Controls: Terminal; Delta; EveryStep, whose sum grows with each token too. Random tokens.

Refuted where the interval of bonus - terminal (last greedy true score) lies above 0.
"""

from experiments import designs, scores
from experiments.registry import Comparison

TAGS = ("sb3", "published")
BUDGET = 51_200
SEEDS = 10
REWARDS = {
    "terminal": "terminal",
    "delta": "delta",
    "bonus": ["terminal", {"name": "delta", "metric": "length", "weight": 0.1}],
    "potential_bonus": [
        {"name": "terminal", "weight": 0.9},
        {"name": "potential", "metric": "length", "base": "terminal", "weight": 0.1},
    ],
    "bounded_bonus": [
        "terminal",
        {"name": "delta", "metric": {"name": "length", "target": "reference"}, "weight": 0.5},
    ],
    "every_step": "every_step",
}
SEEN = {"env": "textgym/Copy-v0", "env_kwargs": {"budget": 24}, "eval_episodes": 200}
SETTINGS = {
    "random": {"agent": "baseline", "baseline": "random", **SEEN},
    **{
        arm: {"agent": "sb3", "algo": "ppo", "reward": reward, "steps": BUDGET, **SEEN}
        for arm, reward in REWARDS.items()
    },
}
SECONDS = {"random": 2, **dict.fromkeys(REWARDS, 22)}
SMOKE = designs.SMOKE
PRIMARY = Comparison("bonus", "terminal", expect="less")
COLUMNS = {"greedy": "true score, greedy", "return": "what was paid, greedy", "length": "tokens, greedy"}
score = scores.last_greedy
