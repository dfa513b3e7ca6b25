"""A sentence that has given words in it, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate

import numpy as np

from textgym.episode import Episode
from textgym.errors import unknown
from textgym.metrics import Metric, Progress
from textgym.metrics.units import Words
from textgym.tasks.generated import GeneratedTask
from textgym.tasks.sentences import START, network

_FEWEST, _MOST = 2, 4  # words of a prompt
_LONGEST = 13  # words of a sentence


class KeywordSentence(Metric):
    """How much of a sentence a text is, times how many of the prompt's words the sentence has in their order.

    in order / words of the prompt * right / (right + wrong + missing), in [0, 1].

    *Right* are the words before the first mistake, a word after which no text makes a sentence of the grammar
    (:mod:`textgym.tasks.sentences`); *wrong* are all from there on; *missing* is the fewest words that would make
    the right ones a sentence. *In order* is the longest common subsequence of the prompt's words and of what the right
    words are forms of: a noun is met in the singular and the plural, a verb in each form ("carry": carry, carries,
    carried, carrying), an adjective or adverb as it is. The last, perhaps unfinished, word counts as it stands.
    """

    name = "keyword_sentence"

    def start(self, episode):
        return _Sentence(episode.prompt.split())


class _Sentence(Progress):
    def __init__(self, wanted: Sequence[str]):
        self.wanted = wanted
        self.words = Words()
        # of the right words: state of the grammar, common[i] with the first i of the wanted ones, how many; wrong words
        self.settled: tuple[int, list[int], int, int] = START, [0] * (len(wanted) + 1), 0, 0

    def push(self, piece, provisional=""):
        settled, unsettled = self.words.push(piece, provisional)
        if settled:
            self.settled = self._after(settled)
        state, common, right, wrong = self._after(unsettled) if unsettled else self.settled
        if not common[-1]:
            return 0.0
        return common[-1] / len(self.wanted) * right / (right + wrong + network().missing[state])

    def _after(self, words: Sequence[str]) -> tuple[int, list[int], int, int]:
        grammar, (state, common, right, wrong) = network(), self.settled
        for word in words:
            after = None if wrong else grammar.following[state].get(word)
            if after is None:
                wrong += 1
                continue
            state, right = after, right + 1
            lemma = grammar.lemmas.get(word)
            if lemma in self.wanted:
                longer = [n + 1 if wanted == lemma else 0 for n, wanted in zip(common, self.wanted, strict=False)]
                common = list(accumulate((max(two) for two in zip(common, [0, *longer], strict=True)), max))
        return state, common, right, wrong


class Keywords(GeneratedTask):
    """Write a sentence that has the given words in it, in their order.

    ## Description
    Constrained writing in the manner of CommonGen (Lin et al. 2020, arXiv:1911.03705): a few nouns, verbs, adjectives
    or adverbs are given, and a sentence is to be made of them, in their order and inflected as need be. What a
    sentence is, is said by a small English grammar of 405 words (:mod:`textgym.tasks.sentences`): many sentences are
    right, and a list of the words is none. Unlike CommonGen's coverage and n-gram scores, the true score cannot be had
    by copying.

    ## Prompt and reference
    2 to 4 words with single spaces, in their basic form; the reference is a sentence of 3 to 13 words, in small letters
    and without a full stop: `"farmer carry box bridge"` -> `"the farmer carries two boxes near a bridge"`. The sentence
    is drawn by the grammar, each way on being as likely, the words of the prompt from its nouns, verbs, adjectives and
    adverbs of manner (all of them if they are fewer). 8 in 10 prompts are train, 1 validation, 1 test.

    ## Action space
    `Discrete(V)`: the tokens of the vocabulary, by default the words of the grammar, `<unk>` (never legal) and EOS,
    `V = 407`. With `mask="task"` and a vocabulary of words, only those are legal with which a sentence can go on, and
    EOS where it is one; with other vocabularies that mask allows everything.

    ## Observation space
    `Box(0, V, (prompt_length + budget,), int32)`: the prompt, right-aligned in `prompt_length` columns (with words
    4), then the tokens written; PAD = V in empty columns.

    ## Rewards
    Default: `delta` of the true score, the share of the prompt's words that is there in order times the share of the
    text that is a sentence (:class:`KeywordSentence`). Any sentence with all of the words scores 1. An empty text
    scores 0, and so does the prompt itself; the prompt after a "the" 0.23, the first half of the reference 0.34,
    another prompt's reference 0.03. From the first mistake on every word costs.

    ## Starting state
    A prompt of the split, drawn as above; no text.

    ## Episode end
    EOS, or the budget is spent (default 14 words, EOS included; the longest sentence has 13).

    ## Arguments
    - `split="train"`, `tokenizer="word"`, `budget=None` (tokens, EOS included), `lossy=False`: as for every task.

    Raises `ValueError`: a budget that no sentence fits, or a prompt given by a user with words that are not the basic
    form of a noun, verb, adjective or adverb of the grammar.

    ## Version history
    - v0: first version.
    """

    metric = KeywordSentence()

    def __init__(self, *, split="train", tokenizer="word", budget: int | None = None, lossy: bool = False):
        longest = max(map(len, network().vocabulary))
        super().__init__(
            " ".join(network().vocabulary),
            _MOST * (longest + 1) - 1,
            _LONGEST * (longest + 1) - 1,
            split=split,
            tokenizer=tokenizer,
            budget=budget,
            lossy=lossy,
            words=(_MOST, _LONGEST),
        )

    def generate(self, rng):
        words, lemmas = network().generate(rng), network().lemmas
        content = list(dict.fromkeys(lemmas[word] for word in words if word in lemmas))
        wanted = _FEWEST + int(rng.random() * (_MOST - _FEWEST + 1))
        while len(content) > wanted:
            del content[int(rng.random() * len(content))]
        return Episode(" ".join(content), (" ".join(words),))

    def from_prompt(self, prompt, references=()):
        """The episode of a prompt that a user gives.

        Raises:
            ValueError: it is empty, or a word of it is not the basic form of a noun, verb, adjective or adverb.
        """
        lemmas = network().lemmas
        for word in prompt.split() or [""]:
            if lemmas.get(word) != word:
                raise unknown("word of the prompt", word, set(lemmas.values()))
        return Episode(prompt, references)

    def legal_tokens(self, tokens, lengths, episodes):
        """The words with which a sentence can go on, EOS where it is one or where there is no such word.

        None unless the tokens are words.
        """
        if self.vocabulary.kind != "word":
            return None
        following, table = self._automaton
        states = []
        for ids, written in zip(tokens[:, self.prompt_length :].tolist(), lengths.tolist(), strict=True):
            state = START
            for id in ids[:written]:
                state = following[state].get(id, -1)  # -1: a mistake was made, and nothing follows it
            states.append(state)
        return table[states]

    @cached_property
    def _automaton(self) -> tuple[list[dict[int, int]], np.ndarray]:
        """The grammar over ids: state -> id -> state, and which ids are legal, bool (states + 1, V); the last state
        stands for all texts with a mistake."""
        grammar, vocabulary = network(), self.vocabulary
        ids = {vocabulary.token(id): id for id in np.flatnonzero(vocabulary.legal).tolist()}
        following = [{ids[word]: after for word, after in words.items() if word in ids} for words in grammar.following]
        following.append({})
        table = np.zeros((len(following), vocabulary.size), bool)
        for state, after in enumerate(following):
            table[state, list(after)] = True
            table[state, vocabulary.eos] = not after or not grammar.missing[state]
        return following, table
