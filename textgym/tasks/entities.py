"""Sentences with people, places and times in them, English and Chinese, and what each of their words is."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from textgym.tasks.generated import pick

OUTSIDE = "O"
Names = Mapping[str, Sequence[str]]  # kind -> names


class Sentences(ABC):
    """How the sentences of a language are made.

    What stands around a name decides what it is: no two templates differ in their slots alone. Each sentence has a
    name, and two slots of one label never touch.

    Attributes:
        separator: what stands between two units, which are words or characters.
        labels: slot -> its label; all else is ``O``.
        templates: sentences with slots.
        times: (what stands before it, times).
        before_towns: what some names of places begin with.
        names: split -> the names of its sentences. Names of towns and given names are in one split.
        longest: kind of vocabulary -> tokens of the longest sentence and of its labels; "": other vocabularies, in
            bytes.
    """

    separator: str
    labels: Mapping[str, str]
    templates: Sequence[str]
    times: Sequence[tuple[str, Sequence[str]]]
    before_towns: Sequence[str] = ()
    names: Mapping[str, Names]
    longest: Mapping[str, tuple[int, int]]

    @abstractmethod
    def person(self, names: Names, rng: np.random.Generator) -> str:
        """The name of somebody."""

    @abstractmethod
    def place(self, names: Names, rng: np.random.Generator) -> str:
        """The name of a town."""

    def split(self, text: str) -> list[str]:
        """The units of a text."""
        return text.split() if self.separator else list(text)

    def common_texts(self) -> list[str]:
        """Texts with all that sentences and labels are made of but for names."""
        templates = [re.sub(r"\{\w+\}", self.separator, template) for template in self.templates]
        times = [f"{before}{self.separator}{time}" for before, options in self.times for time in options]
        return [*templates, *times, *self.before_towns, *self.labels.values(), OUTSIDE]

    def write(self, names: Names, rng: np.random.Generator) -> tuple[str, str]:
        """A sentence, and the labels of its units.

        Args:
            names: which to take.
            rng: draws it.
        """
        units: list[str] = []
        labels: list[str] = []

        def add(text: str, slot: str | None = None) -> None:
            new = self.split(text)
            units.extend(new)
            labels.extend([OUTSIDE if slot is None else self.labels[slot]] * len(new))

        for part in re.split(r"\{(\w+)\}", pick(rng, self.templates)):
            if part in ("person", "place"):
                add(getattr(self, part)(names, rng), part)
            elif part == "time":
                before, times = pick(rng, self.times)
                add(before)
                add(pick(rng, times), part)
            else:
                add(part)
        return self.separator.join(units), self.separator.join(labels)


_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_HOURS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class English(Sentences):
    """Words, punctuation among them. Some names are those of people and of places, and two are months as well."""

    separator = " "
    longest = {"word": (15, 15), "": (90, 54)}
    labels = {"person": "PER", "place": "LOC", "time": "TIME"}
    templates = (
        "{person} met {person} in {place} {time} .",
        "the train from {place} to {place} leaves {time} .",
        "{time} {person} will fly to {place} .",
        "a letter from {person} was found in {place} .",
        "a ship from {place} brought {person} home {time} .",
        "{person} was born in {place} {time} .",
        "the mayor of {place} thanked {person} .",
        "the sister of {person} lives near {place} .",
        "we heard from {person} that it was snowing in {place} .",
        "the road to {place} was closed {time} .",
        "she sang to {person} {time} .",
        "nobody in {place} knows {person} .",
        "{person} , a baker from {place} , arrives {time} .",
        "{place} , the home of {person} , has two bridges .",
        "{time} the museum of {place} was empty .",
        "the friends of {person} left {place} {time} .",
        "{place} lies north of {place} .",
        "{person} wrote to {person} {time} .",
        "they called {person} the king of {place} .",
        "it rained in {place} , so {person} stayed at home .",
    )
    times = (
        ("at", ("noon", "midnight", "dawn", *(f"{h} o'clock" for h in _HOURS), *(f"half past {h}" for h in _HOURS))),
        ("on", (*_DAYS, *(f"{day} {part}" for day in _DAYS for part in ("morning", "evening")))),
        ("in", ("spring", "summer", "autumn", "winter", "March", "April", "June", "October")),
    )
    before_towns = ("New", "Port", "North", "Lake")
    names = {
        "train": {
            "given": "Anna Omar Clara Hugo Ines Ravi Lena Boris Mina Tariq Elsa Pavel Nora Diego Yuki Samir "
            "April June Jordan Florence Sydney Austin Chelsea Charlotte".split(),
            "family": "Berg Okafor Silva Novak Haddad Moreau Tanaka Weber Kaya Lindgren Rossi Mensah".split(),
            "town": "Lima Oslo Cairo Porto Riga Quito Delhi Ghent Malmo Turin Accra Hanoi Basel Tunis Kyoto Split "
            "Jordan Florence Sydney Austin Chelsea Charlotte".split(),
        },
        "validation": {
            "given": "Greta Karim Paula Anton Leila Oscar Paris Georgia Victoria".split(),
            "family": "Costa Ivanov Keller Nakamura".split(),
            "town": "Bergen Dakar Lyon Osaka Sofia Tampa Paris Georgia Victoria".split(),
        },
        "test": {
            "given": "Marta Yusuf Edith Bruno Salma Viktor Lincoln Madison Adelaide".split(),
            "family": "Petrov Adeyemi Fischer Castillo".split(),
            "town": "Graz Mumbai Leeds Izmir Cuzco Tallinn Lincoln Madison Adelaide".split(),
        },
    }

    def person(self, names, rng):
        given = pick(rng, names["given"])
        return f"{given} {pick(rng, names['family'])}" if rng.random() < 0.3 else given

    def place(self, names, rng):
        town = pick(rng, names["town"])
        return f"{pick(rng, self.before_towns)} {town}" if rng.random() < 0.2 else town


_FAMILY = "王李张刘陈杨赵黄周吴高江"  # of every split, as few are as common


class Chinese(Sentences):
    """Characters. Those of names are also in other words: 高 is a family name, and in 高兴 (glad)."""

    separator = ""
    longest = {"character": (20, 20), "": (60, 20)}
    labels = {"person": "P", "place": "L", "time": "T"}
    templates = (
        "{person}在{place}遇见了{person}。",
        "{time}{person}将飞往{place}。",
        "从{place}开往{place}的火车{time}出发。",
        "{person}的姐姐住在{place}附近。",
        "{place}的市长感谢了{person}。",
        "{person}{time}出生在{place}。",
        "我们听{person}说{place}下雪了。",
        "通往{place}的路{time}关闭。",
        "她{time}给{person}唱歌。",
        "在{place}没有人认识{person}。",
        "{place}在{place}的北边。",
        "{person}{time}给{person}写信。",
        "{time}{place}的博物馆不开门。",
        "{person}高兴地离开了{place}。",
        "江边的{place}{time}很安静。",
        "大家叫{person}国王。",
    )
    times = (
        ("", ("今天", "明天", "昨天", "中午", "半夜", "清晨")),
        ("", tuple(f"周{day}{part}" for day in "一二三四五六日" for part in ("", "上午", "晚上"))),
        ("", tuple(f"{hour}点{half}" for hour in "一二三四五六七八九十" for half in ("", "半"))),
        ("在", ("春天", "夏天", "秋天", "冬天", "五月", "六月")),
    )
    names = {
        "train": {
            "family": _FAMILY,
            "given": "明 伟 芳 娜 静 丽 强 磊 军 洋 勇 艳 杰 娟 涛 超 建国 志明 小红 文静 海燕 春天 安平 雪梅".split(),
            "town": "北京 上海 广州 成都 西安 杭州 南京 武汉 重庆 天津 苏州 青岛 长沙 大连 厦门 昆明".split(),
        },
        "validation": {
            "family": _FAMILY,
            "given": "晨 琳 鹏 慧 晓东 秀英 国强 玉兰".split(),
            "town": "桂林 洛阳 开封 绍兴 无锡 太原".split(),
        },
        "test": {
            "family": _FAMILY,
            "given": "浩 婷 斌 倩 家豪 美玲 子轩 月华".split(),
            "town": "拉萨 兰州 贵阳 银川 哈尔滨 石家庄".split(),
        },
    }

    def person(self, names, rng):
        return pick(rng, names["family"]) + pick(rng, names["given"])

    def place(self, names, rng):
        return pick(rng, names["town"])
