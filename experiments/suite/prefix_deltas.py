"""Does paying the change of a prefix's edit distance lower the character error rate of spelling correction?

The experiment of Bahdanau et al. 2017 ("An Actor-Critic Algorithm for Sequence Prediction", table 1): windows of 10 and
30 characters, 3 or 5 in 10 of them replaced. Theirs are a recurrent network with attention, actor-critic with a target
critic, and the One Billion Word corpus; here a small Transformer, PPO, and the prose of Python's language reference.
Their error rates, from likelihood to actor-critic: 17.8 to 17.2 and 38.1 to 35.9 (10 characters), 18.4 to 17.3 and 40.9
to 37.0 (30), in per cent.

Hypothesis: from one warm start, `optimistic`, their reward (what a token adds to the least edit distance that can still
be reached, and at the end what is missing), lowers the error rate of the likeliest text; more so in longer and in
noisier windows.

Controls: copying the prompt; the warm start; as many tokens of likelihood training; the edit distance at the end
(Terminal); its change without optimism (Delta). All rewards have the same return, up to a constant.

Refuted where the interval of optimistic - more_likelihood (last greedy character error rate, each seed: the mean of the
four panels) lies above 0. Error rates are 1 - character accuracy: above 100 % they count as 100 %. Networks and budget
are far smaller than the paper's: its numbers are not to be expected, their order is. The warm start has converged: on
seed 0, which is none of these runs, its error rate (30 characters, 5 in 10) had been flat for a half of its updates. An
update has 6,000 to 8,000 tokens in windows of either length: twice as many texts gained half as much there.
"""

from experiments import designs, scores
from experiments.registry import Comparison
from experiments.suite.warm_start_and_reward import TRAINER

TAGS = ("transformer", "published")
BUDGET = 200_000
SEEDS = 10
REWARDS = {
    "terminal": "terminal",
    "delta": "delta",
    "optimistic": {"name": "potential", "metric": {"name": "optimistic_edit_distance"}, "base": "terminal"},
}
SETTINGS = {
    arm: settings
    for length in (10, 30)
    for corruption in (0.3, 0.5)
    for arm, settings in designs.from_one_warm_start(
        "textgym/Spelling-v0",
        REWARDS,
        budget=BUDGET,
        updates=1500,
        eval_episodes=300,
        network={"layers": 2, "width": 64},
        trainer={**TRAINER, "n_envs": {10: 512, 30: 256}[length], "evaluations": 6},
        env_kwargs={"length": length, "corruption": corruption},
        panel=f"{length} characters, {corruption}",
    ).items()
    if not arm.endswith("tuned_temperature")  # the likeliest text is judged
}  # fmt: skip
SECONDS = {"copy_prompt": 1, "more_likelihood": 20, **dict.fromkeys(REWARDS, 35)}
SECONDS |= {arm: 125 if arm.startswith("30") else 45 for arm in SETTINGS if arm.endswith("/warm_start")}
SMOKE = designs.SMOKE
PRIMARY = Comparison("optimistic", "more_likelihood", expect="less")


def score(runs):
    """Character error rate of the likeliest text in the end, float (n,)."""
    return 1.0 - scores.last_greedy(runs)
