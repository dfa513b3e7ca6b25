"""Questions about a passage of facts, which has the answer and others that look like it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from textgym.episode import Episode
from textgym.errors import whole_number
from textgym.metrics import AnswerF1
from textgym.tasks.facts import CLOSED, OPEN, RELATIONS, SIZE, THINGS, World, fragments, longest
from textgym.tasks.generated import GeneratedTask, count_words, pick

_CLOSED = 1 / 4  # share of the questions that are answered yes or no
_ALIKE = 2 / 3  # share of the other facts that are of a kind that the question takes


class QuestionAnswering(GeneratedTask):
    """Answer a question about a passage of facts.

    ## Description
    Reading comprehension in small: a passage of facts about people, places, objects and amounts, in any order, and a
    question that it answers. What is asked for is never the only one of its kind in the passage: the same
    could be asked about somebody or something else that is there. With `hops=2` half of the questions take two facts,
    as in bAbI (Weston et al. 2015, arXiv:1502.05698) and HotpotQA (Yang et al. 2018, arXiv:1809.09600): where the
    boss of somebody lives, which room an object's box is in.

    ## Prompt and reference
    `facts` facts, each ended by ` . `, and the question. One question in four is answered `yes` or `no`, equally often;
    the others by a name or a number of the passage. References are the answer alone, and a number as a word, a thing
    with its article: `"anna has 3 coins . ben has 5 coins . the key is in the box . leo lives in oslo . how many coins
    does ben have ?"` -> `"5"` or `"five"`. Names are drawn uniformly, from 12 of each kind; a passage does not
    contradict itself. 8 in 10 prompts are train, 1 validation, 1 test.

    ## Action space
    `Discrete(V)`: the tokens of the vocabulary, here words, V = 109, all legal but `<unk>`; with characters V = 36.

    ## Observation space
    `Box(0, V, (prompt_length + budget,), int32)`: the prompt, right-aligned in `prompt_length` columns (in words
    `10 + 7 * facts`, in characters `46 + 31 * facts`), then the tokens written; PAD = V in empty columns.

    ## Rewards
    Default: `delta` of the true score, SQuAD's F1 of tokens (:class:`~textgym.metrics.AnswerF1`): 1 for the answer
    alone, 2/3 with one word too many. What can be had without reading, by default / with `facts=8, hops=2` (3,000 test
    episodes): 0 for an empty text or the question, 0.07 / 0.04 for the prompt, 0.12 / 0.13 for `yes` (the most frequent
    answer), 0.16 / 0.17 for `yes no`, 0.18 / 0.19 for the most frequent answer to the question's first two words; 0.35
    / 0.29 for any one of what is of the right kind in the passage, 0.51 / 0.44 for all of it.

    ## Starting state
    A prompt of the split, drawn as above; no text.

    ## Episode end
    EOS, or the budget is spent (default 3 words or 12 characters, EOS included).

    ## Arguments
    - `facts=4`: facts of the passage, from `2 * hops` to 20.
    - `hops=1`: the most facts that a question takes, 1 or 2.
    - `split="train"`, `tokenizer="word"`, `budget=None` (tokens, EOS included), `lossy=False`: as for every task. A
      prompt of your own needs references of your own.

    Raises `ValueError`: an argument out of its range.

    ## Version history
    - v0: first version.
    """

    metric = AnswerF1()

    def __init__(
        self,
        facts: int = 4,
        hops: int = 1,
        *,
        split: str = "train",
        tokenizer: Any = "word",
        budget: int | None = None,
        lossy: bool = False,
    ):
        self.hops = whole_number("hops", hops, 1, 2)
        self.facts = whole_number("facts", facts, 2 * self.hops, 20)
        super().__init__(
            " ".join([*fragments(), ". ?"]),
            *self._longest(len),
            words=self._longest(count_words),
            split=split,
            tokenizer=tokenizer,
            budget=budget,
            lossy=lossy,
        )

    def generate(self, rng):
        world = World.drawn(rng)
        hops = 1 + int(rng.random() * self.hops)
        k, t = int(rng.random() * SIZE), int(rng.random() * len(THINGS))
        # with one hop nobody who works for k: that k works for k is no other answer
        rival = (k + 1 + int(rng.random() * (SIZE - 3 + hops))) % SIZE
        if rng.random() < _CLOSED:
            kind = pick(rng, CLOSED[hops])
            right, about = pick(rng, (("yes", k), ("no", rival)))
            question, answers = kind.text(world, k, about, t), (right,)
        else:
            kind = pick(rng, OPEN[hops])
            question, answers = kind.text(world, k, t), kind.answers(world, k, t)
        needed = kind.facts(k, t)
        passage = dict.fromkeys((*needed, *kind.facts(rival, t)))
        while len(passage) < self.facts:
            relation = pick(rng, needed)[0] if rng.random() < _ALIKE else pick(rng, RELATIONS)
            i = int(rng.random() * SIZE)
            passage[(relation, i, t) if relation == "has" else (relation, i)] = None
        told = sorted(passage, key=lambda fact: rng.random())
        return Episode(_prompt(map(world.say, told), question), answers)

    def _longest(self, measure: Callable[[str], int]) -> tuple[int, int]:
        """The most that prompts and references measure."""
        fact, question, answer = longest(measure)
        return measure(_prompt([fact] * self.facts, question)), measure(answer)


def _prompt(facts: Iterable[str], question: str) -> str:
    return "".join(f"{fact} . " for fact in facts) + f"{question} ?"
