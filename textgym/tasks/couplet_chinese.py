"""The second line of a Chinese couplet, given the first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from textgym.episode import Episode
from textgym.metrics import Metric, Progress
from textgym.tasks.generated import GeneratedTask, pick

LINE = 5  # characters
_OPPOSITE, _LEVEL = (1, 3), 4  # places, from 0, of tones opposite to those above, and the level one

# word class: characters of level tone, characters of oblique tone. Tones are the same in Mandarin (level: the first and
# the second) and in Middle Chinese.
_CHARACTERS = {
    "sky": ("风云天春秋冬星霜烟霞光阳", "月日雨雪夜露雾电晓暮"),
    "land": ("山江河泉溪波沙川峰湖", "水海岸地路谷浪径岭野岛"),
    "living": ("花松梅林鱼鸦莺蝉鸿枝桃荷", "草柳树叶鸟雁燕鹭马鹤杏"),
    "made": ("桥楼船舟帆灯门窗琴书城村园阶堂钟", "酒剑塔鼓笔画寺院井户"),
    "verb": ("飞流吹开来归鸣浮摇迎随藏沉吟游留催依垂横", "照落动映绕入起送问醉隐舞散洗染卷渡饮破挂"),
    "adjective": ("青清红黄新高长深寒轻孤明幽闲空疏残低香平浓", "绿碧翠冷暖淡静远近晚小大老古旧细乱满好浅"),
    "number": ("千三双群", "万两四百九五半"),
    "place": ("东西南中间前", "上下北外里后内"),
}
_NOUNS = ("sky", "land", "living", "made")
_FORMS = (  # the word classes of a line
    ("adjective", "noun", "verb", "adjective", "noun"),
    ("number", "noun", "verb", "adjective", "noun"),
    ("adjective", "noun", "noun", "place", "verb"),
    ("noun", "verb", "adjective", "noun", "adjective"),
    ("place", "noun", "verb", "number", "noun"),
)
CLASSES = {character: name for name, tones in _CHARACTERS.items() for character in "".join(tones)}
LEVEL = frozenset("".join(level for level, _ in _CHARACTERS.values()))


class SecondLine(Metric):
    """How many places of a five-character line answer the line above it, the prompt: right / max(5, characters).

    A place is right if its character has the word class of the one above, is not in the prompt nor in the text before,
    and has the right tone: in the second and fourth place level (平) where the one above is oblique (仄) and oblique
    where it is level, in the last level, in the others any. Classes and tones are those of a small table
    (:data:`CLASSES`, :data:`LEVEL`); a character that is not in it is wrong. In [0, 1].
    """

    name = "second_line"

    def start(self, episode):
        return _Line(episode.prompt)


class _Line(Progress):
    def __init__(self, above: str):
        self.above = above
        self.text = ""
        self.right = 0

    def push(self, piece, provisional=""):
        if piece:
            self.right += self._right(piece)
            self.text += piece
        right = self.right + self._right(provisional) if provisional else self.right
        return right / max(LINE, len(self.text) + len(provisional))

    def _right(self, piece: str) -> int:
        """How many characters of ``piece``, which comes after the text, are right."""
        start, right = len(self.text), 0
        for i, (character, above) in enumerate(zip(piece, self.above[start:LINE], strict=False)):
            taken = self.above + self.text + piece[:i]
            of_class = character in CLASSES and CLASSES[character] == CLASSES.get(above)
            right += of_class and character not in taken and _right_tone(start + i, character, above)
        return right


def _right_tone(place: int, character: str, above: str) -> bool:
    """Whether the tone of ``character`` is right."""
    level = character in LEVEL
    return level != (above in LEVEL) if place in _OPPOSITE else level or place != _LEVEL


class CoupletChinese(GeneratedTask):
    """Write the second line of a Chinese couplet.

    ## Description
    Two lines of five characters answer each other (对仗): place by place the characters are of one word class, in the
    places that matter their tones are opposite, and the second line ends in a level tone. Both are checked by rule, in
    a table of 197 characters with their word classes (verbs, adjectives, numbers, places and four kinds of nouns) and
    tones; whether the line makes sense is not. As usual, the first and the third place are free
    (一三五不论，二四六分明).

    ## Prompt and reference
    The first line, five characters of the table, with different tones in the second and fourth place, the last oblique
    (仄); the reference is a second line that keeps all rules, one of very many: `"新泉来远雁"` -> `"明谷染空鸿"`. The
    word classes of the lines are one of five forms, such as adjective, noun, verb, adjective, noun; each character is
    drawn uniformly among those of its class and tone that are not there yet. 8 in 10 prompts are train, 1 validation,
    1 test.

    ## Action space
    `Discrete(V)`: the tokens of the vocabulary, by default the characters of the table and EOS, `V = 198`. All are
    legal.

    ## Observation space
    `Box(0, V, (prompt_length + budget,), int32)`: the prompt, right-aligned in `prompt_length` columns (with characters
    5), then the tokens written; PAD = V in empty columns.

    ## Rewards
    Default: `delta` of the true score, the share of the places that are right (:class:`SecondLine`): each right
    character pays 1 / 5, characters after the fifth cost. An empty text scores 0, and so does the prompt; five
    characters drawn uniformly 0.10, the reference of another prompt 0.21.

    ## Starting state
    A prompt of the split, drawn as above; no text.

    ## Episode end
    EOS, or the budget is spent (default 6, EOS included).

    ## Arguments
    - `split="train"`, `tokenizer="character"`, `budget=None` (tokens, EOS included), `lossy=False`: as for every task.

    Raises `ValueError`: a budget that no line fits, or a prompt given by a user that is not five characters of the
    table.

    ## Version history
    - v0: first version.
    """

    metric = SecondLine()

    def __init__(self, *, split="train", tokenizer="character", budget: int | None = None, lossy: bool = False):
        super().__init__("".join(CLASSES), LINE, LINE, split=split, tokenizer=tokenizer, budget=budget, lossy=lossy)

    def generate(self, rng):
        form = [pick(rng, _NOUNS) if name == "noun" else name for name in pick(rng, _FORMS)]
        second = rng.random() < 0.5  # whether the second character is level
        first_line = _line(rng, form, {1: second, 3: not second, 4: False}, "")
        return Episode(first_line, (_line(rng, form, {1: not second, 3: second, 4: True}, first_line),))

    def from_prompt(self, prompt, references=()):
        """The episode of a prompt that a user gives.

        Raises:
            ValueError: it is not five characters of the table.
        """
        if len(prompt) != LINE or not all(character in CLASSES for character in prompt):
            raise ValueError(
                f"the prompt of CoupletChinese is a line of {LINE} characters of {''.join(CLASSES)}, got {prompt!r}"
            )
        return Episode(prompt, references)


def _line(rng: np.random.Generator, form: Sequence[str], level: dict[int, bool], taken: str) -> str:
    """A line of those word classes and tones (``level``: place -> whether it is), without characters of ``taken``."""
    line = ""
    for place, name in enumerate(form):
        levels, obliques = _CHARACTERS[name]
        choices = levels + obliques if place not in level else levels if level[place] else obliques
        line += pick(rng, [character for character in choices if character not in taken + line])
    return line
