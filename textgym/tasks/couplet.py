"""Two lines of English verse on a theme, in metre and rhyme."""

from __future__ import annotations

from typing import NamedTuple

from textgym.episode import Episode
from textgym.errors import unknown
from textgym.metrics import Metric, Progress
from textgym.metrics.units import Words
from textgym.tasks.generated import GeneratedTask, pick
from textgym.tasks.verse import BEGUN, RHYMES, SYLLABLES, WORDS, line, next_state

BREAK = "/"  # stands between the lines, as in quotations of verse
_FEET = SYLLABLES  # two lines, two syllables a foot
_THEMES = 2  # words of a prompt
_CHARACTERS = 100  # more than any couplet has


class CoupletRules(Metric):
    """How well a text keeps the rules of a couplet: (metre + rhyme + theme) / 3 * 8 / (8 + extra), in [0, 1].

    - Metre: the share of right feet. Of eight, four a line, those are right of which the first syllable is unstressed,
      the second stressed, and the words that they belong to are in place.
    - Rhyme: 1 if both lines have eight syllables and their last words, in place, the same rhyme, else 0.
    - Theme: the share of the prompt's words that are there, in place.
    - Extra: half a foot for every syllable after the eighth of a line or after the second line, one for every ``/``
      after the first.

    A word is in place if the lexicon (:mod:`textgym.tasks.verse`) has it, its part of speech may follow what the line
    has before it, and it has not been in place before (determiners, prepositions and conjunctions may). A word that the
    lexicon has not has one syllable. The last, perhaps unfinished, word counts as it stands.
    """

    name = "couplet_rules"

    def start(self, episode):
        return _Poem(tuple(episode.prompt.split()))


class _Reading(NamedTuple):
    """What has been read of a poem."""

    line: int = 0  # lines before this one
    order: str = BEGUN  # state of the line: what may follow
    syllables: int = 0  # of the line
    begun: bool = False  # the line's last foot has one syllable, which keeps the rules
    feet: int = 0  # that keep the rules
    extra: float = 0.0
    used: tuple[str, ...] = ()  # words that may not come again
    ends: tuple[str, str] = ("", "")  # of each line: the word, in place, that makes it whole

    def after(self, spelt: str) -> _Reading:
        if spelt == BREAK:
            extra = self.extra + (self.line > 0)
            return self._replace(line=self.line + 1, order=BEGUN, syllables=0, begun=False, extra=extra)
        word = WORDS.get(spelt)
        order, in_place = (self.order, False) if word is None else next_state(self.order, word.part)
        in_place = in_place and spelt not in self.used
        used = (*self.used, spelt) if in_place and word.content else self.used
        feet, begun, extra = self.feet, self.begun, self.extra
        fits = [False] if word is None else word.fits(self.syllables)
        for syllable, fit in enumerate(fits, self.syllables):
            if self.line > 1 or syllable >= SYLLABLES:
                extra += 0.5
            elif syllable % 2:
                feet += begun and fit and in_place
            else:
                begun = fit and in_place
        syllables, ends = self.syllables + len(fits), self.ends
        if self.line < 2:
            end = spelt if in_place and syllables == SYLLABLES else ""
            ends = (end, "") if self.line == 0 else (ends[0], end)
        return _Reading(self.line, order, syllables, begun, feet, extra, used, ends)

    def kept(self, themes: tuple[str, ...]) -> float:
        """The value of :class:`CoupletRules`."""
        first, second = (WORDS[end].rhyme if end else "" for end in self.ends)
        found = sum(theme in self.used for theme in themes) / len(themes) if themes else 0.0
        return (self.feet / _FEET + (first == second != "") + found) / 3 * _FEET / (_FEET + self.extra)


class _Poem(Progress):
    def __init__(self, themes: tuple[str, ...]):
        self.themes = themes
        self.words = Words()
        self.settled = _Reading()

    def push(self, piece, provisional=""):
        settled, unsettled = self.words.push(piece, provisional)
        for word in settled:
            self.settled = self.settled.after(word)
        reading = self.settled
        for word in unsettled:
            reading = reading.after(word)
        return reading.kept(self.themes)


class Couplet(GeneratedTask):
    """Write two rhyming lines of verse with given words in them.

    ## Description
    A couplet in iambic tetrameter: two lines of eight syllables, unstressed and stressed in turn, that rhyme, with the
    two words of the prompt somewhere in them. Metre, rhyme and the order of parts of speech are checked by rule in a
    lexicon of 352 words (:mod:`textgym.tasks.verse`), so that very many poems are right. What is not checked is
    whether they make any sense.

    ## Prompt and reference
    The theme: two nouns, adjectives, verbs or adverbs of the lexicon, in any order. The reference is a couplet, with
    `/` between its lines: `"evening place"` -> `"this evening welcomes no embrace / with every hollow goat each
    place"`. A rhyme is drawn uniformly, then each line word by word, each way on that leads to a whole line being as
    likely; the theme are two of its words. 8 in 10 prompts are train, 1 validation, 1 test.

    ## Action space
    `Discrete(V)`: the tokens of the vocabulary, by default the words of the lexicon, `/`, `<unk>` (never legal) and
    EOS, `V = 355`.

    ## Observation space
    `Box(0, V, (prompt_length + budget,), int32)`: the prompt, right-aligned in `prompt_length` columns (with words
    2), then the tokens written; PAD = V in empty columns.

    ## Rewards
    Default: `delta` of the true score, how well the rules of metre, rhyme and theme are kept (:class:`CoupletRules`):
    each right foot pays 1/24, the word that makes both lines whole and rhyme 1/3, each word of the theme 1/6. An empty
    text scores 0, the prompt itself 0.03, fourteen words drawn uniformly 0.005, the first line of the reference 0.33,
    and the reference of another prompt 0.67.

    ## Starting state
    A prompt of the split, drawn as above; no text.

    ## Episode end
    EOS, or the budget is spent (default 18 words, EOS included: no couplet has more).

    ## Arguments
    - `split="train"`, `tokenizer="word"`, `budget=None` (tokens, EOS included), `lossy=False`: as for every task.

    Raises `ValueError`: a budget that no couplet fits, or a prompt given by a user with words that are not in the
    lexicon or may stand in a poem more than once.

    ## Version history
    - v0: first version.
    """

    metric = CoupletRules()

    def __init__(self, *, split="train", tokenizer="word", budget: int | None = None, lossy: bool = False):
        super().__init__(
            " ".join([BREAK, *WORDS]),
            _THEMES * (max(map(len, WORDS)) + 1) - 1,
            _CHARACTERS,
            split=split,
            tokenizer=tokenizer,
            budget=budget,
            lossy=lossy,
            words=(_THEMES, 2 * SYLLABLES + 1),
        )

    def generate(self, rng):
        rhyme = pick(rng, RHYMES)
        while True:
            first, second = line(rng, rhyme), line(rng, rhyme)
            content = [word for word in first + second if WORDS[word].content]
            if len(set(content)) == len(content):
                break
        theme = [content.pop(int(rng.random() * len(content))) for _ in range(_THEMES)]
        return Episode(" ".join(theme), (" ".join([*first, BREAK, *second]),))

    def from_prompt(self, prompt, references=()):
        """The episode of a prompt that a user gives, of one word or more.

        Raises:
            ValueError: a word of it is not a noun, adjective, verb or adverb of the lexicon, or is there twice.
        """
        themes = prompt.split()
        for theme in themes or [""]:
            if theme not in WORDS or not WORDS[theme].content:
                raise unknown("theme", theme, [spelt for spelt, word in WORDS.items() if word.content])
        if len(set(themes)) < len(themes):
            raise ValueError(f"the words of a theme are different ones, got {prompt!r}")
        return Episode(prompt, references)
