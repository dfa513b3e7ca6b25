"""Pay that is held back for a while: the same return, paid less often."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np

from textgym.episode import Step
from textgym.errors import whole_number
from textgym.rewards.modified import ModifiedPay, ModifiedReward


class HeldBack(ModifiedReward):
    """Redistribution: the inner pay of an episode accumulates until :meth:`due` says that it is paid.

    At discount 1 every episode has the inner return, hence the optimal policies are the same; below discount 1 what
    comes later counts less. The inner terms stay apart.
    """

    def start(self, n, rngs, metrics):
        return _HeldBack(self, n, rngs, metrics)

    @abstractmethod
    def due(self, step: Step) -> tuple[np.ndarray | bool, np.ndarray]:
        """What is paid now.

        Returns:
            earlier: bool (k,), or one for all: what had accumulated before this token.
            everything: bool (k,): that, and the pay of this token. All rows that end are among them.
        """


class Delayed(HeldBack):
    """Redistribution: pays the sum of the inner pay at every k-th token of an episode, and the rest at its end.

    A dial of density: ``k=1`` is the inner reward, with k no less than the budget all is paid at the end. At
    discount 1 the return of every episode, hence the optimal policies, are those of the inner reward.

    Args:
        reward: the inner reward, any spec.
        k: tokens from one payment to the next, at least 1.
    """

    kind = "delayed"
    elementwise = True

    def __init__(self, reward="delta", k: int = 8):
        super().__init__(reward)
        self.k = whole_number("k", k, 1)

    def due(self, step):
        return False, (step.lengths % self.k == 0) | step.ended


class AtWordEnds(HeldBack):
    """Redistribution: pays the sum of the inner pay whenever a word is complete, and the rest at the end.

    A half-written word otherwise earns a step that the whole word takes back (ROUGE and word error rates count it as
    a wrong one). Words are separated by white space, as ``str.split`` has it: a token whose text begins with it
    releases what had accumulated before the token; one that ends with it, or has it within, everything. Text that
    the next token may still change (unfinished UTF-8) ends no word. In a language without spaces all is paid at the
    end. At discount 1 the return of every episode, hence the optimal policies, are those of the inner reward.

    Args:
        reward: the inner reward, any spec.
    """

    kind = "at_word_ends"
    needs_text = True

    def __init__(self, reward="delta"):
        super().__init__(reward)

    def due(self, step):
        begins = np.array([piece[:1].isspace() for piece in step.pieces], np.bool_)
        completes = [piece[-1:].isspace() or len(piece.split()) > 1 for piece in step.pieces]
        return begins, step.ended | completes


class _HeldBack(ModifiedPay):
    def __init__(self, recipe, n, rngs, metrics):
        super().__init__(recipe, n, rngs, metrics)
        self.n = n
        self.held: dict[str | None, np.ndarray] = {}  # term -> float64 (n,), what is owed; None: all terms together

    def reset(self, rows, episodes):
        super().reset(rows, episodes)
        for owed in self.held.values():
            owed[rows] = 0.0

    def step(self, step):
        paid = self.inner_pay(step)
        released = self._release(step, {None: paid, **self.inner.terms})
        paid = released.pop(None)
        self.terms = self.recipe.terms(released)
        return paid

    def _release(self, step: Step, new: Mapping[str | None, np.ndarray]) -> dict[str | None, np.ndarray]:
        """What is paid now, float64 (k,) each, of what was held and is ``new``; the rest is held from now on."""
        earlier, everything = self.recipe.due(step)
        released = {}
        for name in dict.fromkeys([*self.held, *new]):  # a reward may leave terms out now and then
            held = self.held.get(name)
            if held is None:
                held = np.zeros(self.n)
            owed, amount = step.take(held), new.get(name, 0.0)
            released[name] = np.where(everything, owed + amount, np.where(earlier, owed, 0.0))
            self.held[name] = step.put(held, np.where(everything, 0.0, np.where(earlier, amount, owed + amount)))
        return released
