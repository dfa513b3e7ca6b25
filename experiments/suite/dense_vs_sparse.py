"""Does paying at once beat paying at the end, where an agent begins with little, and where it is warm already?

SB3 PPO on Copy (5 letters of 8, from nothing) and on spelling correction (5 in 10 characters replaced, after a warm
start by likelihood); the same true score is paid in four ways.

Hypothesis: paid as it changes (Delta), it is learnt faster than paid at the end (Terminal): a higher mean of the curve
of greedy true scores over the tokens.

Controls: the agent before reinforcement learning (the first point of each curve); copying the prompt; random tokens;
Delayed (Delta's pay, held back for 3 tokens: density as a dial); EveryStep, which pays the prefix's score again at
every token and thereby another objective.

Refuted where the interval of Delta - Terminal (each seed: the mean over both tasks) lies below 0.
"""

from experiments import designs, scores
from experiments.registry import Comparison

TAGS = ("sb3", "quick", "published")
BUDGET = 61_440
SEEDS = 10
REWARDS = {
    "terminal": "terminal",
    "delayed": {"name": "delayed", "reward": "delta", "k": 3},
    "delta": "delta",
    "every_step": "every_step",
}
TASKS = {
    "copy": {"env": "textgym/Copy-v0", "steps": 20_480, "eval_episodes": 200},
    "spelling": {"env": "textgym/SpellingNoisy-v0", "steps": BUDGET, "warm_start": 600, "eval_episodes": 300},
}
SETTINGS = {
    f"{task}/{arm}": settings
    for task, of_task in TASKS.items()
    for arm, settings in {
        **{
            name: {"agent": "baseline", "baseline": name, "env": of_task["env"], "eval_episodes": 300}
            for name in ("copy_prompt", "random")
        },
        **{arm: {"agent": "sb3", "algo": "ppo", "reward": reward, **of_task} for arm, reward in REWARDS.items()},
    }.items()
}
SECONDS = {arm: 1 if arm.endswith(("prompt", "random")) else 7 if "copy/" in arm else 40 for arm in SETTINGS}
SMOKE = designs.SMOKE
PRIMARY = Comparison("delta", "terminal")
score = scores.mean_greedy
