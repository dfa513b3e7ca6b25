"""Numbers, times of day, dates and prices in digits: the usual ways to write each that nobody can misread.

Every function returns the ways without repetitions; the first one names the value. Not among them: ``3/5/2024``, which
is March in America and May in Britain, and ``3:45`` without am or pm.
"""

from __future__ import annotations

CHARACTERS = "0123456789:-/.,$¥ amp"  # of all that is written here
SIGNS = {"dollar": "$", "yuan": "¥"}


def number(n: int) -> list[str]:
    """A whole number, at least 0: ``"10,005"``, ``"10005"``."""
    return [f"{n:,}", str(n)] if n >= 1000 else [str(n)]


def date(year: int, month: int, day: int) -> list[str]:
    """A day, the year first: ``"2024-03-05"``, ``"2024/3/5"``."""
    return [f"{year}-{month:02}-{day:02}", f"{year}/{month}/{day}"]


def time(hour: int, minute: int) -> list[str]:
    """A time of day: ``"15:45"``, ``"3:45 pm"``; ``"15:00"``, ``"3:00 pm"``, ``"3 pm"``."""
    hours, half = hour % 12 or 12, "pm" if hour >= 12 else "am"
    return [f"{hour:02}:{minute:02}", f"{hours}:{minute:02} {half}", *[f"{hours} {half}"] * (minute == 0)]


def price(currency: str, cents: int) -> list[str]:
    """A price in hundredths of a "dollar" or a "yuan": ``"$3.45"``; ``"¥3.00"``, ``"¥3"``."""
    sign, whole = SIGNS[currency], cents // 100
    return [f"{sign}{whole}.{cents % 100:02}", *[f"{sign}{whole}"] * (cents % 100 == 0)]
