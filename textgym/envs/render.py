"""What people see of an episode: prompt, text, what each token was paid, the references."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from textgym.envs import font
from textgym.envs.state import TextGenState
from textgym.errors import one_of
from textgym.tokenizers import Vocabulary

COLUMNS, LABEL = 80, 12  # characters of a line, and of the label at its left
GREENS, REDS = (22, 28, 34, 40, 46), (52, 88, 124, 160, 196)  # of the terminal's 256 colours, faint to strong
BACKGROUND, PLAIN, DIM = (20, 20, 26), (225, 225, 225), (135, 135, 150)
GREEN, RED = (22, 150, 62), (200, 44, 44)
_SIGNS = {"\n": "⏎", "\t": "⇥", "\r": "␍"}  # as Vocabulary.token has them

PARTS = ("task", "prompt", "text", "paid", "return", "end", "references")
Cell = tuple[str, float]  # a character, and its payment in [-1, 1]: relative to the largest so far


class Section(NamedTuple):
    """One label of the page and what stands beside it."""

    label: str
    paragraphs: Sequence[Sequence[Cell]]
    lines: int  # how many lines a picture has for it
    gap: int = 1  # and how many stay free below
    tail: bool = False  # where lines are too few: show the end, not the beginning


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


def as_text(state: TextGenState, row: int, *, colour: bool = True, parts: Sequence[str] = PARTS) -> str:
    """The page as lines of at most 80 characters, without a newline at the end.

    Generated text cannot reach the terminal's controls: all that is not printable is spelt out.

    Args:
        state, row: as for :func:`render_row`.
        colour: colour the tokens; without, a line of + and - stands under them.
        parts: which of :data:`PARTS` to show.
    """
    lines = []
    for section in sections(state, row):
        if section.label not in parts:
            continue
        label = section.label.ljust(LABEL)
        for paragraph in section.paragraphs:
            for cells in _wrapped(paragraph, COLUMNS - LABEL):
                dimmed = f"\x1b[2m{label}\x1b[0m" if colour and label.strip() else label
                lines.append(dimmed + _written(cells, colour))
                label = " " * LABEL
                if not colour and section.label == "text" and any(level for _, level in cells):
                    signs = ((" +-"[int(np.sign(level))]) * font.columns(character) for character, level in cells)
                    lines.append(label + "".join(signs))
    return "\n".join(line.rstrip() for line in lines)


def as_picture(state: TextGenState, row: int) -> np.ndarray:
    """The page as uint8 (H, W, 3), multiples of 16 as video encoders want; H depends on the environment's sizes only.

    Letters are ASCII: accents are left out, other characters are boxes, with their code points where they take two
    columns. What does not fit is cut at "...".
    """
    page = sections(state, row)
    height = 1 + sum(section.lines + section.gap for section in page)
    shape = height, COLUMNS + 2  # a cell is left free on all sides
    letters = np.zeros((*shape, font.SCALE * font.HEIGHT, font.SCALE * font.WIDTH), bool)
    ink = np.full((*shape, 3), PLAIN, np.uint8)
    paper = np.full((*shape, 3), BACKGROUND, np.uint8)
    y = 1
    for section in page:
        _draw(letters[y], paper[y], 1, plain(section.label))
        ink[y, 1 : 1 + LABEL] = DIM
        lines = [line for paragraph in section.paragraphs for line in _wrapped(paragraph, COLUMNS - LABEL)]
        for i, cells in enumerate(_cut(lines, section)):
            _draw(letters[y + i], paper[y + i], 1 + LABEL, cells)
        y += section.lines + section.gap
    pixels = np.where(letters[..., None], ink[:, :, None, None], paper[:, :, None, None])
    picture = pixels.swapaxes(1, 2).reshape(height * letters.shape[2], -1, 3)
    frame = np.full((*(-(-size // 16) * 16 for size in picture.shape[:2]), 3), BACKGROUND, np.uint8)
    frame[: picture.shape[0], : picture.shape[1]] = picture
    return frame


def _draw(letters: np.ndarray, paper: np.ndarray, x: int, cells: Sequence[Cell]) -> None:
    """Write cells into a line: letters bool (columns, h, w), paper uint8 (columns, 3), from column ``x`` on."""
    for character, level in cells:
        for part in font.picture(character):
            letters[x] = part
            if level:
                paper[x] = _shade(level)
            x += 1


def sections(state: TextGenState, row: int) -> list[Section]:
    """What there is to show of a row: always the same labels with the same number of lines."""
    task, vocabulary, episode = state.task, state.vocabulary, state.episodes[row]
    begun, ended = bool(state.streams.begun[row]), bool(state.over[row])
    refused = -1 if state.illegal_actions is None else int(state.illegal_actions[row])
    illegal = refused >= 0
    length = int(state.lengths[row])
    paid = np.zeros(task.budget) if state.payments is None else state.payments[row]
    largest = np.abs(paid).max()
    levels = np.zeros(task.budget) if largest < 1e-12 else np.where(np.abs(paid) > 1e-6 * largest, paid / largest, 0.0)
    ids = state.window[row, task.prompt_length : task.prompt_length + length]
    shown = [*token_texts(vocabulary, ids), *[f"<illegal {vocabulary.token(refused)}>"] * illegal]
    text = [(character, level) for token, level in zip(shown, levels.tolist(), strict=False) for character in token]

    last, total, end, references = [], [], [], []
    if shown and state.terms and not state.failure:
        token = shown[-1] if illegal else vocabulary.token(ids[-1])
        terms = ", ".join(f"{visible(name)}={amount(values[row])}" for name, values in state.terms.items())
        level = levels[len(shown) - 1]
        reward = sum(float(values[row]) for values in state.terms.values())
        last = [*((character, level) for character in amount(reward)), *plain(f" for {token}: {terms}")]
    if begun:
        sum_paid = "not kept" if state.payments is None else amount(paid.sum())
        total = plain(f"{sum_paid}, budget left {task.budget - length} of {task.budget}")
        references = [plain(visible(reference)) for reference in episode.references] or [plain("(none)")]
    if state.failure:
        end = plain(visible(f"failed: {state.failure}"))
    elif begun and ended:
        outcome = state.outcomes(state.last_step(np.array([row])))
        end = plain(f"{outcome['end_reason'][0]}, score {outcome['score'][0]:.3g}")
    elif not begun:
        end = plain("no episode yet: reset begins one")
    wide = _columns_of_a_token(vocabulary)
    prompt_lines, text_lines = (
        min(1 + size * wide // (COLUMNS - LABEL), most) for size, most in ((task.prompt_length, 8), (task.budget, 10))
    )
    return [
        Section("task", [plain(f"{type(task).__name__}, {task.split}")], 1),
        Section("prompt", [plain(visible(episode.prompt))], prompt_lines),
        Section("text", [text], text_lines, tail=True),
        Section("paid", [last], 3),
        Section("return", [total], 1, gap=0),
        Section("end", [end], 1),
        Section("references", references or [[]], text_lines + 1),
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


@lru_cache(maxsize=64)
def _columns_of_a_token(vocabulary: Vocabulary) -> int:
    """Columns a token takes at most (characters), or roughly on average."""
    if vocabulary.kind != "character":
        return 5
    return max(map(font.columns, vocabulary.decode(range(vocabulary.size))), default=1)


def _wrapped(cells: Sequence[Cell], width: int) -> list[list[Cell]]:
    """Lines of at most ``width`` columns, broken after a space where there is one."""
    lines, line, used = [], [], 0
    for cell in cells:
        used += font.columns(cell[0])
        if used > width:
            end = max((i + 1 for i, (character, _) in enumerate(line) if character == " "), default=len(line))
            lines.append(line[:end])
            line = line[end:]
            used = sum(font.columns(character) for character, _ in [*line, cell])
        line.append(cell)
    return [*lines, line]


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


def _cut(lines: list[list[Cell]], section: Section) -> list[list[Cell]]:
    """As many lines as a picture has for a section."""
    if len(lines) <= section.lines:
        return lines
    if section.tail:
        first, *rest = lines[-section.lines :]
        return [[*plain("..."), *first[_fitting(first, 3, more=True) :]], *rest]
    *rest, last = lines[: section.lines]
    return [*rest, [*last[: _fitting(last, COLUMNS - LABEL - 3)], *plain("...")]]


def _fitting(cells: Sequence[Cell], width: int, more: bool = False) -> int:
    """How many cells fit into ``width`` columns; with ``more``, how many it takes to fill them."""
    used = np.cumsum([font.columns(character) for character, _ in cells])
    return int((used < width).sum() + 1 if more else (used <= width).sum())


def _shade(level: float) -> tuple[int, int, int]:
    share = 0.3 + 0.7 * abs(level)
    return tuple(round(b + share * (c - b)) for b, c in zip(BACKGROUND, GREEN if level > 0 else RED, strict=True))
