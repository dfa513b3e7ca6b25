"""What does your own reward buy, against all controls? (--reward pkg.module:MyReward --env ID)

Hypothesis: after the same warm start and the same tokens, training on the reward leads to a higher true score (greedy)
than paying the true score at the end (Terminal).

Controls: copying the prompt; the warm start as it is, and sampled at its best temperature; as many tokens of likelihood
training; the true score paid as it changes (Delta); a constant; `mine` in random order within each text (does it matter
when it is paid?), and that of another text (is there anything in it?). The environment needs references, for the warm
start.

Refuted where the interval of mine - terminal (paired by seed) lies below 0. The reward is a name, JSON, or an object of
a module that can be imported from here; a reward that is not the true score is judged by the true score all the same.
With --tune N each arm that trains, controls too, has N trials for learning rate and lambda of GAE; else all have one
setting.
"""

from experiments import designs, scores
from experiments.registry import Comparison
from experiments.search import LogUniform
from textgym.registration import full_id

TAGS = ("transformer", "mine")
BUDGET = 60_000
SEEDS = 5


def SETTINGS(reward="delta:chrf", env="textgym/Spelling-v0"):  # noqa: N802 - the name that all experiments have
    arms = designs.from_one_warm_start(
        full_id(env),
        {"terminal": "terminal", "delta": "delta", "constant": "constant", "mine": reward},
        budget=BUDGET,
        updates=400,
        eval_episodes=300,
        network={"layers": 2, "width": 64},
        trainer={
            "algo": "ppo",
            "gamma": 1.0,
            "learning_rate": 2e-4,
            "minibatch": 512,
            "entropy_weight": 0.0,
            "n_envs": 128,
            "critic_start": 4000,
        },
    )
    return arms | designs.shuffled(arms["mine"])


PPO = {"learning_rate": LogUniform(5e-5, 1e-3), "lam": [0.9, 0.95, 1.0]}
SEARCH = dict.fromkeys(("terminal", "delta", "constant", "mine", "shuffled_time", "shuffled_texts"), PPO)
SEARCH |= {"more_likelihood": {"rate": LogUniform(1e-4, 2e-3)}}
SECONDS = {
    "copy_prompt": 2, "warm_start": 20, "tuned_temperature": 5, "more_likelihood": 10,
    "terminal": 20, "delta": 20, "constant": 20, "mine": 20,
    "shuffled_time": 20, "shuffled_texts": 20,
}  # fmt: skip
SMOKE = designs.SMOKE
PRIMARY = Comparison("mine", "terminal")
score = scores.last_greedy
