"""Replies to requests: everything that was asked for has to be said, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from textgym.episode import Episode
from textgym.errors import one_of, whole_number
from textgym.tasks.dialogue_chinese import CHINESE
from textgym.tasks.dialogue_english import ENGLISH
from textgym.tasks.dialogue_language import MARK
from textgym.tasks.generated import GeneratedTask, count_words, pick
from textgym.tasks.replies import EachTurn, ReplyScore

LANGUAGES = {"english": ENGLISH, "chinese": CHINESE}


class Dialogue(GeneratedTask):
    """Reply to a request, so that everything in it is said and nothing else.

    ## Description
    A user asks for a table, a ticket or an appointment. Each is settled by four slots, such as place, people, day and
    time. The look-up's result stands before the request: it can be booked (`free:`), or it cannot (`full:`); without it
    the request lacks a slot, which the reply has to ask for. The reply has to do the right act (confirm, refuse, ask),
    say all that is known, in any of its forms (`19:00` is `7 pm`), and invent nothing, in a sentence like those of
    the references. Texts are without punctuation, as transcribed speech is.

    With `turns` over 1 the user goes on: gives what was asked for, or changes a slot, and every reply has to say how
    things stand by then. The user's turns are all in the prompt; the replies are one text in which each ends with `|`.
    So an episode has one prompt and one text, as everywhere here, and the user does not listen: a later turn fits
    whatever was replied. Reply i has to be made from turns 1 .. i.

    ## Prompt and reference
    `"full: can i get a table at luigi for four people on friday at 19:00"` -> `"sorry your table at luigi for 4 people
    on friday at 7 pm is not available"` and three other sentences, all with values in their first form; the true score
    takes any form. In three turns: `"i need a ticket from oslo on friday at 7 pm | free: to rome | full: rather on
    sunday"` -> `"to where please for your ticket from oslo on friday at 7 pm | your ticket from oslo to rome on friday
    at 7 pm is booked | sorry your ticket from oslo to rome on sunday at 7 pm is not available |"`. In Chinese:
    `"可订：我想订座，在福满楼，四位，周五，晚上七点"` -> `"您周五晚上7点在福满楼4位的座位订好了"`. Domains, values,
    acts and ways to say it are drawn uniformly; one request in three lacks a slot. 8 in 10 references are train, 1
    validation, 1 test: what is to be said in one split is said in no other, in whatever words it is asked for.

    ## Action space
    `Discrete(V)`: the tokens of the vocabulary. English: words, V = 148, with turns 149, all legal but `<unk>`; in
    characters V = 37 and 38. Chinese: characters, V = 164 and 165, all legal.

    ## Observation space
    `Box(0, V, (prompt_length + budget,), int32)`: the prompt, right-aligned in `prompt_length` columns, then the tokens
    written; PAD = V in empty columns. The longest are

    | | one turn: prompt, budget | three turns |
    |---|---|---|
    | English, words (characters) | 17, 18 (82, 88) | 33, 55 (154, 270) |
    | Chinese, characters | 27, 25 | 51, 76 |

    ## Rewards
    Default: `delta` of the true score (:class:`~textgym.tasks.replies.ReplyScore`): how much of slots and act is right,
    times the square of how near the sentence is to a reference, values aside. With turns it is the mean over the
    replies (:class:`~textgym.tasks.replies.EachTurn`), each paid when its `|` is written. Only values that the task
    knows (`ontology`) can be realised or invented. :class:`~textgym.metrics.SlotAccuracy` alone is
    `{"name": "slot_accuracy", "ontology": "task"}`.

    Means over 1,000 test episodes:

    | text | English | Chinese | three turns | Chinese |
    |---|---|---|---|---|
    | empty; all values there are; every reply twice | 0 | 0 | 0 | 0 |
    | the prompt | 0.10 | 0.03 | 0.03 | 0.01 |
    | the right values alone | 0.06 | 0.07 | 0.06 | 0.08 |
    | the right values and the act's words | 0.19 | 0.23 | 0.19 | 0.26 |
    | the same with the values' prepositions | 0.53 | 0.29 | 0.55 | 0.32 |
    | everything right, but always confirmed | 0.33 | 0.32 | 0.45 | 0.45 |
    | a reference of another episode | 0.01 | 0.01 | 0.02 | 0.02 |
    | the last reply in every turn | | | 0.52 | 0.52 |

    ## Starting state
    A prompt of the split, drawn as above; no text.

    ## Episode end
    EOS, or the budget is spent (default: as in the table, EOS included).

    ## Arguments
    - `turns=1`: turns of the user, and replies, 1 to 8.
    - `language="english"`: or `"chinese"`.
    - `tokenizer=None`: English `"word"`, Chinese `"character"`; else as for every task. Chinese words are
      `{"name": "word", "segmenter": "jieba"}`.
    - `split="train"`, `budget=None` (tokens, EOS included), `lossy=False`: as for every task. A prompt of your own
      needs references of your own.

    Raises `ValueError`: an argument out of its range, or Chinese in words between white space.

    ## Version history
    - v0: first version.

    Attributes:
        ontology: slot -> value -> its forms; the slot `act` has the acts.
    """

    def __init__(
        self,
        turns: int = 1,
        language: str = "english",
        *,
        split: str = "train",
        tokenizer: Any = None,
        budget: int | None = None,
        lossy: bool = False,
    ):
        self.turns = whole_number("turns", turns, 1, 8)
        self.language = LANGUAGES[one_of("language", language, LANGUAGES)]
        self.ontology = self.language.ontology
        reply = ReplyScore(self.ontology)
        self.metric = reply if self.turns == 1 else EachTurn(reply, MARK)
        if tokenizer is None:
            tokenizer = "word" if language == "english" else "character"
        fragments = [*self.language.fragments(), *([MARK] if self.turns > 1 else [])]
        super().__init__(
            " ".join(fragments),
            *self._longest(len),
            words=self._longest(count_words),
            split=split,
            tokenizer=tokenizer,
            budget=budget,
            lossy=lossy,
        )

    def generate(self, rng):
        language = self.language
        domain = pick(rng, language.domains)
        wanted: dict[str, str] = {}
        for slot in domain.slots:
            wanted[slot] = self._new_value(slot, wanted, rng)
        asked = pick(rng, domain.slots) if rng.random() < 1 / 3 else None
        order = [domain.slots[i] for i in pick(rng, language.orders)]
        chunks = [self._chunk(slot, wanted, rng) for slot in order if slot != asked]
        prompt = language.pause.join([pick(rng, domain.openings), *chunks])
        prompts, replies = [], []
        while True:
            act = asked or pick(rng, ("confirm", "refuse"))
            prompts.append(language.marks.get(act, "") + prompt)
            known = {slot: language.usual(slot, value) for slot, value in wanted.items() if slot != asked}
            replies.append(language.written(domain, act, known))
            if len(prompts) == self.turns:
                break
            if asked:
                slot, ways, asked = asked, language.fills, None
            else:
                slot, ways = pick(rng, domain.slots), language.changes
                wanted[slot] = self._new_value(slot, wanted, rng)
            prompt = pick(rng, ways).format(self._chunk(slot, wanted, rng))
        if self.turns == 1:
            return Episode(prompts[0], replies[0])
        texts = (language.turns(reply, closed=True) for reply in zip(*replies, strict=True))
        return Episode(language.turns(prompts, closed=False), texts)

    def identity(self, episode):
        """What is to be said, whatever the words of the request."""
        return episode.references[0]

    def _new_value(self, slot: str, wanted: Mapping[str, str], rng: np.random.Generator) -> str:
        """Any value but those that are wanted already: no journey ends where it begins."""
        taken = wanted.values()
        return pick(rng, [value for value in self.language.values[slot] if value not in taken])

    def _chunk(self, slot: str, wanted: Mapping[str, str], rng: np.random.Generator) -> str:
        return self.language.chunks[slot].format(pick(rng, self.language.values[slot][wanted[slot]]))

    def _longest(self, measure: Callable[[str], int]) -> tuple[int, int]:
        """What prompts and references measure at most."""
        language = self.language
        chunks = {
            slot: max((language.chunks[slot].format(form) for forms in values.values() for form in forms), key=measure)
            for slot, values in language.values.items()
        }
        mark = max(language.marks.values(), key=measure)
        firsts, replies = [], []
        for domain in language.domains:
            slots = [chunks[slot] for slot in domain.slots]
            firsts += [mark + language.pause.join([opening, *slots]) for opening in domain.openings]
            for act in ("confirm", "refuse", *domain.slots):
                replies += language.written(domain, act, {slot: chunks[slot] for slot in domain.slots if slot != act})
        laters = [mark + way.format(chunk) for way in language.fills + language.changes for chunk in chunks.values()]
        first, later, reply = (max(texts, key=measure) for texts in (firsts, laters, replies))
        prompt = language.turns([first, *[later] * (self.turns - 1)], closed=False)
        return measure(prompt), measure(language.turns([reply] * self.turns, closed=self.turns > 1))
