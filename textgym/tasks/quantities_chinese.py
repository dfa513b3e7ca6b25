"""Numbers, times of day, dates and prices in Chinese words (Mandarin, simplified): the usual ways to say each.

Every function returns the ways without repetitions, an ordinary one first. No way of saying one value is a way
of saying another.
"""

from __future__ import annotations

from collections.abc import Iterable

DIGITS = "零一二三四五六七八九"
CHARACTERS = (  # of all that is said here
    DIGITS + "〇两十百千万亿" + "点分刻半整钟差" + "凌晨早上午中下傍晚夜正" + "年月日号" + "元角块毛钱美"
)

# before which units 2 is 两 instead of 二: usage varies; None: wherever the number begins
TWO = ("千万亿", "", "百千万亿", None)
# what an hour is said to be in; at the borders people differ
PERIODS = [names.split("|") for names in (
    "凌晨|半夜 凌晨|半夜 凌晨|半夜 凌晨|半夜 凌晨 早上|凌晨 早上 早上 早上|上午 上午|早上 上午|早上 上午 "
    "中午 下午|中午 下午 下午 下午 下午|傍晚 晚上|傍晚|下午 晚上 晚上 晚上 晚上 晚上"
).split()]  # fmt: skip


def number(n: int) -> list[str]:
    """A whole number, 0 .. 10**12 - 1: ``"一万零五"``; 2 before a unit is 两 or 二, 零一十五 may be 零十五."""
    if n == 0:
        return ["零"]
    ways = [_cardinal(n, two) for two in (TWO if "2" in str(n) else TWO[:1])]
    return _unique(ways + [way.replace("零一十", "零十") for way in ways])


def _cardinal(n: int, two: str | None) -> str:
    text, skipped = "", False
    for unit, size in (("亿", 10**8), ("万", 10**4), ("", 1)):
        group, n = divmod(n, size)
        if not group:
            skipped = bool(text)
            continue
        if text and (skipped or group < 1000):  # zeros at the end of a group are not said, all others once
            text += "零"
        text += _two(two, unit, not text) if group == 2 and unit else _group(group, two, not text)
        text, skipped = text + unit, False
    return text


def _group(group: int, two: str | None, first: bool) -> str:
    """Up to four digits, 1 .. 9999; ``first``: nothing stands before them."""
    text, skipped = "", False
    for digit, unit in zip(map(int, f"{group:04}"), ("千", "百", "十", ""), strict=True):
        if digit == 0:
            skipped = bool(text)
            continue
        if skipped:
            text, skipped = text + "零", False
        begins = first and not text
        if not (digit == 1 and unit == "十" and begins):  # fifteen is 十五, a hundred and fifteen 一百一十五
            text += _two(two, unit, begins) if digit == 2 else DIGITS[digit]
        text += unit
    return text


def _two(two: str | None, unit: str, begins: bool) -> str:
    spoken = begins and unit in ("百", "千", "万", "亿") if two is None else unit != "" and unit in two
    return "两" if spoken else "二"


def date(y: int, month: int, day: int) -> list[str]:
    """A day: ``"二〇二四年三月五日"``, ``"二零二四年三月五号"``."""
    year = "".join(DIGITS[int(digit)] for digit in str(y))
    rest = f"年{_cardinal(month, '')}月{_cardinal(day, '')}"
    return _unique(f"{said}{rest}{last}" for said in (year.replace("零", "〇"), year) for last in "日号")


def time(hour: int, minute: int) -> list[str]:
    """A time of day, 0:00 .. 23:59: ``"下午三点三刻"``, ``"下午差一刻四点"``, ``"十五点四十五分"``.

    Never without what tells morning from evening: a word for the part of the day, or an hour of twenty-four.
    """
    periods = PERIODS[hour]
    ways = [f"{period}{_hour(hour)}点{after}" for after in _after(minute) for period in periods]
    if minute == 0 and hour % 12 == 0:
        ways += ["正午", "正午十二点"] if hour else ["午夜", "午夜十二点", "晚上十二点"]
    if minute in (45, 50, 55):
        left, following = {45: "一刻", 50: "十分", 55: "五分"}[minute], _hour(hour + 1)
        ways += [f"{period}差{left}{following}点" for period in periods]
        ways += [f"{period}{following}点差{left}" for period in periods if period in PERIODS[(hour + 1) % 24]]
    if hour == 0 or hour > 12:
        plain = [after for after in _after(minute) if after not in ("钟", "半", "一刻", "三刻")]
        ways += [
            f"{period}{_cardinal(hour, '') or '零'}点{after}"
            for period in [""] + ["凌晨"] * (hour == 0)
            for after in plain
        ]
    return ways


def _hour(hour: int) -> str:
    """An hour of twelve, before 点."""
    return "两" if hour % 12 == 2 else _cardinal(hour % 12 or 12, "")


def _after(minute: int) -> list[str]:
    """What stands after 点."""
    if minute == 0:
        return ["", "整", "钟"]
    said = _cardinal(minute, "")
    if minute < 10:  # 二分 and 两分 are both unusual
        return [f"零{said}分", f"零{said}", *[f"{said}分"] * (minute != 2)]
    special = {15: ["一刻"], 30: ["半"], 45: ["三刻"]}.get(minute, [])
    return [*special, f"{said}分", *[said] * (minute != 10)]


def price(currency: str, fen: int) -> list[str]:
    """A price in hundredths of a "dollar" or a "yuan", above 0: ``"三块四毛五"``, ``"三美元四十五美分"``."""
    whole, part = divmod(fen, 100)
    unit = "元" if currency == "yuan" else "美元"
    decimals = DIGITS[part // 10] + (DIGITS[part % 10] if part % 10 else "")
    with_point = [f"{way}点{decimals}{unit}" for way in number(whole)] if part else []
    ways = _dollars(whole, part) if currency == "dollar" else _spoken_yuan(whole, part) + _yuan(whole, part, "元", "角")
    return _unique(ways + with_point)


def _spoken_yuan(whole: int, part: int) -> list[str]:
    """三块四毛五 and 三块四毛五分: the last of several units may be left out."""
    ways = _yuan(whole, part, "块", "毛")
    if (whole > 0) + (part >= 10) + (part % 10 > 0) == 1:
        return ways + [f"{way}钱" for way in ways]
    # 十块零四 would be 10.04, 三块两 is not said, 一百块四 is not clear
    short = [way[:-1] for way in ways if way[-1] == "分" or ("零" not in way.partition("块")[2] and way[-2] != "两")]
    return (short if part % 10 or whole % 100 else []) + ways


def _yuan(whole: int, part: int, yuan: str, jiao: str) -> list[str]:
    tens, ones = divmod(part, 10)
    ways = [f"{way}{yuan}" for way in _counted(whole) if way + yuan != "二块"] if whole else [""]
    if tens:
        zeros = ["", "零"] if whole and whole % 10 == 0 else [""]
        ways = [f"{way}{zero}{count}{jiao}" for way in ways for zero in zeros for count in _counted(tens)]
    if ones:
        counts = [DIGITS[ones]] if whole or tens else _counted(ones)
        ways = [f"{way}{'零' if whole and not tens else ''}{count}分" for way in ways for count in counts]
    return ways


def _dollars(whole: int, part: int) -> list[str]:
    ways = [f"{way}美元" for way in (number(whole) if whole != 2 else ["两"])] if whole else [""]
    if not part:
        return ways
    zeros = ["", "零"] if whole and part < 10 else [""]
    return [f"{way}{zero}{'两' if part == 2 else _cardinal(part, '')}美分" for zero in zeros for way in ways]


def _counted(n: int) -> list[str]:
    """A number before what it counts: 2 is 两, or 二 in writing."""
    return number(n) if n != 2 else ["两", "二"]


def _unique(ways: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(ways))
