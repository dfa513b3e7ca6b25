"""English verse in a small lexicon: parts of speech, stress, rhyme; lines of iambic tetrameter.

    the silver river flows alone
    and every poet finds a stone

A line has eight syllables, unstressed and stressed in turn, and its words stand in an order that makes sense of their
parts of speech. All nouns are singular and all verbs in the third person, so that nothing has to agree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from textgym.tasks.generated import pick

SYLLABLES = 8  # of a line

# N noun, A adjective, D determiner, I verb without object, T verb with an object, B adverb after a verb, P preposition,
# C conjunction; then the stress of each syllable: 1 stressed, 0 not, x as the line has it.
_LEXICON = """
    D0 the my her his our their  Dx this each some no  D10 every
    Px in on by with from through of  P10 under over  P01 above below beneath beside beyond across along upon
    Cx and but while when where
    A1 bright dark cold warm sweet soft deep green white blue clear pale wild calm young old lone proud kind cool brave
    A10 silver golden gentle quiet silent lonely hollow tender frozen ancient weary empty hidden happy heavy shining
    A10 burning drowsy distant simple secret bitter narrow little
    N10 river water garden mountain valley meadow summer winter autumn morning evening shadow candle window mirror
    N10 ocean island forest flower petal willow raven swallow sparrow ember thunder poet sailor shepherd lantern
    N10 harvest cottage kingdom pillow blossom wagon arrow feather
    T1 finds holds keeps loves sees hears knows takes makes seeks leaves brings
    T10 follows carries covers gathers welcomes  T01 adores beholds forgets receives
    I10 wanders lingers whispers trembles glimmers shivers listens hurries
    B10 softly slowly gently sweetly brightly deeply lightly
"""
# the same, after the rhyme that the words of a row have; only these end a line
_RHYMING = """
    ight  N1 light night sight flight height knight  N01 delight  B01 tonight
    ay    N1 day way bay clay ray  N01 bouquet  B01 away today
    ee    N1 sea tree bee key knee  N01 degree
    ain   N1 rain train lane chain grain plain  N01 refrain domain
    ill   N1 hill mill chill  B1 still
    oon   N1 moon noon tune spoon  N01 balloon lagoon cocoon  B1 soon
    ar    N1 star jar scar  N01 guitar  B01 afar
    eam   N1 dream stream beam gleam
    ore   N1 shore door floor core  B01 ashore
    ing   N1 spring king ring wing string
    ound  N1 sound hound mound
    air   N1 air chair hair prayer stair bear  N01 affair  B1 there
    one   N1 stone throne bone  B01 alone
    orn   N1 morn thorn horn corn
    ade   N1 shade glade blade  N01 parade cascade
    eep   N1 sleep sheep
    ake   N1 lake snake cake
    own   N1 town crown gown  B1 down
    all   N1 hall wall fall ball  N01 recall
    art   N1 heart cart chart
    and   N1 land sand hand band
    ame   N1 flame name game fame
    ave   N1 wave cave grave
    ose   N1 rose nose  N01 repose
    ell   N1 bell shell well spell  N01 hotel gazelle farewell
    est   N1 west nest guest crest chest
    ed    N1 bed head bread thread
    oat   N1 boat coat goat throat note
    ost   N1 ghost coast post host
    oad   N1 road toad load
    ace   N1 face place grace lace space  N01 embrace
    ows   I1 grows glows flows blows goes
    eeps  I1 sleeps weeps creeps leaps
    eams  I1 dreams gleams streams
    ies   I1 sighs cries flies lies dies
    ands  I1 stands lands  I01 expands
    ays   I1 stays prays sways plays
    ides  I1 rides glides hides
    ades  I1 fades wades
    ings  I1 sings rings swings clings
    alls  I1 falls calls crawls
    ines  I1 shines dines  I01 declines
    urns  I1 turns burns  I01 returns
    akes  I1 wakes shakes breaks  I01 awakes
    ends  I1 ends bends  I01 descends ascends
"""
# state of a line -> part of speech of the next word -> state after it
_ORDER = {
    "begun": {"D": "subject", "P": "before", "C": "clause"},
    "before": {"D": "place before"},  # above the hill, the river sings
    "place before": {"A": "place before", "N": "placed"},
    "placed": {"D": "subject"},
    "clause": {"D": "subject"},
    "subject": {"A": "subject", "N": "noun"},
    "noun": {"P": "of noun", "I": "verb", "T": "object", "C": "clause"},
    "of noun": {"D": "subject"},
    "verb": {"B": "adverb", "P": "object", "C": "clause"},
    "adverb": {"P": "object", "C": "clause"},
    "object": {"D": "last"},
    "last": {"A": "last", "N": "last noun"},
    "last noun": {"P": "object", "C": "clause"},
}
BEGUN = "begun"
# where a line goes on after a word that is out of place
_AFTER_MISTAKE = {part: after for ways in _ORDER.values() for part, after in ways.items()}


@dataclass(frozen=True)
class Word:
    """What the lexicon says of a word.

    Attributes:
        part: of speech, a capital letter.
        stress: a character a syllable: 1 stressed, 0 not, x either.
        rhyme: its rhyme; "": it cannot end a line.
        content: it may stand in a poem once only.
    """

    part: str
    stress: str
    rhyme: str
    content: bool

    def fits(self, syllable: int) -> list[bool]:
        """Whether each syllable is stressed as the metre wants it, if the word begins with ``syllable``."""
        return [stress in ("x", "01"[i % 2]) for i, stress in enumerate(self.stress, syllable)]


def _words() -> Iterator[tuple[str, Word]]:
    for line in (_LEXICON + _RHYMING).split("\n"):
        rhyme = kind = ""
        for entry in line.split():
            if entry[0].isupper():
                kind = entry
            elif not kind:
                rhyme = entry
            else:
                yield entry, Word(kind[0], kind[1:], rhyme, kind[0] not in "DPC")


WORDS = dict(_words())
RHYMES = sorted({word.rhyme for word in WORDS.values()} - {""})
# words by part of speech and stress (rhyme ""), and those that end a line by their rhyme, too
_GROUPS: dict[tuple[str, str, str], list[str]] = defaultdict(list)
for _spelt, _word in WORDS.items():
    for _rhyme in dict.fromkeys(("", _word.rhyme)):
        _GROUPS[_word.part, _word.stress, _rhyme].append(_spelt)


def next_state(state: str, part: str) -> tuple[str, bool]:
    """The state of a line after a word of that part of speech, and whether the word was in place."""
    after = _ORDER.get(state, {}).get(part)
    return (_AFTER_MISTAKE[part], False) if after is None else (after, True)


Ways = dict[tuple[str, int], list[tuple[list[str], str, int]]]
"""(state, syllables so far) -> [(words that lead to a whole line, state after them, syllables then)]."""


@cache
def _ways(rhyme: str) -> Ways:
    """How lines that end in ``rhyme`` go on."""
    ways: Ways = defaultdict(list)
    for syllables in reversed(range(SYLLABLES)):
        for (part, stress, ending), words in _GROUPS.items():
            end = syllables + len(stress)
            if ending != (rhyme if end == SYLLABLES else "") or not all(WORDS[words[0]].fits(syllables)):
                continue
            for state, order in _ORDER.items():
                if part in order and (end == SYLLABLES or (order[part], end) in ways):
                    ways[state, syllables].append((words, order[part], end))
    return dict(ways)


def line(rng: np.random.Generator, rhyme: str) -> list[str]:
    """The words of a line that ends in ``rhyme``."""
    ways, state, syllables, words = _ways(rhyme), BEGUN, 0, []
    while syllables < SYLLABLES:
        choices, state, syllables = pick(rng, ways[state, syllables])
        words.append(pick(rng, choices))
    return words
