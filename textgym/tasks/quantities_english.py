"""Numbers, times of day, dates and prices in English words: the usual ways to say each, British and American.

Every function returns the ways without repetitions, an ordinary one first. No way of saying one value is a way
of saying another. As in speech there are no commas; only months have a capital letter.
"""

from __future__ import annotations

import string
from collections.abc import Iterable

CHARACTERS = string.ascii_lowercase + "JFMASOND" + " -'"  # of all that is said here

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
TENS = ["", "", *"twenty thirty forty fifty sixty seventy eighty ninety".split()]
SCALES = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
IRREGULAR = dict(one="first", two="second", three="third", five="fifth", eight="eighth", nine="ninth", twelve="twelfth")
MONTHS = "January February March April May June July August September October November December".split()


def number(n: int) -> list[str]:
    """A whole number, 0 .. 10**12 - 1: ``"ten thousand and five"``, ``"ten thousand five"``."""
    ways = [_cardinal(n, " and "), _cardinal(n, " ")]
    if 100 <= n < 200 or 1000 <= n < 1100 or n in (10**6, 10**9):
        ways += [way.replace("one", "a", 1) for way in ways]
    if 1000 < n < 10_000 and n % 100 == 0 != n % 1000:
        ways.append(f"{_cardinal(n // 100, '')} hundred")
    return _unique(ways)


def _cardinal(n: int, link: str) -> str:
    """``link`` stands before tens and ones: " and " in Britain, " " in America."""
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + (f"-{ONES[n % 10]}" if n % 10 else "")
    size, name = next(scale for scale in SCALES if n >= scale[0])
    rest = n % size
    after = (link if rest < 100 else " ") + _cardinal(rest, link) if rest else ""
    return f"{_cardinal(n // size, link)} {name}{after}"


def ordinal(n: int) -> str:
    """Which one, 1 .. 99: ``"twenty-first"``."""
    tens, dash, last = _cardinal(n, "").rpartition("-")
    return tens + dash + IRREGULAR.get(last, last.removesuffix("y") + ("ieth" if last[-1] == "y" else "th"))


def year(y: int) -> list[str]:
    """A year, 1100 .. 2099: ``"nineteen oh five"``, ``"twenty twenty-four"``."""
    century, rest = divmod(y, 100)
    as_number = [_cardinal(y, " and "), _cardinal(y, " ")] if y >= 2000 else []
    if 2000 <= y < 2010:
        return _unique(as_number)
    last = "hundred" if rest == 0 else f"oh {ONES[rest]}" if rest < 10 else _cardinal(rest, "")
    return [f"{_cardinal(century, '')} {last}", *as_number]


def date(y: int, month: int, day: int) -> list[str]:
    """A day: ``"the fifth of March twenty twenty-four"``, ``"March the fifth ..."``, ``"March fifth ..."``."""
    name, nth = MONTHS[month - 1], ordinal(day)
    orders = f"the {nth} of {name}", f"{name} the {nth}", f"{name} {nth}"
    return [f"{order} {said}" for order in orders for said in year(y)]


def time(hour: int, minute: int) -> list[str]:
    """A time of day, 0:00 .. 23:59: ``"three forty-five pm"``, ``"a quarter to four in the afternoon"``.

    Never without what tells morning from evening.
    """
    if minute == 0:
        return _on_the_hour(hour)
    half, periods = _half(hour), _periods(hour)
    digits = f"{ONES[hour % 12 or 12]} {f'oh {ONES[minute]}' if minute < 10 else _cardinal(minute, '')}"
    ways = [f"{digits} {after}" for after in (half, *periods)]
    named = hour + (minute > 30)  # a quarter to four names four
    crosses = minute > 30 and named % 12 == 0  # a quarter to twelve is neither am nor pm
    for distance in _distances(minute):
        ways += [f"{distance} {ONES[named % 12 or 12]} {after}" for after in (periods if crosses else (*periods, half))]
        if named % 12 == 0:
            ways.append(f"{distance} {'noon' if named == 12 else 'midnight'}")
    return ways


def _on_the_hour(hour: int) -> list[str]:
    if hour == 0:
        return ["midnight", "twelve midnight", "twelve at night", "twelve o'clock at night", "twelve am"]
    if hour == 12:
        return ["noon", "midday", "twelve noon", "twelve pm"]
    name = ONES[hour % 12]
    return [
        f"{name} {_half(hour)}",
        *(f"{name}{clock} {after}" for clock in (" o'clock", "") for after in _periods(hour)),
    ]


def _distances(minute: int) -> list[str]:
    """``["a quarter to", "quarter to"]`` for 45."""
    if minute == 30:
        return ["half past"]
    n = min(minute, 60 - minute)
    if n == 15:
        spans = ["a quarter", "quarter"]
    else:
        spans = [_cardinal(n, "")] if n % 5 == 0 else []
        spans.append(f"{_cardinal(n, '')} minute{'s' * (n > 1)}")
    return [f"{span} {way}" for way in (("past", "after") if minute < 30 else ("to",)) for span in spans]


def _half(hour: int) -> str:
    return "pm" if hour >= 12 else "am"


def _periods(hour: int) -> list[str]:
    """What an hour is said to be in; at the borders people differ."""
    names = ("at night", 21, 25), ("in the morning", 0, 12), ("in the afternoon", 12, 18), ("in the evening", 17, 23)
    return [name for name, begin, end in names if begin <= hour < end or begin <= hour + 24 < end]


def price(currency: str, cents: int) -> list[str]:
    """A price in hundredths of a "dollar" or a "yuan", above 0: ``"three dollars and forty-five cents"``."""
    whole, part = divmod(cents, 100)
    return _dollars(whole, part) if currency == "dollar" else _yuan(whole, part)


def _dollars(whole: int, part: int) -> list[str]:
    dollars = [f"{way} dollar{'s' * (whole > 1)}" for way in (number(whole) if whole != 1 else ["one", "a"])]
    if not part:
        return dollars
    cents = f"{_cardinal(part, '')} cent{'s' * (part > 1)}"
    if not whole:
        return [cents]
    ways = [f"{way}{link}{cents}" for link in (" and ", " ") for way in dollars]
    return ways + [f"{way} {_cardinal(part, '')}" for way in dollars if part >= 10]


def _yuan(whole: int, part: int) -> list[str]:
    jiao, fen = divmod(part, 10)
    if not part:
        return [f"{way} yuan" for way in number(whole)]
    decimals = [f"{ONES[jiao]} {ONES[fen]}" if fen else ONES[jiao]]
    if whole and not jiao:
        decimals.append(f"oh {ONES[fen]}")
    ways = [f"{way} point {decimal} yuan" for decimal in decimals for way in number(whole)]
    small = [f"{ONES[n]} {unit}" for n, unit in ((jiao, "jiao"), (fen, "fen")) if n]
    for link in (" ", " and "):
        for large in [f"{way} yuan" for way in number(whole)] if whole else [""]:
            before = " ".join(filter(None, (large, *small[:-1])))
            ways.append(f"{before}{link}{small[-1]}" if before else small[-1])
    return _unique(ways)


def _unique(ways: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(ways))
