"""Does paying at once beat paying at the end, on symbolic, spelling, translation and summary tasks?

The same true score is paid in four ways. Small agents that read the whole text at every token (SB3) learn Copy (5
letters of 8, from nothing: PPO, A2C, DQN) and spelling correction (5 in 10 characters replaced, PPO after a warm start
by likelihood); the cached Transformer learns longer texts with PPO, from one warm start a seed: times of day from
Chinese into English (up to 50 characters), and the summary line of a docstring (up to 31 tokens).

Hypothesis: paid as it changes (Delta), it is learnt faster than paid at the end (Terminal): a higher mean of the curve
of greedy true scores over the tokens.

Controls: the agent before reinforcement learning (the first point of each curve); copying the prompt; random tokens;
Delayed (Delta's pay, summed up and paid every 3 tokens: density as a dial); EveryStep, which pays the prefix's score
again at every token and thereby another objective; on longer texts also the warm start as it is and sampled at its best
temperature, and as many tokens of likelihood training.

Refuted where the interval of Delta - Terminal (each seed: the mean over all panels) lies below 0. The discount is 1.
On seed 0, which is none of these runs, DQN paid at the end learnt nothing of Copy; and docstrings are too few to learn
to summarise from: the warm start has the score of another docstring's summary (0.03), and what PPO adds is little.
Without trials all rewards of a panel have one setting. With them (--tune N) lambda of GAE and learning rate (of SB3's
agents one that does not fall) are chosen for each arm; DQN, which has no lambda, searches the learning rate alone.
"""

from experiments import designs, scores
from experiments.registry import Comparison
from experiments.search import LogUniform

TAGS = ("sb3", "transformer", "quick", "published")
QUICK = ("copy", "spelling")
BUDGET = 61_440  # of Copy less
SEEDS = 10
REWARDS = {
    "terminal": "terminal",
    "delayed": {"name": "delayed", "reward": "delta", "k": 3},
    "delta": "delta",
    "every_step": "every_step",
}
COPY = {"env": "textgym/Copy-v0", "eval_episodes": 200}
SPELLING = {"env": "textgym/SpellingNoisy-v0", "eval_episodes": 300}
OF_SB3 = {
    "copy": {"algo": "ppo", "steps": 20_480, **COPY},
    "copy a2c": {"algo": "a2c", "steps": 40_000, **COPY},
    "copy dqn": {"algo": "dqn", "steps": 20_000, **COPY},
    "spelling": {"algo": "ppo", "steps": BUDGET, "warm_start": 600, **SPELLING},
}
OF_TRANSFORMER = {
    "translation": {"env": "textgym/TranslationTimesZhEn-v0", "updates": 400, "eval_episodes": 100},
    "summary": {  # as many episodes as the split has twice: trials are judged on others
        "env": "textgym/DocSummary-v0", "env_kwargs": {"prompt_length": 96, "budget": 32}, "updates": 600,
        "eval_episodes": 64,
    },
}  # fmt: skip
SETTINGS = {
    f"{panel}/{arm}": settings
    for panel, of_panel in OF_SB3.items()
    for arm, settings in {
        **{
            name: {"agent": "baseline", "baseline": name, **{of: of_panel[of] for of in ("env", "eval_episodes")}}
            for name in ("copy_prompt", "random")
        },
        **{arm: {"agent": "sb3", "reward": reward, **of_panel} for arm, reward in REWARDS.items()},
    }.items()
}
for panel, of_panel in OF_TRANSFORMER.items():
    SETTINGS |= designs.from_one_warm_start(
        rewards=REWARDS, budget=BUDGET, panel=panel, network={"layers": 2, "width": 64},
        trainer={
            "algo": "ppo", "gamma": 1.0, "lam": 0.95, "learning_rate": 2e-4, "minibatch": 512, "entropy_weight": 0.0,
            "n_envs": 64, "critic_start": 8000, "evaluations": 6,
        },
        **of_panel,
    )  # fmt: skip
LAMBDAS = [0.9, 0.95, 1.0]
SPACES = {
    "copy": {"hyperparams.learning_rate": LogUniform(3e-4, 3e-3), "hyperparams.gae_lambda": LAMBDAS},
    "copy a2c": {"hyperparams.learning_rate": LogUniform(3e-4, 3e-3), "hyperparams.gae_lambda": LAMBDAS},
    "copy dqn": {"hyperparams.learning_rate": LogUniform(3e-4, 3e-3)},
    "spelling": {"hyperparams.learning_rate": LogUniform(5e-5, 5e-4), "hyperparams.gae_lambda": LAMBDAS},
    "translation": {"learning_rate": LogUniform(5e-5, 1e-3), "lam": LAMBDAS},
    "summary": {"learning_rate": LogUniform(5e-5, 1e-3), "lam": LAMBDAS},
}
SEARCH = {f"{panel}/{arm}": space for panel, space in SPACES.items() for arm in REWARDS}
SEARCH |= {f"{panel}/more_likelihood": {"rate": LogUniform(1e-4, 2e-3)} for panel in OF_TRANSFORMER}
SECONDS = {"copy_prompt": 1, "random": 1, "tuned_temperature": 8, "more_likelihood": 20}
SECONDS |= {"translation/warm_start": 30, "summary/warm_start": 62}
SECONDS |= {
    f"{panel}/{arm}": seconds
    for panel, seconds in {
        "copy": 7, "copy a2c": 8, "copy dqn": 22, "spelling": 34, "translation": 19, "summary": 40,
    }.items()
    for arm in REWARDS
}  # fmt: skip
SMOKE = designs.SMOKE
PRIMARY = Comparison("delta", "terminal")
score = scores.mean_greedy
