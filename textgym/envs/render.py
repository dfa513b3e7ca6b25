"""What people see of an episode: prompt, text, what each token was paid, the references."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from textgym.envs import font
from textgym.envs.state import TextGenState
from textgym.errors import one_of
from textgym.tokenizers import Vocabulary

COLUMNS, LABEL = 80, 12  # characters of a line, and of the label at its left
SCALE = 2  # pixels of the picture for one of the font
GREENS, REDS = (22, 28, 34, 40, 46), (52, 88, 124, 160, 196)  # of the terminal's 256 colours, faint to strong
BACKGROUND, PLAIN, DIM = (20, 20, 26), (225, 225, 225), (135, 135, 150)
GREEN, RED = (22, 150, 62), (200, 44, 44)
_SIGNS = {"\n": "⏎", "\t": "⇥", "\r": "␍"}  # as Vocabulary.token has them

Cell = tuple[str, float]  # a character, and its payment in [-1, 1]: relative to the largest so far


class Section(NamedTuple):
    """One label of the page and what stands beside it."""

    label: str
    paragraphs: Sequence[Sequence[Cell]]
    lines: int  # how many lines a picture keeps free for it
    tail: bool = False  # where that is too little: show the end, not the beginning


def render_row(state: TextGenState, row: int, mode: str | None) -> str | np.ndarray | None:
    """Show the episode of one row.

    Args:
        state: the state machine; payments are shown where it keeps them (``keep_payments``).
        row: 0 .. n - 1.
        mode: None; "ansi"; "human"; "rgb_array".

    Returns:
        "ansi": a str, coloured unless the environment variable NO_COLOR is set; "rgb_array": uint8 (H, W, 3), of one
        size for all episodes of an environment; None for "human", which prints, and for None.
    """
    if mode is None:
        return None
    if one_of("render_mode", mode, ("ansi", "human", "rgb_array")) == "rgb_array":
        return as_picture(state, row)
    text = as_text(state, row, colour=not os.environ.get("NO_COLOR"))
    if mode == "ansi":
        return text
    try:
        print(text, end="\n\n", flush=True)
    except UnicodeEncodeError:  # a terminal that is not UTF-8
        print(text.encode("ascii", "backslashreplace").decode(), end="\n\n", flush=True)
    return None


def as_text(state: TextGenState, row: int, *, colour: bool = True, references: bool = True) -> str:
    """The page as lines of at most 80 characters, without a newline at the end.

    Generated text cannot reach the terminal's controls: all that is not printable is spelt out.

    Args:
        state, row: as for :func:`render_row`.
        colour: colour the tokens; without, a line of + and - stands under them.
        references: show them.
    """
    lines = []
    for section in sections(state, row):
        if section.label == "references" and not references:
            continue
        label = section.label.ljust(LABEL)
        for paragraph in section.paragraphs:
            for cells in _wrapped(paragraph, COLUMNS - LABEL):
                lines.append((f"\x1b[2m{label}\x1b[0m" if colour and label.strip() else label) + _written(cells, colour))
                label = " " * LABEL
                if not colour and section.label == "text" and any(level for _, level in cells):
                    signs = ((" +-"[int(np.sign(level))]) * _columns(character) for character, level in cells)
                    lines.append(label + "".join(signs))
    return "\n".join(line.rstrip() for line in lines)


def as_picture(state: TextGenState, row: int) -> np.ndarray:
    """The page as uint8 (H, W, 3), both even; H depends on the environment's sizes only.

    Letters are ASCII: accents are left out, other characters are boxes. What does not fit is cut at "...".
    """
    page = sections(state, row)
    height = 2 + sum(section.lines for section in page)
    codes = np.zeros((height, COLUMNS + 2), np.int64)  # 0: a space; a cell is left free on all sides
    ink = np.full((height, COLUMNS + 2, 3), PLAIN, np.uint8)
    paper = np.full((height, COLUMNS + 2, 3), BACKGROUND, np.uint8)
    y = 1
    for section in page:
        label = [font.glyph(character) for character in section.label]
        codes[y, 1 : 1 + len(label)] = label
        ink[y, 1 : 1 + LABEL] = DIM
        lines = [_drawn(paragraph, COLUMNS - LABEL) for paragraph in section.paragraphs]
        for i, cells in enumerate(_cut([line for wrapped in lines for line in wrapped], section)):
            x = slice(1 + LABEL, 1 + LABEL + len(cells))
            codes[y + i, x] = [code for code, _ in cells]
            paper[y + i, x] = [_shade(level) for _, level in cells]
        y += section.lines
    letters = font.glyphs()[codes]  # (lines, columns, HEIGHT, WIDTH)
    pixels = np.where(letters[..., None], ink[:, :, None, None], paper[:, :, None, None])
    picture = pixels.swapaxes(1, 2).reshape(height * font.HEIGHT, -1, 3)
    return picture.repeat(SCALE, axis=0).repeat(SCALE, axis=1)


def sections(state: TextGenState, row: int) -> list[Section]:
    """What there is to show of a row: always the same labels with the same number of lines."""
    task, vocabulary, episode = state.task, state.vocabulary, state.episodes[row]
    begun, ended = state.draws[row] > 0, not state.live[row]
    illegal = bool(state.ended_illegally[row])
    length = int(state.lengths[row])
    paid = np.zeros(task.budget) if state.payments is None else state.payments[row]
    largest = np.abs(paid).max()
    levels = np.zeros(task.budget) if largest < 1e-12 else np.where(np.abs(paid) > 1e-6 * largest, paid / largest, 0.0)
    ids = state.window[row, task.prompt_length : task.prompt_length + length]
    shown = [*token_texts(vocabulary, ids), *["<illegal>"] * illegal]
    text = [(character, level) for token, level in zip(shown, levels.tolist(), strict=False) for character in token]

    last, total, end, references = [], [], [], []
    if shown:
        token = "a token that is not legal" if illegal else vocabulary.token(ids[-1])
        terms = ", ".join(f"{visible(name)} {amount(values[row])}" for name, values in state.terms.items())
        level = levels[len(shown) - 1]
        last = [*((c, level) for c in amount(paid[len(shown) - 1])), *plain(f" for {token}: {terms}")]
    if begun:
        total = plain(f"{amount(paid.sum())}, budget left {task.budget - length} of {task.budget}")
        references = [plain(visible(reference)) for reference in episode.references] or [plain("(none)")]
    if state.failure:
        end = plain(visible(f"the reward failed: {state.failure}"))
    elif begun and ended:
        outcome = state.outcome(row)
        end = plain(f"{outcome['end_reason']}, score {outcome['score']:.3g}")
    elif not begun:
        end = plain("no episode yet: reset begins one")
    wide = 1 if vocabulary.kind == "character" else 5  # characters a token takes on average, roughly
    prompt_lines, text_lines = (
        min(-(-size * wide // (COLUMNS - LABEL)), most) for size, most in ((task.prompt_length, 8), (task.budget + 8, 10))
    )
    return [
        Section("task", [plain(visible(f"{type(task).__name__}, {task.split}"))], 2),
        Section("prompt", [plain(visible(episode.prompt))], 1 + prompt_lines),
        Section("text", [text], 1 + text_lines, tail=True),
        Section("paid", [last], 2),
        Section("return", [total], 1),
        Section("end", [end], 2),
        Section("references", references or [[]], 1 + text_lines),
    ]


def token_texts(vocabulary: Vocabulary, ids: Iterable[int]) -> list[str]:
    """What each token of a text adds to it, made visible; its label where that is no text (a byte, EOS)."""
    stream, row = vocabulary.stream(1), np.zeros(1, np.int64)
    shown, open_text = [], ""
    for id in ids:
        (piece,), (provisional,) = stream.push(row, np.array([id]))
        now, before = piece + provisional, open_text.rstrip("\ufffd")
        added = now[len(before) :] if now.startswith(before) else ""
        shown.append(visible(added) if added and "\ufffd" not in added else vocabulary.token(id))
        open_text = provisional
    return shown


def visible(text: str) -> str:
    """``text`` on one line, with nothing a terminal would obey: ``"⏎"`` for a newline, ``"\\x1b"`` spelt out."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_SIGNS.get(c) or (c if c.isprintable() else repr(c)[1:-1]) for c in text)


def amount(x: float) -> str:
    """A payment for people: ``"+0.2"``, ``"-0.0333"``, ``"0"``."""
    return f"{x:+.3g}" if abs(x) >= 1e-12 else "0"


def plain(text: str) -> list[Cell]:
    """A text that nobody was paid for."""
    return [(character, 0.0) for character in text]


def _columns(character: str) -> int:
    """Columns a printable character takes in a terminal."""
    if character < "\u0300":
        return 1
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _wrapped(cells: Sequence[Cell], width: int) -> list[list[Cell]]:
    lines, used = [[]], 0
    for cell in cells:
        columns = _columns(cell[0])
        if used + columns > width:
            lines.append([])
            used = 0
        lines[-1].append(cell)
        used += columns
    return lines


def _written(cells: Sequence[Cell], colour: bool) -> str:
    """A line for a terminal; an escape sequence only where the shade changes."""
    if not colour:
        return "".join(character for character, _ in cells)
    parts, current = [], 0
    for character, level in cells:
        shade = int(np.ceil(abs(level) * 5)) * (1 if level > 0 else -1)
        if shade != current:
            parts.append("\x1b[0m" if current else "")
            if shade:
                letters = 16 if shade >= 3 else 231  # black on bright green, else white
                parts.append(f"\x1b[38;5;{letters};48;5;{GREENS[shade - 1] if shade > 0 else REDS[-shade - 1]}m")
            current = shade
        parts.append(character)
    return "".join(parts) + ("\x1b[0m" if current else "")


def _drawn(cells: Sequence[Cell], width: int) -> list[list[tuple[int, float]]]:
    """Lines of glyphs and levels."""
    codes = [(code, level) for character, level in cells if (code := font.glyph(character)) is not None]
    return [codes[i : i + width] for i in range(0, len(codes), width)]


def _cut(lines: list, section: Section) -> list:
    """As many lines as a picture has room for; the last one of a section stays free below others."""
    room = max(section.lines - 1, 1)
    if len(lines) <= room:
        return lines
    dots = [(font.glyph("."), 0.0)] * 3
    if section.tail:
        kept = lines[-room:]
        return [dots + kept[0][3:], *kept[1:]]
    kept = lines[:room]
    return [*kept[:-1], kept[-1][: COLUMNS - LABEL - 3] + dots]


def _shade(level: float) -> tuple[int, int, int]:
    if not level:
        return BACKGROUND
    share = 0.3 + 0.7 * abs(level)
    return tuple(round(b + share * (c - b)) for b, c in zip(BACKGROUND, GREEN if level > 0 else RED, strict=True))
