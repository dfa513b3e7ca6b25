"""Checks for metrics and rewards of your own: does it keep the contract, and where not, what is wrong, in words.

    from textgym.testing import check_metric, check_potential, check_reward

    def test_my_metric():
        check_metric(MyMetric(), reference=lambda text, references: slow_but_right(text, references))

All raise :class:`ContractError`, an ``AssertionError``, with the smallest example found.
"""

from textgym.testing.examples import ContractError
from textgym.testing.metrics import check_metric
from textgym.testing.potentials import check_potential
from textgym.testing.rewards import check_reward

__all__ = ["ContractError", "check_metric", "check_potential", "check_reward"]
