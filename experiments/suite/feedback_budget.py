"""How many judgements does a reward model need until a policy that is paid by it writes better texts?

Spelling correction, with the warm start and the PPO of `overoptimisation` (`kl`), half as long, and reward models of
one member. A simulated annotator errs in one judgement of ten: 50 to 5,000 comparisons, or, in the other panels, twice
as many ratings from 1 to 5, or twice as many texts whose words are all marked as good or bad by the reference (one word
in ten the other way round): as many texts are read for them.

Hypothesis: the last greedy true score is better after 5,000 comparisons than after 50.

Controls: the warm start (50 judgements teach little; what its likelihood alone is worth as a reward shows there); the
records of the `judged` arms have the reward models' held-out accuracy, and the Bayes limit of the annotator.

Refuted where the interval of 5,000 - 50 (last greedy true score, paired by seed) lies below 0. That comparisons are
worth more than ratings or marks, or less, is exploratory: a rating by fifths of the score says more than most people
can, and marks know the reference.
"""

from experiments import scores
from experiments.registry import Comparison
from experiments.suite import overoptimisation

TAGS = ("transformer", "feedback", "published")
BUDGET = 60_000
SEEDS = 10
SIZES = (50, 500, 5000)
KINDS = {  # judgements for the texts of one comparison
    "comparisons": ("comparison", 1),
    "ratings": ("rating", 2),
    "spans": ("marks", 2),
}
JUDGED = {**overoptimisation.SETTINGS["spelling/judged"], "init": "warm_start", "members": 1}
LEARNED = {**overoptimisation.SETTINGS["spelling/kl"], "steps": BUDGET, "evaluations": 3}
SETTINGS = {"warm_start": overoptimisation.SETTINGS["spelling/warm_start"]}
for _panel, (_kind, _count) in KINDS.items():
    for _size in SIZES:
        _judged = f"{_panel}/judged_{_size}"
        SETTINGS[_judged] = {**JUDGED, "kind": _kind, "judgements": _count * _size}
        SETTINGS[f"{_panel}/{_size}"] = {**LEARNED, "init": _judged}
SECONDS = {"warm_start": 300, **{str(size): 18 for size in SIZES}}
SECONDS |= {f"judged_{size}": 2 + size / 90 for size in SIZES}
SMOKE = overoptimisation.SMOKE
PRIMARY = Comparison("5000", "50", panel="comparisons")
score = scores.last_greedy
