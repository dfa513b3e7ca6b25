"""Completing balanced brackets: many texts are right, and a grammar says which tokens can still lead to one."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from textgym.episode import Episode
from textgym.errors import whole_number
from textgym.metrics import Metric, Progress
from textgym.tasks.generated import GeneratedTask
from textgym.tasks.grammar import LegalTokens

PAIRS = ("()", "[]", "{}", "<>")


class BracketCompletion(Metric):
    """How far a text completes its prompt to a balanced bracket string of exactly ``length`` characters.

    right / max(missing, written): *missing* characters that the prompt lacks, *written* characters of the text,
    *right* of them before the first mistake, which is a character after which no text makes prompt and text
    such a string. A character after the complete string is a mistake too and lowers the value. In [0, 1],
    and 1 only for a text that completes the prompt and ends there. Where no text completes the prompt, always 0.

    Args:
        length: characters of prompt and text together, even, at least 2.
        kinds: the first so many of ``()``, ``[]``, ``{}``, ``<>`` are used, 1 to 4; all else is a mistake.

    Raises:
        ValueError: an argument out of its range.
    """

    name = "bracket_completion"

    def __init__(self, length: int = 8, kinds: int = 2):
        self.length = whole_number("length", length, 2)
        if self.length % 2:
            raise ValueError(f"length must be even (brackets come in pairs), at least 2, got {length!r}")
        self.kinds = whole_number("kinds", kinds, 1, len(PAIRS))
        self.closing = dict(PAIRS[: self.kinds])  # opening bracket -> its closing one

    def start(self, episode):
        return Completion(self, episode.prompt)


class Completion(Progress):
    """A bracket string followed along its prompt and text.

    Attributes:
        due: the closing brackets of those that are open, the next one last.
        left: characters still to be written after the right ones.
        broken: a mistake was made.
    """

    def __init__(self, metric: BracketCompletion, prompt: str):
        self.metric = metric
        self.due: list[str] = []
        self.left = metric.length
        self.broken = False
        self._keep(prompt)
        self.missing = max(metric.length - len(prompt), 0)
        self.right = self.written = 0

    def push(self, piece, provisional=""):
        if piece:
            self.written += len(piece)
            self.right += self._keep(piece)
        right, written = self.right, self.written
        if provisional:
            written += len(provisional)
            right += self.walk(provisional)[0]
        longest = max(self.missing, written)
        return right / longest if longest else float(not self.broken)

    def allows(self, piece: str) -> bool:
        """Whether a balanced completion exists after ``piece``, which is not kept."""
        return not self.broken and self.walk(piece)[0] == len(piece)

    def walk(self, piece: str) -> tuple[int, int, list[str]]:
        """Go over ``piece`` and change nothing.

        Returns:
            fit: how many of its characters come before the first mistake.
            kept, opened: what is then due is ``due[:kept] + opened``.
        """
        closing, due, left = self.metric.closing, self.due, self.left
        fit, kept, opened = 0, len(due), []
        for character in "" if self.broken else piece:
            if character in closing:
                if kept + len(opened) + 2 > left - fit:  # no room to close it and all around it
                    break
                opened.append(closing[character])
            elif opened:
                if opened[-1] != character:
                    break
                opened.pop()
            elif kept and due[kept - 1] == character:
                kept -= 1
            else:
                break
            fit += 1
        return fit, kept, opened

    def _keep(self, piece: str) -> int:
        fit, kept, opened = self.walk(piece)
        self.due[kept:] = opened
        self.left -= fit
        self.broken |= fit < len(piece)
        return fit


class Brackets(GeneratedTask):
    """Complete a balanced bracket string.

    ## Description
    Prompt and text together must be a balanced string of brackets, each closed by one of its kind, of exactly
    `length` characters. Many texts are right; a grammar (`mask="task"`) knows every token that can lead to one.

    ## Prompt and reference
    The first k characters of a balanced string drawn uniformly from all of that length, k uniform in
    0 .. `length - 1`. The one reference closes what is open, then writes `()` until the length is reached:
    `"([]"` -> `")()()"` by default; the true score takes every other completion as well. 8 in 10 prompts
    are train, 1 validation, 1 test; short prompts are few, and the empty one is train.

    ## Action space
    `Discrete(V)`: the tokens of the vocabulary, here the brackets and EOS, `V = 2 * kinds + 1`. With
    `mask="task"` exactly those are legal after which a balanced completion exists; EOS where the string is complete.

    ## Observation space
    `Box(0, V, (prompt_length + budget,), int32)`: the prompt, right-aligned in `prompt_length` columns (with
    characters `length - 1`), then the tokens written; PAD = V in empty columns.

    ## Rewards
    Default: `delta` of the true score, the characters before the first mistake / the missing ones
    (:class:`BracketCompletion`): each right character pays 1 / missing, from the first mistake on nothing is
    paid, and characters after the complete string, or beyond its length, cost some of it.

    ## Starting state
    A prompt of the split, drawn as above; no text.

    ## Episode end
    EOS, or the budget is spent (default `length + 1`, EOS included).

    ## Arguments
    - `length=8`: characters of prompt and text together, even, at least 2.
    - `kinds=2`: the first so many of `()`, `[]`, `{}`, `<>`, 1 to 4.
    - `split="train"`, `tokenizer="character"`, `budget=None` (tokens, EOS included), `lossy=False`: as for every task.

    Raises `ValueError`: an argument out of its range, or so few prompts that the split has none.

    ## Version history
    - v0: first version.
    """

    def __init__(
        self,
        length: int = 8,
        kinds: int = 2,
        *,
        split="train",
        tokenizer="character",
        budget: int | None = None,
        lossy: bool = False,
    ):
        self.metric = BracketCompletion(length, kinds)
        self.length, self.kinds = self.metric.length, self.metric.kinds
        alphabet = "".join(PAIRS[: self.kinds])
        super().__init__(
            alphabet, self.length - 1, self.length, split=split, tokenizer=tokenizer, budget=budget, lossy=lossy
        )

    def generate(self, rng):
        chances, kinds = rng.random((2, int(rng.random() * self.length))).tolist()
        prompt, due = [], []
        for written, (chance, kind) in enumerate(zip(chances, kinds, strict=True)):
            left, depth = self.length - written, len(due)
            # the share of the balanced completions that open a bracket here: a ratio of ballot numbers
            if chance * 2 * left * (depth + 1) < (left - depth) * (depth + 2):
                opening, closing = PAIRS[int(kind * self.kinds)]
                prompt.append(opening)
                due.append(closing)
            else:
                prompt.append(due.pop())
        return Episode("".join(prompt), (self._close(due, self.length - len(prompt)),))

    @staticmethod
    def _close(due: list[str], left: int) -> str:
        return "".join(reversed(due)) + "()" * ((left - len(due)) // 2)

    def from_prompt(self, prompt, references=()):
        """The episode of a prompt that a user gives.

        Raises:
            ValueError: the prompt is not the beginning, one character short of the end at most, of a
                balanced string of the task's length.
        """
        state = Completion(self.metric, prompt)
        if state.broken or not state.left:
            raise ValueError(
                f"the prompt of Brackets is the beginning of a balanced string of {self.length} characters of "
                f"{' '.join(PAIRS[: self.kinds])}, with at least one missing, got {prompt!r}"
            )
        return Episode(prompt, references or (self._close(state.due, state.left),))

    def legal_tokens(self, tokens, lengths, episodes):
        """The tokens after which a balanced completion exists; EOS where the string is complete.

        A row without such a token has EOS alone. For characters, array code, which relies on what the mask
        ensures: every token in ``tokens`` was legal. Other vocabularies: each token's characters are walked
        once for every state of the grammar.

        Args:
            tokens: int32 (k, prompt_length + budget), prompts and texts laid out as in the observation.
            lengths: int64 (k,), tokens written so far.
            episodes: k episodes.

        Returns:
            bool (k, V), a fresh array.
        """
        if self.vocabulary.kind != "character":
            texts = tokens[:, self.prompt_length :].tolist()
            rows = [self._row(e.prompt, ids[:n]) for e, ids, n in zip(episodes, texts, lengths.tolist(), strict=True)]
            return np.array(rows, bool).reshape(len(rows), self.vocabulary.size)
        step, kind, table = self._tables
        steps = step[tokens]  # (k, columns): 1 opens, -1 closes, 0 empty
        depths = np.add.accumulate(steps, axis=1, dtype=steps.dtype)
        depth = depths[:, -1]
        # the bracket to be closed next is the last one that led to the present depth
        last = ((steps == 1) & (depths == depth[:, None]))[:, ::-1].argmax(axis=1)
        opening = tokens[np.arange(len(tokens)), tokens.shape[1] - 1 - last]  # where none is open: no opening bracket
        left = self.length - np.count_nonzero(steps, axis=1)
        return table[2 * kind[opening] + (depth + 2 <= left)]

    @cached_property
    def _tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What each id does, and what is legal.

        Returns:
            step: integers (V + 1,), 1 opens, -1 closes, 0 is no bracket (PAD among them).
            kind: int64 (V + 1,), 1 .. kinds for opening brackets, else 0.
            table: bool (2 * (kinds + 1), V), the legal tokens: row 2 * kind of the innermost open bracket (0: none)
                + whether there is room to open another.
        """
        vocabulary, size = self.vocabulary, self.vocabulary.size
        opening = vocabulary.encode("".join(self.metric.closing))
        closing = vocabulary.encode("".join(self.metric.closing.values()))
        step = np.zeros(size + 1, np.int8 if self.length < 100 else np.int32)
        step[opening], step[closing] = 1, -1
        kind = np.zeros(size + 1, np.int64)
        kind[opening] = 1 + np.arange(self.kinds)
        table = np.zeros((self.kinds + 1, 2, size), bool)
        table[:, 1, opening] = True
        table[1 + np.arange(self.kinds), :, closing] = True
        table[0, 0, vocabulary.eos] = True  # nothing open and no room: complete
        return step, kind, table.reshape(-1, size)

    def _row(self, prompt: str, ids: list[int]) -> np.ndarray:
        """The legal tokens after a prompt and the tokens of a text, bool (V,)."""
        state = Completion(self.metric, prompt + self.vocabulary.decode(ids))
        return self._legal.after(
            ids, ("".join(state.due), state.left, state.broken), state.allows, complete=not state.left
        )

    @cached_property
    def _legal(self) -> LegalTokens:
        return LegalTokens(self.vocabulary, "".join(PAIRS[: self.kinds]))
