"""A bitmap font, 5 x 9 pixels a character: pictures of episodes need nothing but numpy.

It has ASCII. Of characters that take two columns, Chinese ones for example, a box shows the code point, as browsers do
that have no font for them: 你 is ``4F60``.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import numpy as np

# 9 rows a character, from the top; 7 stand on the baseline. A row is one digit of base 32, its highest bit is the
# left pixel. The characters: ASCII from " " to "~", then those of EXTRA.
ROWS = (
    "000000000444440400aaa000000aavavaa004fke5u400op248j300cik8lid0044400000024444420084444480004lel4000"
    "044v4400000000cc48000v0000000000cc0011248gg00ehjlphe004c4444e00eh1248v00v2421he0026aiv2200vgu11he00"
    "68guhhe00v12488800ehhehhe00ehhf12c000cc00cc000cc00cc48248g8420000v0v0000842124800eh1240400ehnlmgf00"
    "ehhvhhh00uhhuhhu00ehggghe00uhhhhhu00vgguggv00vgguggg00ehgnhhf00hhhvhhh00e44444e0072222ic00hikokih00"
    "ggggggv00hrllhhh00hppljjh00ehhhhhe00uhhuggg00ehhhlid00uhhukih00fgge11u00v44444400hhhhhhe00hhhhha400"
    "hhhllrh00hha4ahh00hha444400v1248gv00e88888e00gg8421100e22222e004ah0000000000000v084200000000e1fhf00"
    "gguhhhu0000fgggf0011fhhhf0000ehvge00698s8880000fhhhf1egguhhhh0040c444e002062222icggikoki00c44444e00"
    "00qllll0000uhhhh0000ehhhe0000uhhhugg00fhhhf1100mpggg0000fge1u0088s88960000hhhhf0000hhha40000hhlla00"
    "00ha4ah0000hhhhf1e00v248v00644o44600444444440c44344c00008l20000vhhhhhv00000000hv01159v8400053v35000"
)
EXTRA = "□␠⏎⇥"
WIDTH, HEIGHT = 6, 11  # pixels of a cell: a column and two rows are left free
SCALE = 2  # pixels of a picture for one of the font

_BOX = 95  # stands for every character that has no picture
# typographic characters and what is drawn for them
_LIKE = dict(
    zip("\u2018\u2019\u201c\u201d\u2013\u2014\u2212\u2026\u00b7\u2022\u00d7\u00a0", "''\"\"---..*x ", strict=True)
)


@lru_cache(maxsize=1)
def glyphs() -> np.ndarray:
    """The pictures of all characters, read-only bool (99, HEIGHT, WIDTH)."""
    rows = np.array([int(digit, 32) for digit in ROWS]).reshape(-1, 9)
    cells = np.zeros((len(rows), HEIGHT, WIDTH), bool)
    cells[:, 1:10, :5] = rows[:, :, None] >> np.arange(4, -1, -1) & 1
    cells.flags.writeable = False
    return cells


@lru_cache(maxsize=4096)
def glyph(character: str) -> int | None:
    """Which of :func:`glyphs` shows a character.

    Accents are left out, typographic quotes and dashes shown as those of ASCII, all else without a picture as a box.
    None for combining characters, which take no room.
    """
    character = _LIKE.get(character, character)
    if " " <= character <= "~":
        return ord(character) - 32
    if character in EXTRA:
        return _BOX + EXTRA.index(character)
    if unicodedata.category(character) in ("Mn", "Me"):
        return None
    base = unicodedata.normalize("NFD", character)[0]
    return ord(base) - 32 if " " <= base <= "~" else _BOX


def columns(character: str) -> int:
    """Columns a printable character takes on a terminal: 0, 1 or 2."""
    if character < "\u0300":
        return 1
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def width(text: str) -> int:
    """Columns a printable text takes on a terminal."""
    return len(text) if text.isascii() else sum(map(columns, text))


@lru_cache(maxsize=4096)
def picture(character: str) -> np.ndarray:
    """The cells of a character, as many as its :func:`columns`; read-only bool (n, 22, 12)."""
    room = columns(character)
    plain = unicodedata.normalize("NFKC", character) if room == 2 else character
    index = glyph(plain) if len(plain) == 1 else _BOX
    cells = np.zeros((SCALE * HEIGHT, room, SCALE * WIDTH), bool)
    pixels = cells.reshape(len(cells), -1)
    if room == 2 and index == _BOX:
        pixels[:] = _code_box(f"{ord(character):04X}")
    elif room and index is not None:
        left = (room - 1) * SCALE * WIDTH // 2
        pixels[:, left : left + SCALE * WIDTH] = glyphs()[index].repeat(SCALE, axis=0).repeat(SCALE, axis=1)
    cells = cells.swapaxes(0, 1)
    cells.flags.writeable = False
    return cells


def _code_box(digits: str) -> np.ndarray:
    """4 to 6 hexadecimal digits in two lines within a box, each pixel of the font one of the picture; of two cells."""
    box = np.zeros((SCALE * HEIGHT, 2 * SCALE * WIDTH), bool)
    box[1:-1, [1, -2]] = box[[1, -2], 1:-1] = True
    each = (len(digits) + 1) // 2
    step = 7 if each == 2 else 6
    left = (box.shape[1] + 1 - step * each) // 2
    for i, digit in enumerate(digits):
        y, x = 3 + 9 * (i // each), left + step * (i % each)
        box[y : y + 7, x : x + 5] = glyphs()[ord(digit) - 32, 1:8, :5]
    return box
