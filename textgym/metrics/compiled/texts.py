"""The texts of n rows, and their new tokens as numbers.

A *symbol* is a token that the references of a row have, numbered from 1 on; 0 is any other token.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from textgym.metrics.compiled.kernel import inner, kernel

# what a character is, bits of ``Rules.classes``
SPACE = 1
SEPARATOR = 2  # no token, and no rule, reaches across it
ALONE = 4  # a token wherever it stands
SPECIAL = 8  # a text without any is split at white space and that is all

BLANK, LINE_BREAK, COMMA, DASH, POINT, GREATER = map(ord, " \n,-.>")
# markup, padded with zeros, and what replaces it, 0: nothing
MARKUP = np.array(["<skipped>", "-\n", "&quot;", "&amp;", "&lt;", "&gt;"]).view(np.uint32).reshape(6, -1)
MEANINGS = np.array([0, 0, *map(ord, '"&<>')], np.uint32)


class Rules(NamedTuple):
    """How texts are cut into tokens, see ``tokenization.py``.

    Attributes:
        classes: uint8 (0x10001,), of each character; the last one: of those from U+10000 on.
        mteval: remove <skipped>, join words over a dash and a line break, decode entities; spaces around the text.
        western: cut full stops, commas and dashes depending on the digits around them.
        strips_left: white space before the first token is no left context of it.
    """

    classes: np.ndarray
    mteval: bool
    western: bool
    strips_left: bool


class Texts(NamedTuple):
    """What was written in n rows, and the symbols of their references.

    Attributes:
        text: uint32 (n, L), the committed characters.
        size: int64 (n,), how many.
        final: int64 (n,), how many belong to tokens that nothing can change any more.
        symbols: int64 (n,), how many.
        letters: uint32 (n, C), their characters, one symbol after the other.
        begins: int32 (n, S + 1): symbol s has the characters from begins[s - 1] to begins[s].
        slots: uint32 (n, H), a hash table of symbols; 0: free.
        masks: int64 (n,), a row uses the first masks + 1 slots, a power of 2.
    """

    text: np.ndarray
    size: np.ndarray
    final: np.ndarray
    symbols: np.ndarray
    letters: np.ndarray
    begins: np.ndarray
    slots: np.ndarray
    masks: np.ndarray


class Pieces(NamedTuple):
    """What k rows get: characters one after the other, uint32, and how many each, int64 (k,)."""

    committed: np.ndarray
    committed_sizes: np.ndarray
    provisional: np.ndarray
    provisional_sizes: np.ndarray


@kernel
def begin_texts(rules, texts, rows, counts, references):
    """Begin new texts in some rows: the tokens of their references become their symbols.

    Args:
        rules: None: each character is a token.
        counts: int64 (k,), how many references each row has.
        references: all of them, as provisional ``Pieces``.

    Returns:
        done: False if there is no room for the symbols.
        symbols: uint32, what the tokens of all references are.
        ends: int64, where those of each reference end.
        most: of all rows, the most references, tokens in all of them, tokens in one of them, and symbols.
    """
    _, sizes, final, known, _, _, slots, masks = texts
    each = np.empty(len(references[1]), np.int64)
    reference = most_references = 0
    for i in range(len(rows)):
        row = rows[i]
        sizes[row] = final[row] = known[row] = 0
        masks[row] = slots.shape[1] - 1
        for slot in range(slots.shape[1]):
            slots[row, slot] = 0
        most_references = max(most_references, counts[i])
        for _ in range(counts[i]):
            each[reference] = row
            reference += 1
    new = read_characters(texts, each, references) if rules is None else read(rules, texts, each, references)
    letters, token_ends, _, ends = new
    done, symbols = look_up(texts, each, letters, token_ends, ends, True)
    begin = first = reference = most_tokens = longest = most_symbols = 0
    for i in range(len(rows)):
        for _ in range(counts[i]):
            longest, begin = max(longest, ends[reference] - begin), ends[reference]
            reference += 1
        most_tokens, first = max(most_tokens, begin - first), begin
        most_symbols = max(most_symbols, known[rows[i]])
    return done, symbols, ends, (most_references, most_tokens, longest, most_symbols)


@kernel
def append(rules, texts, rows, pieces):
    """Append pieces to the texts of some rows.

    Returns:
        done: False if ``texts.text`` is too narrow; then nothing has changed.
        symbols: uint32, what the tokens are that were not final before, those of one row after the other.
        finals: int64 (k,), up to where those of a row are final now.
        ends: int64 (k,), where its other ones end.
    """
    text, sizes, _, _, _, _, _, _ = texts
    _, committed_sizes, _, _ = pieces
    for i in range(len(rows)):
        if sizes[rows[i]] + committed_sizes[i] > text.shape[1]:
            nothing = np.empty(0, np.int64)
            return False, np.empty(0, np.uint32), nothing, nothing
    new = read_characters(texts, rows, pieces) if rules is None else read(rules, texts, rows, pieces)
    letters, token_ends, finals, ends = new
    _, symbols = look_up(texts, rows, letters, token_ends, ends, False)
    return True, symbols, finals, ends


# -- texts into tokens --------------------------------------------------------------------------------


@inner
def class_of(classes, character):
    return classes[min(character, 0x10000)]


@inner
def read_characters(texts, rows, pieces):
    """:func:`read`, where each character is a token, and final when it is committed."""
    text, sizes, _, _, _, _, _, _ = texts
    committed, committed_sizes, provisional, provisional_sizes = pieces
    total = len(committed) + len(provisional)
    letters, token_ends = np.empty(total, np.uint32), np.empty(total + 1, np.int64)
    finals, ends = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    first = first_open = count = 0
    for i in range(len(rows)):
        row = rows[i]
        size = sizes[row]
        for c in range(first, first + committed_sizes[i]):
            text[row, size] = letters[count] = committed[c]
            size += 1
            count += 1
        sizes[row], finals[i] = size, count
        for c in range(first_open, first_open + provisional_sizes[i]):
            letters[count] = provisional[c]
            count += 1
        ends[i] = count
        first += committed_sizes[i]
        first_open += provisional_sizes[i]
    for token in range(total + 1):
        token_ends[token] = token
    return letters, token_ends, finals, ends


@inner
def read(rules, texts, rows, pieces):
    """Append pieces to the texts of some rows and find the tokens that were not final before.

    Returns:
        letters, token_ends: uint32 and int64, token t is ``letters[token_ends[t] : token_ends[t + 1]]``.
        finals, ends: see :func:`append`.
    """
    classes, mteval, _, strips_left = rules
    text, sizes, final, _, _, _, _, _ = texts
    committed, committed_sizes, provisional, provisional_sizes = pieces
    longest = total = 0
    for i in range(len(rows)):
        unread = sizes[rows[i]] - final[rows[i]] + committed_sizes[i] + provisional_sizes[i]
        longest, total = max(longest, unread), total + unread
    letters, token_ends = np.empty(total, np.uint32), np.zeros(total + 1, np.int64)
    finals, ends = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    part, spare = np.empty(5 * longest + 8, np.uint32), np.empty(5 * longest + 8, np.uint32)
    first = first_open = at = count = 0
    for i in range(len(rows)):
        row = rows[i]
        before = size = sizes[row]
        begin = final[row]
        for c in range(first, first + committed_sizes[i]):
            text[row, size] = committed[c]
            size += 1
        sizes[row] = size
        stop = boundary_of(rules, text, row, begin, before, size)
        for rest in range(2):  # the part that is final now, and the rest with what is provisional
            if rest:
                finals[i], final[row], stop = count, begin, size
            part[0] = BLANK  # in place of what was final before
            start = part_size = int(begin > 0 or mteval)
            for c in range(begin, stop):
                if part_size or not strips_left or class_of(classes, text[row, c]) != SPACE:
                    part[part_size] = text[row, c]
                    part_size += 1
            if rest:
                for c in range(first_open, first_open + provisional_sizes[i]):
                    if part_size or not strips_left or class_of(classes, provisional[c]) != SPACE:
                        part[part_size] = provisional[c]
                        part_size += 1
                while part_size > start and class_of(classes, part[part_size - 1]) == SPACE:
                    part_size -= 1
            special = 0
            for c in range(start, part_size):
                special |= class_of(classes, part[c]) & SPECIAL
            if special:
                start, part_size = 0, space_out(rules, part, part_size, spare)
            inside = False
            for c in range(start, part_size):
                if class_of(classes, part[c]) == SPACE:
                    inside = False
                else:
                    count += not inside
                    inside = True
                    letters[at] = part[c]
                    at += 1
                    token_ends[count] = at
            begin = stop
        ends[i] = count
        first += committed_sizes[i]
        first_open += provisional_sizes[i]
    return letters, token_ends[: count + 1], finals, ends


@inner
def boundary_of(rules, text, row, begin, before, size):
    """Where the longest beginning of ``text[row, :size]`` ends whose tokens nothing later can change.

    It was ``begin`` when the text had the size ``before``. See ``Tokenization.boundary``.
    """
    classes, mteval, _, strips_left = rules
    start = begin
    if strips_left and begin == 0:
        while start < size and class_of(classes, text[row, start]) == SPACE:
            start += 1
    following = SPACE
    for i in range(size - 1, max(before - 1, start) - 1, -1):
        kind = class_of(classes, text[row, i]) & (SPACE | SEPARATOR)
        joins = mteval and i > 0 and text[row, i] == LINE_BREAK
        joins = joins and (text[row, i - 1] == DASH or text[row, i - 1] == GREATER)
        # white space is final when more text follows: at the end of a text it is stripped
        if kind == SEPARATOR or (kind == SPACE and following != SPACE and not joins):
            return i + 1
        following = kind
    return begin


@inner
def space_out(rules, text, size, spare):
    """Put white space between the tokens of ``text[:size]``: how long it is now, 5 * size + 1 at most."""
    classes, mteval, western, _ = rules
    if mteval:
        size = replace_markup(text, size)
        text[size] = BLANK
        size += 1
    source, to = text, spare
    for rule in range(4 if western else 1):
        size = isolate(rule, classes, source, size, to)
        source, to = to, source
    if not western:  # else the result is in ``text`` again
        for i in range(size):
            text[i] = spare[i]
    return size


@inner
def replace_markup(text, size):
    """``str.replace`` of one kind of markup after the other: how long the text is now."""
    for kind in range(len(MARKUP)):
        length = 0
        while length < MARKUP.shape[1] and MARKUP[kind, length]:
            length += 1
        at = size_now = 0
        while at < size:
            same = 0
            while same < length and at + same < size and text[at + same] == MARKUP[kind, same]:
                same += 1
            replaced = same == length
            if not replaced or MEANINGS[kind]:
                text[size_now] = MEANINGS[kind] if replaced else text[at]
                size_now += 1
            at += length if replaced else 1
        size = size_now
    return size


@inner
def isolate(rule, classes, text, size, to):
    """Copy ``text[:size]`` with blanks around the characters that a rule makes tokens: how long it is then.

    0: those of class ALONE, 1: points and commas after no digit, 2: these before no digit, 3: dashes after a digit.
    1 and 2: of several in a row every second one, like regular expressions that match pairs of characters.
    """
    at, alone = 0, False
    for i in range(size):
        character, is_first, is_last = text[i], i == 0, i == size - 1
        if rule == 0:
            alone = class_of(classes, character) & ALONE != 0
        elif rule == 3:
            alone = character == DASH and not is_first and is_digit(text[i - 1])
        else:
            alone = not alone and (character == POINT or character == COMMA)
            if rule == 1:
                alone = alone and not is_first and not is_digit(text[i - 1])
            else:
                alone = alone and not is_last and not is_digit(text[i + 1])
        if alone:
            to[at], to[at + 1], to[at + 2] = BLANK, character, BLANK
            at += 3
        else:
            to[at] = character
            at += 1
    return at


@inner
def is_digit(character):
    return 48 <= character <= 57


# -- tokens into symbols ------------------------------------------------------------------------------


@inner
def look_up(texts, rows, letters, token_ends, ends, learn):
    """The symbols that tokens of some rows are, see :func:`read`. With ``learn`` those that are none become one.

    Returns:
        done: False if there is no room for another symbol.
        symbols: uint32.
    """
    _, _, _, known, symbol_letters, begins, slots, masks = texts
    symbols, token = np.empty(len(token_ends) - 1, np.uint32), 0
    for i in range(len(rows)):
        row = rows[i]
        mask = masks[row]
        while token < ends[i]:
            first, size = token_ends[token], token_ends[token + 1] - token_ends[token]
            code = np.uint64(size)
            for at in range(first, first + size):
                code = (code ^ code >> np.uint64(32) ^ np.uint64(letters[at])) * np.uint64(0x9E3779B97F4A7C15)
            slot = np.int64(code >> np.uint64(32)) & mask
            while slots[row, slot]:
                begin, end = begins[row, slots[row, slot] - 1], begins[row, slots[row, slot]]
                same = 0
                while same < size and begin + same < end and symbol_letters[row, begin + same] == letters[first + same]:
                    same += 1
                if same == size and begin + same == end:
                    break
                slot = slot + 1 & mask
            if learn and slots[row, slot] == 0:
                symbol = known[row] + 1
                begin = begins[row, symbol - 1]
                if symbol == begins.shape[1] or begin + size > symbol_letters.shape[1] or 2 * symbol > mask:
                    return False, symbols
                for at in range(size):
                    symbol_letters[row, begin + at] = letters[first + at]
                begins[row, symbol] = begin + size
                known[row] = slots[row, slot] = symbol
            symbols[token] = slots[row, slot]
            token += 1
    return True, symbols
