"""Translation of numbers, times of day, dates and prices between digits, English and Chinese."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np

from textgym.episode import Episode
from textgym.errors import one_of, whole_number
from textgym.metrics import CharacterMatch
from textgym.tasks import quantities_chinese, quantities_digits, quantities_english
from textgym.tasks.generated import GeneratedTask, pick

# each has a function of the name of each kind, from a value to the ways to say it
LANGUAGES = {"digits": quantities_digits, "english": quantities_english, "chinese": quantities_chinese}
KINDS = ("number", "time", "date", "price")
_ZEROS = 0.4  # share of the digits of numbers that are 0: where languages differ most
_FIRST_DAY, _DAYS = datetime.date(1900, 1, 1).toordinal(), 73_049  # to the end of 2099


def ways_to_say(language: str, kind: str, value: Sequence[Any]) -> Sequence[str]:
    """All the usual ways to say a value of a kind in a language."""
    return getattr(LANGUAGES[language], kind)(*value)


class Translation(GeneratedTask):
    """Say a number, a time, a date or a price in another language.

    ## Description
    Translation with a real mapping between languages and every right answer known: numbers, times of day, dates and
    prices, in digits, in English words, in Chinese words. Words are not translated one by one: "ten thousand and
    five" is 一万零五 (Chinese counts in ten thousands and says each gap once), "a quarter to four" 三点三刻
    (three o'clock and three quarters), "the fifth of March twenty twenty-four" 二〇二四年三月五日 (largest unit first).

    ## Prompt and reference
    The prompt is one of the usual ways to say a value in `source`, each as likely; the references are all the usual
    ways to say it in `target`, British and American, spoken and written: 3 or 4 on average, at most 19.
    `"下午三点三刻"` -> `"three forty-five pm"`, `"a quarter to four in the afternoon"`, ...; `"15:45"`, `"3:45 pm"`.
    What could mean two values is neither: no `3:45` without am or pm, no `3/5/2024`.

    - `number`: the count of digits is uniform in 1 .. `digits`; 4 in 10 of the digits behind the first are 0.
    - `time`: hour and minute are uniform, but every other time the minute is a multiple of five.
    - `date`: uniform from 1900 to 2099. Months are capital in English; there are no commas.
    - `price`: below 1,000 dollars or yuan (`$3.45`, `¥3.45`), about a third each without cents, with tens, with any.
    - `all`: each of the four as likely.

    8 in 10 values are train, 1 validation, 1 test: all ways to say a value are in one split. There are 1,440 times.

    ## Action space
    `Discrete(V)`: the tokens of the vocabulary, by default the characters of both languages, whatever the kind, and
    EOS: V = 83 between English and Chinese, 54 between digits and English, 67 between digits and Chinese. All are
    legal. Words, also of Chinese: `tokenizer={"name": "word", "segmenter": "jieba"}`; for Transformers: `"byte_bpe"`.

    ## Observation space
    `Box(0, V, (prompt_length + budget,), int32)`: the prompt, right-aligned in `prompt_length` columns, then the
    tokens written; PAD = V in empty columns. The longest text has 10 characters in digits, 63 in English, 12 in
    Chinese; the budget is one more. With words it is the same; other vocabularies get as many columns as it has bytes
    in UTF-8, and one.

    ## Rewards
    Default: `delta` of the true score, the share of characters in place of the best reference
    (:class:`~textgym.metrics.CharacterMatch`), in [0, 1]. A right character is paid at once; one left out puts all that
    follow out of place. An empty text scores 0, the prompt at most 0.01, random tokens 0.02, and the best single text
    that was found for all prompts 0.14 in English, 0.15 in Chinese, 0.21 in digits (times alone: 0.27, 0.43, 0.45).

    Other metrics: `chrf`; where the target is Chinese `{"name": "bleu", "tokenize": "zh"}` and
    `{"name": "rougeL", "tokens": "unicode"}`, since the words between white space say nothing there.

    ## Starting state
    A value of the split, a way to say it; no text.

    ## Episode end
    EOS, or the budget is spent.

    ## Arguments
    - `source="english"`, `target="chinese"`: two different ones of "digits", "english", "chinese".
    - `kind="all"`: "number", "time", "date", "price" or "all".
    - `digits=5`: digits of the longest number, 1 to 12.
    - `split="train"`, `tokenizer="character"`, `budget=None` (tokens, EOS included), `lossy=False`: as for every task.

    Raises `ValueError`: an argument that is not allowed.

    ## Version history
    - v0: first version.
    """

    metric = CharacterMatch()

    def __init__(
        self,
        source: str = "english",
        target: str = "chinese",
        kind: str = "all",
        digits: int = 5,
        *,
        split: str = "train",
        tokenizer: Any = "character",
        budget: int | None = None,
        lossy: bool = False,
    ):
        self.source = one_of("source", source, LANGUAGES)
        self.target = one_of("target", target, [language for language in LANGUAGES if language != source])
        self.kinds = KINDS if one_of("kind", kind, (*KINDS, "all")) == "all" else (kind,)
        self.digits = whole_number("digits", digits, 1, 12)
        kind_of_tokens = tokenizer.get("name") if isinstance(tokenizer, dict) else tokenizer
        size = len if kind_of_tokens in ("character", "word") else _bytes  # other tokens may be bytes
        prompt_length, text_length = (
            max(size(way) for kind, value in self._longest() for way in ways_to_say(language, kind, value))
            for language in (source, target)
        )
        super().__init__(
            LANGUAGES[source].CHARACTERS + LANGUAGES[target].CHARACTERS,
            prompt_length,
            text_length,
            split=split,
            tokenizer=tokenizer,
            budget=budget,
            lossy=lossy,
        )

    def generate(self, rng):
        kind = pick(rng, self.kinds)
        value = getattr(self, f"_{kind}")(rng)
        prompt = pick(rng, ways_to_say(self.source, kind, value))
        name = ways_to_say("digits", kind, value)[0]
        return Episode(prompt, tuple(ways_to_say(self.target, kind, value)), {"value": name})

    def identity(self, episode):
        return episode.meta["value"]

    def _number(self, rng: np.random.Generator) -> tuple[int]:
        draws = rng.random(1 + int(rng.random() * self.digits)).tolist()
        first = int(draws[0] * 10) if len(draws) == 1 else 1 + int(draws[0] * 9)
        later = [0 if x < _ZEROS else 1 + int((x - _ZEROS) / (1 - _ZEROS) * 9) for x in draws[1:]]
        return (int("".join(map(str, (first, *later)))),)

    def _time(self, rng: np.random.Generator) -> tuple[int, int]:
        hour, step, minute = rng.random(3)
        return int(hour * 24), int(minute * 12) * 5 if step < 0.5 else int(minute * 60)

    def _date(self, rng: np.random.Generator) -> tuple[int, int, int]:
        day = datetime.date.fromordinal(_FIRST_DAY + int(rng.random() * _DAYS))
        return day.year, day.month, day.day

    def _price(self, rng: np.random.Generator) -> tuple[str, int]:
        currency, size, large, form, small = rng.random(5)
        whole = int(large * 10 ** int(size * 4))
        cents = 1 + int(small * 99) if form < 1 / 3 else 10 + 10 * int(small * 9)
        if whole and form > 2 / 3:
            cents = 0
        return ("dollar", "yuan")[int(currency * 2)], 100 * whole + cents

    def _longest(self):
        """Values that no other one is longer than, in any language."""
        longest = {"number": [(int("7" * self.digits),)], "time": [(12, 27)], "date": [(2077, 9, 27), (2077, 12, 27)]}
        longest["price"] = [("dollar", 77777), ("yuan", 77777)]
        return [(kind, value) for kind in self.kinds for value in longest[kind]]


def _bytes(text: str) -> int:
    return len(text.encode())
