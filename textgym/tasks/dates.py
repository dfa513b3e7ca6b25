"""A text with many dates."""

from __future__ import annotations

import re
from datetime import date

from textgym.episode import Episode
from textgym.errors import whole_number
from textgym.metrics import Metric, Progress
from textgym.tasks.generated import OneEpisodeTask

_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_LENGTH = len("2000-01-01")


class DatesFound(Metric):
    """How many of the wanted dates are in a text: min(1, different dates / ``dates``), in [0, 1].

    A date is four digits, a hyphen, two digits, a hyphen and two digits, wherever they stand: from the left to the
    right, none overlaps the one before.

    With ``dates=1`` and ``real=False`` equal, at every prefix, to the reward ``sentences_with_dates`` of RL4LMs
    (Ramamurthy et al. 2023, arXiv:2210.01241).

    Args:
        dates: how many are wanted, at least 1.
        real: days that the calendar does not have do not count (``2001-02-29``; the year 0000).
    """

    name = "dates_found"

    def __init__(self, dates: int = 3, real: bool = True):
        self.dates = whole_number("dates", dates, 1)
        if not isinstance(real, bool):
            raise TypeError(f"real must be True or False, got {real!r}")
        self.real = real

    def start(self, episode):
        return _Found(self)


class _Found(Progress):
    def __init__(self, metric: DatesFound):
        self.metric = metric
        self.rest = ""  # the committed text after the last date, cut to what the next one may begin with
        self.found: dict[tuple[int, ...], None] = {}  # ordered, so that states saved in two processes are the same

    def push(self, piece, provisional=""):
        if piece:
            text, end = self.rest + piece, 0
            for match in _DATE.finditer(text):
                end = match.end()
                self._add(match, self.found)
            self.rest = text[max(end, len(text) - _LENGTH + 1) :]
        found = self.found
        if provisional:
            found = dict(found)
            for match in _DATE.finditer(self.rest + provisional):
                self._add(match, found)
        return min(1.0, len(found) / self.metric.dates)

    def _add(self, match: re.Match, found: dict[tuple[int, ...], None]) -> None:
        numbers = tuple(map(int, match.groups()))
        if self.metric.real:
            try:
                date(*numbers)
            except ValueError:
                return
        found[numbers] = None


class Dates(OneEpisodeTask):
    """Write as many dates as are wanted.

    ## Description
    The second of the two synthetic tasks of RL4LMs (Ramamurthy et al. 2023, arXiv:2210.01241), made to be run side by
    side with it. Its reward ``sentences_with_dates`` is 1 for a text with anything shaped like `2000-01-01` in it and
    0 for all others; `9999-99-99` will do. Here `dates` different days that the calendar has are wanted, and each
    pays as soon as it is complete. With `dates=1, real=False, reward="terminal"` the score and what is paid are the
    same; with `tokenizer` the directory of a saved GPT-2, `prompt="<|endoftext|>"` and `budget=30` the rest is, too.
    As there, nothing else is asked of the text: that it is one is left to the agent's language model.

    ## Prompt and reference
    The prompt is `prompt`, always; the reference has the first `dates` days from 2000-01-01 on, with single spaces.
    Both are the same in every episode and every split; any other days will do. Trained vocabularies never see the
    reference, only its characters and the prompt.

    ## Action space
    `Discrete(V)`: the tokens of the vocabulary, by default the digits, the hyphen, the space and EOS, `V = 13` (and
    the characters of the prompt). All are legal.

    ## Observation space
    `Box(0, V, (prompt_length + budget,), int32)`: the prompt, right-aligned in `prompt_length` columns (with
    characters its length), then the tokens written; PAD = V in empty columns.

    ## Rewards
    Default: `delta` of the true score, the share of the wanted dates that is there (:class:`DatesFound`): the last
    digit of each date pays 1 / `dates`, all else 0, so that this is a task of exploration. A date that was there
    before, or that is none, pays nothing. An empty text scores 0; an agent that draws tokens uniformly finds a date in
    1 of 3,500 episodes.

    ## Starting state
    The prompt, no text: always the same.

    ## Episode end
    EOS, or the budget is spent (default `16 * dates`, EOS included; `11 * dates` would do).

    ## Arguments
    - `dates=3`: how many dates make the score 1, 1 to 366.
    - `real=True`: only days that the calendar has count.
    - `prompt=""`: what a pretrained model is to see first.
    - `split="train"`, `tokenizer="character"`, `budget=None` (tokens, EOS included): as for every task.

    Raises `ValueError`: an argument out of its range, or a budget that the reference does not fit; `TypeError`:
    `real` is no bool.

    ## Version history
    - v0: first version.
    """

    def __init__(
        self,
        dates: int = 3,
        real: bool = True,
        prompt: str = "",
        *,
        split="train",
        tokenizer="character",
        budget: int | None = None,
        lossy: bool = False,
    ):
        self.dates = whole_number("dates", dates, 1, 366)
        self.metric = DatesFound(self.dates, real)
        first = date(2000, 1, 1).toordinal()
        days = [date.fromordinal(first + i).isoformat() for i in range(self.dates)]
        super().__init__(
            Episode(prompt, (" ".join(days),)),
            "0123456789- ",
            16 * self.dates - 1,
            split=split,
            tokenizer=tokenizer,
            budget=budget,
            lossy=lossy,
        )
