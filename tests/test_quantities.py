"""Numbers, times, dates and prices in three languages: tables made by hand, and readers written by themselves."""

import datetime
import itertools
import random
import re

import pytest

from textgym.tasks import quantities_chinese, quantities_digits, quantities_english
from textgym.tasks.quantities_english import ordinal, year

LANGUAGES = {"digits": quantities_digits, "english": quantities_english, "chinese": quantities_chinese}
KINDS = ("number", "time", "date", "price")

# in digits = in English / or = in Chinese / or; every one of them must be among the ways
RIGHT = """
0 = zero = 零
2 = two = 二
10 = ten = 十
12 = twelve = 十二
15 = fifteen = 十五
20 = twenty = 二十
22 = twenty-two = 二十二
40 = forty = 四十
100 = one hundred / a hundred = 一百
101 = one hundred and one / one hundred one / a hundred and one = 一百零一
110 = one hundred and ten = 一百一十
115 = one hundred and fifteen / a hundred fifteen = 一百一十五
200 = two hundred = 二百 / 两百
222 = two hundred and twenty-two / two hundred twenty-two = 二百二十二 / 两百二十二
1,000 = one thousand / a thousand = 一千
1,001 = one thousand and one / a thousand one = 一千零一
1,010 = one thousand and ten = 一千零一十 / 一千零十
1,100 = one thousand one hundred / eleven hundred = 一千一百
1,905 = one thousand nine hundred and five = 一千九百零五
2,002 = two thousand and two / two thousand two = 两千零二 / 二千零二
2,200 = two thousand two hundred / twenty-two hundred = 两千二百 / 两千两百 / 二千二百
10,000 = ten thousand = 一万
10,005 = ten thousand and five / ten thousand five = 一万零五
10,015 = ten thousand and fifteen = 一万零一十五 / 一万零十五
10,500 = ten thousand five hundred = 一万零五百
15,000 = fifteen thousand = 一万五千
20,020 = twenty thousand and twenty = 两万零二十 / 二万零二十
22,000 = twenty-two thousand = 两万两千 / 两万二千 / 二万二千
101,000 = one hundred and one thousand / one hundred one thousand = 十万一千
100,005 = one hundred thousand and five = 十万零五
150,000 = one hundred and fifty thousand = 十五万
1,020,000 = one million twenty thousand = 一百零二万
1,005,005 = one million five thousand and five / one million five thousand five = 一百万五千零五
50,005,000 = fifty million five thousand = 五千万五千
100,005,000 = one hundred million five thousand = 一亿零五千
105,000,000 = one hundred and five million = 一亿零五百万
200,000,000 = two hundred million = 两亿 / 二亿
1,200,000,002 = one billion two hundred million and two = 十二亿零二
00:00 = midnight / twelve midnight / twelve o'clock at night / twelve am = 午夜 / 半夜十二点 / 零点 / 凌晨零点
00:05 = five past midnight / twelve oh five am / five minutes past twelve at night = 零点五分 / 凌晨十二点零五分
00:30 = half past midnight / half past twelve at night / twelve thirty am = 半夜十二点半 / 零点三十分 / 凌晨十二点半
00:45 = a quarter to one in the morning / twelve forty-five am = 凌晨差一刻一点 / 零点四十五分 / 半夜十二点三刻
01:55 = five to two in the morning / one fifty-five am = 凌晨差五分两点 / 凌晨一点五十五分
02:00 = two o'clock in the morning / two am = 凌晨两点 / 半夜两点钟
02:02 = two oh two am / two minutes past two in the morning = 凌晨两点零二分
06:01 = one minute past six in the morning / six oh one am = 早上六点零一分 / 早上六点一分
09:10 = ten past nine in the morning / ten after nine am = 上午九点十分 / 早上九点十分
11:45 = a quarter to twelve in the morning / quarter to noon / eleven forty-five am = 上午十一点三刻 / 上午差一刻十二点
12:00 = noon / midday / twelve noon / twelve pm = 中午十二点 / 正午 / 中午十二点整
12:10 = ten past noon / twelve ten pm / ten past twelve in the afternoon = 中午十二点十分
12:50 = ten to one in the afternoon / twelve fifty pm = 中午差十分一点 / 中午十二点五十
13:00 = one pm / one o'clock in the afternoon = 下午一点 / 中午一点 / 十三点
14:30 = half past two in the afternoon / two thirty pm = 下午两点半 / 十四点三十分
15:45 = a quarter to four in the afternoon / three forty-five pm = 下午三点三刻 / 下午差一刻四点 / 十五点四十五分
17:40 = twenty to six in the evening / twenty minutes to six pm = 下午五点四十 / 傍晚五点四十分
18:00 = six o'clock in the evening = 晚上六点 / 下午六点整 / 十八点
21:25 = twenty-five past nine at night / nine twenty-five in the evening = 晚上九点二十五 / 二十一点二十五分
22:10 = ten past ten at night = 晚上十点十分 / 二十二点十分
23:45 = a quarter to midnight / a quarter to twelve at night / eleven forty-five pm = 晚上十一点三刻 / 晚上差一刻十二点
1900-02-28 = the twenty-eighth of February nineteen hundred = 一九〇〇年二月二十八日 / 一九零零年二月二十八号
1905-11-12 = November twelfth nineteen oh five = 一九〇五年十一月十二日
1984-12-21 = December the twenty-first nineteen eighty-four = 一九八四年十二月二十一号
1999-08-08 = the eighth of August nineteen ninety-nine = 一九九九年八月八日
2000-01-01 = January first two thousand = 二〇〇〇年一月一日
2002-02-02 = February second two thousand and two / February the second two thousand two = 二〇〇二年二月二日
2010-10-10 = October tenth twenty ten / the tenth of October two thousand and ten = 二〇一〇年十月十日
2024-03-05 = the fifth of March twenty twenty-four / March fifth two thousand twenty-four = 二〇二四年三月五日
2030-05-30 = May thirtieth twenty thirty = 二〇三〇年五月三十日
2099-09-09 = the ninth of September twenty ninety-nine = 二〇九九年九月九日
$0.01 = one cent = 一美分
$0.02 = two cents = 两美分
$0.20 = twenty cents = 二十美分
$1.00 = one dollar / a dollar = 一美元
$1.01 = one dollar and one cent / a dollar and one cent = 一美元一美分 / 一美元零一美分
$1.10 = a dollar ten / one dollar and ten cents = 一美元十美分
$2.50 = two dollars fifty / two dollars and fifty cents = 两美元五十美分 / 二点五美元
$3.05 = three dollars and five cents = 三美元零五美分 / 三点零五美元
$3.45 = three dollars and forty-five cents / three dollars forty-five = 三美元四十五美分 / 三点四五美元
$22.00 = twenty-two dollars = 二十二美元
$105.00 = a hundred and five dollars / one hundred five dollars = 一百零五美元
$200.99 = two hundred dollars and ninety-nine cents = 两百美元九十九美分 / 二百美元九十九美分
¥0.02 = two fen / zero point zero two yuan = 两分 / 二分钱
¥0.10 = one jiao = 一毛 / 一角 / 一毛钱
¥0.25 = two jiao five fen / zero point two five yuan = 两毛五 / 二角五分 / 两毛五分
¥1.00 = one yuan = 一块 / 一块钱 / 一元
¥2.00 = two yuan = 两块 / 两元 / 二元 / 两块钱
¥2.20 = two point two yuan / two yuan and two jiao = 两块二 / 两块两毛 / 二元二角
¥3.05 = three point oh five yuan / three yuan five fen = 三块零五 / 三元零五分
¥3.45 = three point four five yuan / three yuan four jiao and five fen = 三块四毛五 / 三元四角五分 / 三点四五元
¥3.50 = three point five yuan / three yuan five jiao = 三块五 / 三块五毛 / 三元五角
¥10.50 = ten point five yuan = 十块五 / 十块零五毛 / 十元零五角 / 十元五角
¥12.34 = twelve yuan three jiao four fen = 十二块三毛四分
¥100.40 = a hundred point four yuan = 一百块零四毛 / 一百元四角
¥200.00 = two hundred yuan = 两百块 / 二百块钱
¥222.22 = two hundred and twenty-two point two two yuan = 两百二十二块二毛二 / 二百二十二元二角二分
"""

# nobody says so
WRONG = """
2 = = 两
15 = = 一十五
20 = = 两十
110 = = 一百十 / 一百一十零
1,001 = = 一千一 / 一千零零一
1,005 = one thousand five hundred / ten hundred and five = 一千五
10,005 = ten thousand, five / ten thousand and and five = 一万五 / 一万零零五 / 十千零五
101,000 = hundred and one thousand = 十万零一千
120,000 = = 十两万
100,005,000 = = 一亿五千
2,000,000,000 = two thousand million = 十两亿
00:00 = noon / twelve pm / zero o'clock = 中午十二点 / 下午零点
03:45 = three forty-five / a quarter to four / a quarter to four pm = 三点三刻 / 三点四十五分
10:00 = twenty-two hundred = 十点
11:45 = a quarter to twelve am / a quarter to twelve pm = 差一刻十二点
12:00 = twelve am / twelve in the afternoon / midnight = 上午十二点 / 午夜
14:02 = two two pm / two and two pm = 下午二点零二分 / 下午两点二
14:10 = = 下午两点十
15:30 = thirty past three in the afternoon / half to four pm = 下午三点半分
22:00 = ten o'clock pm = 晚上二十二点 / 晚上十点零分
23:55 = five to zero = 晚上差五分零点
2001-01-02 = January two two thousand and one / twenty one = 二千零一年一月二日
2005-05-03 = the threeth of May two thousand and five / May third twenty five = 二零〇五年五月三日
$1.01 = one dollars and one cent / one dollar and one cents = 一块零一
$2.02 = two dollars two = 二美元二美分
¥2.00 = two yuans = 二块
¥3.20 = = 三块两
¥3.05 = three point five yuan = 三块五 / 三元五分
¥10.40 = = 十块零四
¥100.40 = = 一百块四
"""


def table(text):
    """(kind, value, language, way) of each line."""
    for line in text.strip().splitlines():
        name, english, chinese = re.split(" ?= ?", line, maxsplit=2)
        kind, value = read_digits(name)
        assert getattr(quantities_digits, kind)(*value)[0] == name
        for language, ways in (("english", english), ("chinese", chinese)):
            for way in filter(None, ways.split(" / ")):
                yield kind, value, language, way


def test_tables_made_by_hand():
    right, wrong = list(table(RIGHT)), list(table(WRONG))
    assert len(right) > 300 and len(wrong) > 60
    for kind, value, language, way in right:
        assert way in getattr(LANGUAGES[language], kind)(*value), (value, way)
    for kind, value, language, way in wrong:
        assert way not in getattr(LANGUAGES[language], kind)(*value), (value, way)


def test_all_ways_of_a_few():
    english, chinese = quantities_english, quantities_chinese
    assert english.number(1005) == [
        "one thousand and five", "one thousand five", "a thousand and five", "a thousand five",
    ]  # fmt: skip
    assert english.time(15, 30) == [
        "three thirty pm", "three thirty in the afternoon", "half past three in the afternoon", "half past three pm",
    ]  # fmt: skip
    assert chinese.time(15, 45) == [
        "下午三点三刻", "下午三点四十五分", "下午三点四十五", "下午差一刻四点", "下午四点差一刻",
        "十五点四十五分", "十五点四十五",
    ]  # fmt: skip
    assert chinese.price("yuan", 345) == [
        "三块四毛五", "三块四毛五分", "三元四角五分", "三点四五元",
    ]  # fmt: skip
    assert quantities_digits.time(15, 0) == ["15:00", "3:00 pm", "3 pm"]
    assert quantities_digits.number(10005) == ["10,005", "10005"] and quantities_digits.number(999) == ["999"]
    assert quantities_digits.date(2024, 3, 5) == ["2024-03-05", "2024/3/5"]
    assert quantities_digits.price("yuan", 300) == ["¥3.00", "¥3"]
    assert [ordinal(n) for n in (1, 2, 3, 5, 8, 9, 12, 20, 21, 22, 23, 30, 31)] == (
        "first second third fifth eighth ninth twelfth twentieth twenty-first twenty-second twenty-third thirtieth "
        "thirty-first"
    ).split()
    assert year(1900) == ["nineteen hundred"] and year(1800) == ["eighteen hundred"]


# Readers: from a way back to the value, written without a look at the writers


def read_digits(text):
    """(kind, value) of a text in digits."""
    if match := re.fullmatch(r"([$¥])(\d+)(?:\.(\d\d))?", text):
        return "price", ({"$": "dollar", "¥": "yuan"}[match[1]], 100 * int(match[2]) + int(match[3] or 0))
    if match := re.fullmatch(r"(\d{4})([-/])(\d+)\2(\d+)", text):
        return "date", (int(match[1]), int(match[3]), int(match[4]))
    if match := re.fullmatch(r"(\d+)(?::(\d\d))? ([ap])m", text):
        return "time", (int(match[1]) % 12 + 12 * (match[3] == "p"), int(match[2] or 0))
    if match := re.fullmatch(r"(\d\d):(\d\d)", text):
        return "time", (int(match[1]), int(match[2]))
    assert re.fullmatch(r"\d{1,3}(,\d{3})+|\d+", text)
    return "number", (int(text.replace(",", "")),)


SMALL = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split()
SMALL = {word: n for n, word in enumerate([*SMALL, "seventeen", "eighteen", "nineteen"])} | {"a": 1, "oh": 0}
SMALL |= {w: 20 + 10 * i for i, w in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split())}
LARGE = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
MONTH = [datetime.date(2000, month, 1).strftime("%B") for month in range(1, 13)]
# from when to when, in minutes, people may say so
ENGLISH_PERIODS = {"in the morning": (0, 720), "in the afternoon": (720, 1080), "in the evening": (1020, 1380)}
ENGLISH_PERIODS |= {"at night": (1260, 1500), "am": (0, 720), "pm": (720, 1440)}


def english_number(text):
    total = group = 0
    for word in text.replace("-", " ").split():
        if word == "hundred":
            group *= 100
        elif word in LARGE:
            total, group = total + group * LARGE[word], 0
        elif word != "and":
            group += SMALL[word]
    return total + group


def english_time(text):
    text = text.replace("twelve midnight", "midnight").replace("twelve noon", "noon").replace("midday", "noon")
    period = next((p for p in ENGLISH_PERIODS if text.endswith(f" {p}")), "")
    text = text.removesuffix(period).strip().replace(" o'clock", "")
    distance, to, named = re.fullmatch(r"(?:(.*) (past|after|to) )?(.*)", text).groups()
    if named in ("noon", "midnight"):
        assert not period
        minutes, choices = 0, {"noon": [720], "midnight": [0, 1440]}[named]
    else:
        hour, _, minute = named.partition(" ")
        minutes = SMALL[hour] % 12 * 60 + (english_number(minute) if minute else 0)
        choices = [0, 720, 1440]
    if distance:
        special = {"half": 30, "a quarter": 15, "quarter": 15}
        span = special.get(distance) or english_number(re.sub(" minutes?$", "", distance))
        minutes += -span if to == "to" else span
    begin, end = ENGLISH_PERIODS[period] if period else (0, 1440)
    found = {(minutes + c) % 1440 for c in choices if begin <= minutes + c < end}
    assert len(found) == 1, text
    return divmod(found.pop(), 60)


def english_date(text):
    if match := re.fullmatch(r"the (\S+) of (\S+) (.*)", text):
        day, month, year = match.groups()
    else:
        month, day, year = re.fullmatch(r"(\S+) (?:the )?(\S+) (.*)", text).groups()
    nth = {"first": 1, "second": 2, "third": 3, "fifth": 5, "eighth": 8, "ninth": 9, "twelfth": 12}
    tens, _, last = day.rpartition("-")
    day = (SMALL[tens] if tens else 0) + (nth.get(last) or SMALL[re.sub("ieth$", "y", last).removesuffix("th")])
    if "thousand" in year:
        return english_number(year), MONTH.index(month) + 1, day
    century, _, rest = year.partition(" ")
    return 100 * SMALL[century] + (0 if rest == "hundred" else english_number(rest)), MONTH.index(month) + 1, day


def english_price(text):
    if match := re.fullmatch(r"(.*) point (.*) yuan", text):
        digits = "".join(str(SMALL[word]) for word in match[2].split())
        return "yuan", 100 * english_number(match[1]) + int(digits.ljust(2, "0"))
    words, cents, pending = text.split(), 0, []
    currency = "dollar" if re.search("dollar|cent", text) else "yuan"
    for word in words:
        worth = {"dollar": 100, "dollars": 100, "cent": 1, "cents": 1, "yuan": 100, "jiao": 10, "fen": 1}.get(word)
        if worth:
            cents, pending = cents + worth * english_number(" ".join(pending)), []
        else:
            pending.append(word)
    return currency, cents + english_number(" ".join(pending))


NUMERALS = {character: n for n, character in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
CHINESE_PERIODS = {"凌晨": (0, 360), "半夜": (0, 240), "早上": (300, 660), "上午": (480, 720), "中午": (720, 840)}
CHINESE_PERIODS |= {"下午": (780, 1140), "傍晚": (1020, 1140), "晚上": (1080, 1440), "": (0, 1440)}


def chinese_number(text):
    for unit, worth in (("亿", 10**8), ("万", 10**4), ("千", 1000), ("百", 100), ("十", 10)):
        if unit in text:
            before, after = text.split(unit)
            return worth * (chinese_number(before) if before else 1) + chinese_number(after.lstrip("零"))
    return NUMERALS[text] if text else 0


def chinese_time(text):
    whole = {"午夜": (0, 0), "午夜十二点": (0, 0), "晚上十二点": (0, 0), "正午": (12, 0), "正午十二点": (12, 0)}
    if text in whole:
        return whole[text]
    period = text[:2] if text[:2] in CHINESE_PERIODS else ""
    text = text.removeprefix(period)
    left = re.search("差(一刻|.+?分)", text)
    text = text.replace(left[0], "") if left else text
    hour, minute = text.split("点")
    special = {"": 0, "整": 0, "钟": 0, "半": 30, "一刻": 15, "三刻": 45}
    spoken = special[minute] if minute in special else chinese_number(minute.removesuffix("分").lstrip("零"))
    minutes = 60 * chinese_number(hour) + spoken
    minutes -= 0 if not left else 15 if left[1] == "一刻" else chinese_number(left[1][:-1])
    begin, end = CHINESE_PERIODS[period]
    choices = [0] if not period else [0, 720, -720]
    found = {minutes + c for c in choices if begin <= minutes + c < end}
    assert len(found) == 1, text
    assert period or not 60 <= minutes < 780, text  # 三点 alone would be two times
    return divmod(found.pop(), 60)


def chinese_date(text):
    year, month, day = re.fullmatch("(.{4})年(.+)月(.+)[日号]", text).groups()
    assert not ("零" in year and "〇" in year)
    return int("".join(str(NUMERALS[c]) for c in year)), chinese_number(month), chinese_number(day)


def chinese_price(text):
    currency = "dollar" if "美" in text else "yuan"
    if match := re.fullmatch("(.+)点(.+?)美?元", text):
        return currency, 100 * chinese_number(match[1]) + int("".join(str(NUMERALS[c]) for c in match[2]).ljust(2, "0"))
    if currency == "dollar":
        dollars, cents = re.fullmatch("(?:(.+)美元)?(?:零?(.+)美分)?", text).groups()
        return currency, 100 * chinese_number(dollars or "") + chinese_number(cents or "")
    text = text.removesuffix("钱")
    yuan, zero, jiao, fen = re.fullmatch("(?:(.+)[块元])?(零?)(?:(.)[毛角])?(?:(.)分?)?", text).groups()
    total = 100 * chinese_number(yuan or "") + 10 * chinese_number(jiao or "")
    if fen and yuan and not jiao and not zero:
        return currency, total + 10 * NUMERALS[fen]  # 三块五
    return currency, total + (NUMERALS[fen] if fen else 0)


def read(language, kind, text):
    """The value of a text."""
    if language == "digits":
        found, value = read_digits(text)
        assert found == kind
        return value
    value = globals()[f"{language}_{kind}"](text)
    return (value,) if kind == "number" else value


def values(kind):
    """Values of a kind: all of them where they can be counted."""
    rng = random.Random(0)
    if kind == "number":
        yield from ((n,) for n in range(2200))
        yield from ((int("".join(rng.choices("0001259", k=rng.randint(4, 12)))),) for _ in range(3000))
        yield from ((rng.randrange(10 ** rng.randint(4, 12)),) for _ in range(1000))
    elif kind == "time":
        yield from itertools.product(range(24), range(60))
    elif kind == "date":
        days = [*range(693596, 693596 + 366), *range(730120, 730120 + 366), *rng.sample(range(693596, 766645), 1500)]
        yield from ((d.year, d.month, d.day) for d in map(datetime.date.fromordinal, days))
    else:
        cents = [*range(1, 1300), *rng.sample(range(1300, 100_000), 1500), *range(1300, 100_000, 1010)]
        yield from itertools.product(("dollar", "yuan"), cents)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_way_is_read_back_as_its_value(language, kind):
    module, owner = LANGUAGES[language], {}
    for value in values(kind):
        ways = getattr(module, kind)(*value)
        assert ways and len(ways) == len(set(ways))
        for way in ways:
            assert read(language, kind, way) == value, way
            assert owner.setdefault(way, value) == value, way
            assert way == " ".join(way.split())


@pytest.mark.parametrize("language", LANGUAGES)
def test_characters_are_those_that_are_used(language):
    module = LANGUAGES[language]
    used = {c for kind in KINDS for value in values(kind) for way in getattr(module, kind)(*value) for c in way}
    assert used == set(module.CHARACTERS) and len(module.CHARACTERS) == len(used)


@pytest.mark.parametrize("language", LANGUAGES)
def test_kinds_are_told_apart(language):
    """With all four in one task a prompt has one meaning."""
    rng, owner = random.Random(1), {}
    for kind in KINDS:
        for value in rng.sample(list(values(kind)), 1000):
            for way in getattr(LANGUAGES[language], kind)(*value):
                assert owner.setdefault(way, kind) == kind, way
