"""A text of increasing numbers."""

from __future__ import annotations

from collections.abc import Sequence

from textgym.episode import Episode
from textgym.errors import whole_number
from textgym.metrics import Metric, Progress
from textgym.metrics.units import Words
from textgym.tasks.generated import OneEpisodeTask


class IncreasingRun(Metric):
    """How much of a text is a run of increasing numbers, in [0, 1].

    run / max(words of the text, ``words``), words being what ``str.split`` finds. Of those that ``float`` reads, the
    *run* is how many, from the first one on, are each larger than the one before. Other words between them do not
    break the run, and make the text longer. The last, perhaps unfinished, word counts as it stands.

    Equal, at every prefix, to the reward ``increasing_numbers`` of RL4LMs (Ramamurthy et al. 2023,
    arXiv:2210.01241) with ``min_tokens = 2 * words``.

    Args:
        words: the fewest words that a run is measured by, at least 1.
    """

    name = "increasing_run"

    def __init__(self, words: int = 10):
        self.words = whole_number("words", words, 1)

    def start(self, episode):
        return _Run(self.words)


class _Run(Progress):
    def __init__(self, fewest: int):
        self.fewest = fewest
        self.words = Words()
        self.settled: tuple[int, int, float | None, bool] = 0, 0, None, False  # words, run, its last number, broken

    def push(self, piece, provisional=""):
        settled, unsettled = self.words.push(piece, provisional)
        if settled:
            self.settled = self._after(settled)
        count, run, _, _ = self._after(unsettled) if unsettled else self.settled
        return run / max(count, self.fewest)

    def _after(self, words: Sequence[str]) -> tuple[int, int, float | None, bool]:
        count, run, last, broken = self.settled
        for word in [] if broken else words:
            number = _number(word)
            if number is not None:
                if last is not None and not number > last:  # "nan" is larger than nothing
                    broken = True
                    break
                run, last = run + 1, number
        return count + len(words), run, last, broken


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


class IncreasingNumbers(OneEpisodeTask):
    """Write increasing numbers.

    ## Description
    The first of the two synthetic tasks of RL4LMs (Ramamurthy et al. 2023, arXiv:2210.01241), made to be run side by
    side with it. The true score is its reward ``increasing_numbers`` with `min_tokens = 2 * words`, and there are no
    other rules, here as there. Different are: what is paid, the change at every token instead of the score at the
    end (`reward="terminal"` does that); the vocabulary, characters instead of GPT-2's; the prompt, which is empty
    (there `"Lets increase numbers"`); and that there is a reference. With `tokenizer` the directory of a saved GPT-2,
    `prompt="Lets increase numbers"`, `budget=20` and `reward="terminal"` the two are the same.

    ## Prompt and reference
    The prompt is `prompt`, always, and the reference `"1 2 3"` to `words`: the same in every episode and every split.
    Any other numbers will do. Trained vocabularies never see the reference, only its characters and the prompt.

    ## Action space
    `Discrete(V)`: the tokens of the vocabulary, by default the digits, the space and EOS, `V = 12` (and the
    characters of the prompt). All are legal.

    ## Observation space
    `Box(0, V, (prompt_length + budget,), int32)`: the prompt, right-aligned in `prompt_length` columns (with
    characters its length), then the tokens written; PAD = V in empty columns.

    ## Rewards
    Default: `delta` of the true score, the share of the text that is an increasing run (:class:`IncreasingRun`): each
    number that is larger than the one before pays 1 / `words`. A digit more can make a number larger than the one
    before: `"5 1"` scores 0.1, `"5 12"` 0.2. From the first number that is not larger on nothing is paid, and
    words beyond `words` cost. An empty text scores 0; an agent that draws tokens uniformly 0.11 (one number is easy).

    ## Starting state
    The prompt, no text: always the same.

    ## Episode end
    EOS, or the budget is spent (default `3 * words + 1`, EOS included: numbers of two digits and the spaces).

    ## Arguments
    - `words=10`: how many numbers make the score 1, at least 1.
    - `prompt=""`: what a pretrained model is to see first.
    - `split="train"`, `tokenizer="character"`, `budget=None` (tokens, EOS included): as for every task.

    Raises `ValueError`: an argument out of its range, or a budget that the reference does not fit.

    ## Version history
    - v0: first version.
    """

    def __init__(
        self,
        words: int = 10,
        prompt: str = "",
        *,
        split="train",
        tokenizer="character",
        budget: int | None = None,
        lossy: bool = False,
    ):
        self.metric = IncreasingRun(words)
        numbers = " ".join(map(str, range(1, self.metric.words + 1)))
        super().__init__(
            Episode(prompt, (numbers,)),
            "0123456789 ",
            3 * self.metric.words,
            split=split,
            tokenizer=tokenizer,
            budget=budget,
            lossy=lossy,
        )
