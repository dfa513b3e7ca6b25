"""One hidden string: pure exploration."""

from __future__ import annotations

import numpy as np

from textgym.episode import Episode
from textgym.errors import whole_number
from textgym.metrics import ExactMatch
from textgym.tasks.generated import OneEpisodeTask
from textgym.tasks.symbolic import LETTERS, random_letters


class Password(OneEpisodeTask):
    """Find one hidden string.

    ## Description
    Nothing says where the password is but the score of having written it: pure exploration, with a cost
    that is known. With characters, an agent that draws every token uniformly among the letters and EOS
    hits it once in `(symbols + 1) ** (length + 1)` episodes, EOS being the last token: that is also the
    mean number of its episodes until the first hit, 3125 by default.

    ## Prompt and reference
    The prompt is empty. The reference is one of the `symbols ** length` strings (256 by default), drawn by
    `secret_seed`: the same in every episode, every split, and on every machine. Trained vocabularies never see it.

    ## Action space
    `Discrete(V)`: the tokens of the vocabulary, here the letters and EOS, `V = symbols + 1`. All are legal.

    ## Observation space
    `Box(0, V, (prompt_length + budget,), int32)`: with characters `prompt_length` is 0, so the tokens written,
    and PAD = V in empty columns.

    ## Rewards
    Default: `terminal`: the true score at the end, 1 for the password and 0 for all else
    (:class:`~textgym.metrics.ExactMatch`).

    ## Starting state
    The empty prompt, no text: always the same.

    ## Episode end
    EOS, or the budget is spent (default `length + 1`, EOS included).

    ## Arguments
    - `length=4`: letters of the password, at least 1.
    - `symbols=4`: size of the alphabet, 2 to 26.
    - `secret_seed=0`: which password, a whole number, at least 0.
    - `split="train"`, `tokenizer="character"`, `budget=None` (tokens, EOS included): as for every task.

    Raises `ValueError`: an argument out of its range, or a budget that the password does not fit.

    ## Version history
    - v0: first version.
    """

    metric = ExactMatch()

    def __init__(
        self,
        length: int = 4,
        symbols: int = 4,
        secret_seed: int = 0,
        *,
        split="train",
        tokenizer="character",
        budget: int | None = None,
        lossy: bool = False,
    ):
        self.length = whole_number("length", length, 1)
        self.symbols = whole_number("symbols", symbols, 2, len(LETTERS))
        self.secret_seed = whole_number("secret_seed", secret_seed, 0)
        secret = random_letters(np.random.default_rng(self.secret_seed), self.length, self.symbols)
        super().__init__(
            Episode("", (secret,)),
            LETTERS[: self.symbols],
            self.length,
            split=split,
            tokenizer=tokenizer,
            budget=budget,
            lossy=lossy,
        )
