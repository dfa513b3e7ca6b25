"""Writing programs: a sentence and examples -> a Python expression that does the same to other inputs."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from textgym.episode import Episode
from textgym.errors import whole_number
from textgym.expressions import BEGINNING, Expression, ExpressionError, Prefix, ending, extend, is_complete
from textgym.expressions.endings import closing, split_open
from textgym.expressions.syntax import MAX_OPEN
from textgym.metrics import CasesPassed
from textgym.tasks.generated import GeneratedTask
from textgym.tasks.grammar import LegalTokens
from textgym.tasks.program_steps import STEPS
from textgym.tasks.programs import Program, draw_inputs, draw_program

ALPHABET = string.ascii_lowercase + "ABCDEFNT" + string.digits + " \n'()*+,-./:<=>[]%!"
_LONGEST_STEP = max(len(step.words) for steps in STEPS.values() for step in steps) + len(" and ")
_LONGEST_EXAMPLE = 48
_TRIES = 1_000
_INPUTS = 40  # drawn for a specification, until enough of them tell something
_SLACK = 16  # no character makes more than that missing
_PRINTABLE = "".join(map(chr, range(32, 127)))


class Case(NamedTuple):
    """An input of a program and its output."""

    arguments: list[Any]
    value: Any

    @property
    def line(self) -> str:
        """As it stands in a prompt."""
        return f"f({','.join(map(_written, self.arguments))}) -> {_written(self.value)}"


def _written(value: Any) -> str:
    return repr(value).replace(", ", ",")


class CodeGeneration(GeneratedTask):
    """Write a Python expression that does what a sentence says.

    ## Description
    A program of one to `steps` steps is described by a sentence and by `examples` of what it does; the text is a
    Python expression in its arguments. Whether it is right shows on hidden cases: other inputs of the same kind. The
    expression is never executed: a whitelisting interpreter (:class:`~textgym.expressions.Expression`) goes through
    its tree and bounds its steps, integers and strings; what is hostile costs milliseconds and scores 0.

    ## Prompt and reference
    A sentence, and a line for each example: `"double each number and keep the numbers above 4\\nf([1,2,3]) -> [6]"` ->
    `"[n*2 for n in x if n*2>4]"`. The argument `x` is a list of numbers, a text, or a list of words; with
    `arguments=2` about 4 programs in 10 have a second one, the number `k`, which then stands in the sentence. The
    references are up to three equivalent ways to write it; the true score takes any other as well. What a step may be:
    :mod:`textgym.tasks.program_steps`. Sentences, whatever their examples, are split: of all 8 in 10 are train, 1
    validation, 1 test.

    `meta` holds `parameters`, the names of the arguments, and `visible_examples` and `hidden_cases`, lists of
    `[arguments, value]`, all of them JSON values. Cases are drawn so that guessing does not pay: no value is 0, empty
    or an argument, no hidden one is that of an example, and no more than two of them are alike. Each step is needed
    for an example and for half of the hidden cases, unless the others make no sense without it.

    ## Action space
    `Discrete(V)`: the tokens of the vocabulary, here small letters, `ABCDEFNT`, digits, space, line feed,
    `'()*+,-./:<=>[]%!` and EOS, `V = 64`. With `mask="task"` exactly those are legal after which the text can still be
    completed to an expression within the budget, and EOS where it is one: every text then is one. Other vocabularies
    need a token for each ASCII character to ensure this, and their masks are slow.

    ## Observation space
    `Box(0, V, (prompt_length + budget,), int32)`: the prompt, right-aligned in `prompt_length` columns (with characters
    227 with the defaults; half of the prompts have at most 134), then the tokens written; PAD = V in empty columns.

    ## Rewards
    Default: `delta` of the true score, the share of hidden cases passed
    (:class:`~textgym.metrics.CasesPassed`): 0 for what is no expression. `x`, `k`, `0`, `""`, `[]` and the values of
    the examples score 0 in every episode, no other constant more than 2 / `cases`; on average the best constant scores
    0.006 (Large: 0.009), the best short expression that was tried, `x[0]`, 0.036 (0.025), and random characters 0.000.
    Two more metrics pay at once: `valid_prefix` (:class:`~textgym.metrics.ValidPrefix`) and `visible_examples`, as in
    `reward=["terminal", {"name": "delta", "metric": "valid_prefix", "weight": 0.1}, "delta:visible_examples"]`.

    ## Starting state
    A program of the split, drawn as above, with new examples and hidden cases; no text.

    ## Episode end
    EOS, or the budget is spent (default `17 + 16 * steps`, EOS included).

    ## Arguments
    - `steps=2`: steps of the longest program, 1 to 6; how many there are is uniform in 1 .. `steps`, before programs
      that cases cannot tell from shorter ones are left out.
    - `arguments=1`: of the program, 1 or 2.
    - `examples=3`: in the prompt, 1 to 6.
    - `cases=8`: hidden ones, 2 to 12.
    - `split="train"`, `tokenizer="character"`, `budget=None` (tokens, EOS included), `lossy=False`: as for every task.

    Raises `ValueError`: an argument out of its range.

    ## Version history
    - v0: first version.
    """

    metric = CasesPassed("hidden_cases")

    def __init__(
        self,
        steps: int = 2,
        arguments: int = 1,
        examples: int = 3,
        cases: int = 8,
        *,
        split="train",
        tokenizer="character",
        budget: int | None = None,
        lossy: bool = False,
    ):
        self.steps = whole_number("steps", steps, 1, 6)
        self.program_arguments = whole_number("arguments", arguments, 1, 2)  # every task has `arguments` of its own
        self.examples = whole_number("examples", examples, 1, 6)
        self.cases = whole_number("cases", cases, 2, 12)
        self.text_length = 16 + 16 * self.steps
        super().__init__(
            ALPHABET,
            self.steps * _LONGEST_STEP + self.examples * (1 + _LONGEST_EXAMPLE),
            self.text_length,
            split=split,
            tokenizer=tokenizer,
            budget=budget,
            lossy=lossy,
        )

    def generate(self, rng):
        return self._generate(rng, None)

    def sample(self, rng):
        for _ in range(_TRIES):
            episode = self._generate(rng, self.split)
            if not self._misfit(episode):
                return episode
        raise ValueError(
            f"CodeGeneration: none of {_TRIES} generated episodes fits prompt_length={self.prompt_length} and "
            f"budget={self.budget}: use a larger budget"
        )

    def _generate(self, rng: np.random.Generator, split: str | None) -> Episode:
        """An episode of a split: programs are drawn until one belongs to it, and has inputs that tell what it does."""
        while True:
            program = draw_program(rng, self.steps, self.program_arguments)
            if split is None or self._split_of(program.sentence) == split:
                references = [text for text in program.references() if len(text) <= self.text_length]
                examples, hidden = self._cases_of(program, rng) if references else ([], [])
                if hidden:
                    return _episode(program.sentence, examples, hidden, program.parameters, references)

    def identity(self, episode):
        """The sentence, whatever the examples."""
        return episode.prompt.partition("\n")[0]

    def _cases_of(self, program: Program, rng: np.random.Generator) -> tuple[list[Case], list[Case]]:
        """Examples and hidden cases that no constant, argument or shorter program passes; two empty lists: none found.

        Values are none of 0, "", [] and the arguments. Hidden ones differ from the examples', no three are alike.
        Without a step, the program has other values on an example and on half of the hidden cases.
        """
        examples: list[Case] = []
        hidden: list[Case] = []
        left: dict[str, int] = {}  # a value -> how many more cases may have it
        for arguments in draw_inputs(program, rng, _INPUTS):
            try:
                case = Case(arguments, program.value(*arguments))
            except (ValueError, IndexError):
                continue
            if not case.value or case.value in arguments:
                continue
            key = repr(case.value)
            if len(examples) < self.examples:
                if key not in left and len(case.line) <= _LONGEST_EXAMPLE:
                    examples.append(case)
                    left[key] = 0
            elif left.setdefault(key, 2):
                hidden.append(case)
                left[key] -= 1
                if len(hidden) == self.cases:
                    break
        if len(hidden) == self.cases and _all_steps_show(program, examples, 1):
            if _all_steps_show(program, hidden, (self.cases + 1) // 2):
                return examples, hidden
        return [], []

    def from_prompt(self, prompt, references=()):
        """The episode of a prompt that a user gives; its examples are the hidden cases, too.

        Raises:
            ValueError: the prompt has no examples, or they cannot be read.
        """
        cases = []
        for line in prompt.split("\n")[1:]:
            try:
                arguments, value = re.fullmatch(r"f\((.*)\) -> (.*)", line).groups()
                cases.append(Case(Expression(f"[{arguments}]").evaluate({}), Expression(value).evaluate({})))
            except (AttributeError, ExpressionError) as error:
                raise ValueError(_how_to_prompt(prompt)) from error
        counts = {len(case.arguments) for case in cases}
        if counts not in ({1}, {2}):
            raise ValueError(_how_to_prompt(prompt))
        return _episode(prompt.partition("\n")[0], cases, cases, ["x", "k"][: counts.pop()], references)

    def legal_tokens(self, tokens, lengths, episodes):
        """The tokens after which the text can be completed to an expression within the budget; EOS after one.

        EOS alone where nothing else is legal. Tokens of other vocabularies than characters are legal where what is then
        missing fits with a token for each character, which byte-level ones have; their characters are gone through anew
        for every text.

        Args:
            tokens: int32 (k, prompt_length + budget), prompts and texts laid out as in the observation.
            lengths: int64 (k,), tokens written so far.
            episodes: k episodes.

        Returns:
            bool (k, V), a fresh array.
        """
        texts = [ids[:n] for ids, n in zip(tokens[:, self.prompt_length :].tolist(), lengths.tolist(), strict=True)]
        rows = [self._row(extend(BEGINNING, self.vocabulary.decode(ids)), ids) for ids in texts]
        return np.array(rows, bool).reshape(len(rows), self.vocabulary.size)

    def _row(self, prefix: Prefix | None, ids: list[int]) -> np.ndarray:
        """The legal tokens after ``ids``, which have led to ``prefix``, bool (V,)."""
        room = self.budget - len(ids)
        if prefix is not None and self.vocabulary.kind == "character":
            ids = []  # a character is the same after any other
            if len(prefix.open) < MAX_OPEN:  # and then matters to the innermost bracket only
                prefix, outer = split_open(prefix)
                room -= len(closing(outer))
            room = min(room, len(ending(prefix)) + _SLACK)

        def allows(characters: str) -> bool:
            longer = extend(prefix, characters)
            return longer is not None and len(ending(longer)) < room

        return self._legal.after(ids, (prefix, room), allows, is_complete(prefix))

    @cached_property
    def _legal(self) -> LegalTokens:
        return LegalTokens(self.vocabulary, _PRINTABLE)


def _all_steps_show(program: Program, cases: Sequence[Case], least: int) -> bool:
    """Whether without any of its steps the program gives something else in at least so many cases.

    Only steps without which it makes sense: that give what they take.
    """
    for i, (step, _, _) in enumerate(program.plan):
        if step.takes == step.gives and sum([_differs(program, case, i) for case in cases]) < least:
            return False
    return True


def _differs(program: Program, case: Case, without: int) -> bool:
    try:
        return program.value(*case.arguments, without=without) != case.value
    except (ValueError, IndexError):
        return True


def _episode(
    sentence: str, examples: Sequence[Case], hidden: Sequence[Case], parameters: list[str], references: Sequence[str]
) -> Episode:
    meta = {
        "parameters": parameters,
        "visible_examples": [list(case) for case in examples],
        "hidden_cases": [list(case) for case in hidden],
    }
    return Episode("\n".join([sentence, *[case.line for case in examples]]), tuple(references), meta)


def _how_to_prompt(prompt: str) -> str:
    return (
        "the prompt of CodeGeneration is a line that says what to do, and a line for each example, of one argument or "
        f"two, as in 'double each number\\nf([1,2]) -> [2,4]\\nf([3]) -> [6]', got {prompt!r}"
    )
