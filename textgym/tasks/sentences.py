"""A small English grammar with its lexicon: it makes simple sentences, and knows whether a text is one.

    the small girl quietly paints two white boats near the bridge today

Subject and verb agree in number; people and animals act on things or on each other, at places. No word stands for two
words of the lexicon, and none that may follow "a" begins with a vowel. No punctuation marks and no capitals.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from textgym.running import Recipe
from textgym.tasks.generated import pick

START = 0  # the state of an empty text

# noun:plural, verb:past where they are irregular; "+" doubles the last letter before -ed and -ing
_NOUNS = {
    "person": """girl boy farmer baker teacher doctor sailor king queen driver painter singer hunter guest friend
        soldier child:children woman:women man:men wolf:wolves dog cat horse bird monkey goat cow rabbit""",
    "thing": """box book letter bag chair table lamp hat coat cup basket key ring picture rope ladder drum boat cake
        potato knife:knives bottle blanket wheel""",
    "place": """park garden house kitchen market street school river bridge forest hill beach church library city
        village castle station""",
}
_VERBS = {
    "act on": """carry find:found buy:bought sell:sold hold:held drop+ paint clean hide:hid break:broke take:took
        bring:brought throw:threw push pull draw:drew move lose:lost wash repair""",
    "meet": """help meet:met follow watch call feed:fed teach:taught see:saw visit greet love know:knew lead:led chase
        thank""",
    "go": "walk run:ran+ march drive:drove hurry travel return",
    "do": "jump dance sing:sang sleep:slept wait work rest play laugh smile",
}
_OTHERS = {
    "person's": "young tall clever kind quiet brave lazy happy hungry tired small big",
    "thing's": "red green black white new heavy round dirty cheap broken small big",
    "manner": "slowly quickly quietly gladly carefully secretly",
    "the one": "a the this that my her his every",
    "the many": "the these those my her his two three many some",
    "be one": "is was",
    "be many": "are were",
    "can": "can will must",
    "near": "in near behind",
    "to": "to through past",
    "today": "today tonight",
}
_CONTENT = (*_NOUNS, *_VERBS, "person's", "thing's", "manner")  # classes whose words a task may ask for

# state: class of the next word > the state after it. {n}: one, and many; {v}: each kind of verb. "." may end here.
_GRAMMAR = """
    start:          the one > subject one, the many > subject many
    subject {n}:    person's > only subject {n}, person {n} > verb {n}
    only subject {n}: person {n} > verb {n}
    verb {n}:       manner > only verb {n}, {v} {n} > {v}, {v} past > {v}, be {n} > being, can > able
    only verb {n}:  {v} {n} > {v}, {v} past > {v}, be {n} > being, can > able
    being:          {v} ing > {v}
    able:           {v} base > {v}
    act on:         the one > thing one, the many > thing many
    thing {n}:      thing's > only thing {n}, thing {n} > end
    only thing {n}: thing {n} > end
    meet:           the one > met one, the many > met many
    met {n}:        person's > only met {n}, person {n} > end
    only met {n}:   person {n} > end
    go:             to > place, today > over, .
    do:             near > place, today > over, .
    end:            near > place, today > over, .
    place:          the one > place one, the many > place many
    place {n}:      place {n} > there
    there:          today > over, .
    over:           .
"""


class Network(Recipe):
    """The grammar as an automaton over words.

    Attributes:
        vocabulary: every word, in alphabetical order.
        lemmas: word -> the word it is a form of, for nouns, verbs, adjectives and adverbs of manner.
        following: state -> word -> the state after it. No such word: no sentence goes on like this.
        missing: state -> the fewest words that make it a sentence, 0 where it is one.
    """

    def __init__(self):
        self._classes = _classes()
        self._edges = _edges()
        self.vocabulary = sorted({word for words in self._classes.values() for word in words})
        content = [words for name, words in self._classes.items() if name.startswith(_CONTENT)]
        self.lemmas = {form: lemma for words in content for form, lemma in words.items()}
        self._make_deterministic()

    def generate(self, rng: np.random.Generator) -> list[str]:
        """The words of a sentence: where it can go on in several ways, each is as likely."""
        state, words = "start", []
        while True:
            name, state = pick(rng, self._edges[state])
            if name == ".":
                return words
            words.append(pick(rng, self._lists[name]))

    def _make_deterministic(self) -> None:
        """The subset construction: a state of the automaton is a set of states of the grammar."""
        self._lists = {name: list(words) for name, words in self._classes.items()}
        sets, numbers = [("start",)], {("start",): START}
        self.following: list[dict[str, int]] = []
        for states in sets:  # grows
            reached: dict[str, list[str]] = {}
            for state in states:
                for name, after in self._edges[state]:
                    for word in self._classes.get(name, ()):
                        reached.setdefault(word, []).append(after)
            after_word = {word: tuple(sorted(set(after))) for word, after in reached.items()}
            for after in after_word.values():
                if after not in numbers:
                    numbers[after] = len(sets)
                    sets.append(after)
            self.following.append({word: numbers[after] for word, after in after_word.items()})
        ends = [any((".", "") in self._edges[state] for state in states) for states in sets]
        self.missing = [0 if end else len(sets) for end in ends]
        for _ in sets:
            for state, following in enumerate(self.following):
                nearest = min((self.missing[after] for after in following.values()), default=len(sets))
                self.missing[state] = min(self.missing[state], 1 + nearest)


@lru_cache(maxsize=1)
def network() -> Network:
    """The grammar, made when it is first used."""
    return Network()


def _classes() -> dict[str, dict[str, str]]:
    """Class of words, such as "person many" -> form ("girls") -> the word it is a form of ("girl")."""
    classes = {name: {word: word for word in words.split()} for name, words in _OTHERS.items()}
    for kind, nouns in _NOUNS.items():
        classes[f"{kind} one"], classes[f"{kind} many"] = {}, {}
        for noun in nouns.split():
            word, _, plural = noun.partition(":")
            classes[f"{kind} one"][word] = classes[f"{kind} many"][plural or inflected(word, "s")] = word
    for kind, verbs in _VERBS.items():
        for verb in verbs.split():
            word, _, past = verb.rstrip("+").partition(":")
            doubled = word + word[-1] if verb[-1] == "+" else word
            forms = {"one": inflected(word, "s"), "many": word, "base": word}
            forms |= {"past": past or inflected(doubled, "ed"), "ing": inflected(doubled, "ing")}
            for form, spelt in forms.items():
                classes.setdefault(f"{kind} {form}", {})[spelt] = word
    return classes


def inflected(word: str, suffix: str) -> str:
    """A regular form of ``word``: with "s", "ed" or "ing"."""
    consonant_y = word[-1] == "y" and word[-2] not in "aeiou"
    if suffix == "s" and not consonant_y:
        return word + ("es" if word.endswith(("s", "x", "z", "ch", "sh", "o")) else "s")
    if consonant_y and suffix != "ing":
        return word[:-1] + {"s": "ies", "ed": "ied"}[suffix]
    return (word[:-1] if word[-1] == "e" and word[-2] != "e" else word) + suffix


def _edges() -> dict[str, list[tuple[str, str]]]:
    """State of the grammar -> (class of the next word, the state after it); (".", "") where a sentence may end."""
    edges: dict[str, list[tuple[str, str]]] = {}
    for line in _GRAMMAR.strip().splitlines():
        for n in ("one", "many") if "{n}" in line else ("",):
            state, _, ways = line.partition(":")
            edges[state.strip().format(n=n)] = list(_ways(ways, n))
    return edges


def _ways(line: str, n: str) -> Iterator[tuple[str, str]]:
    for way in line.split(", "):
        for v in _VERBS if "{v}" in way else ("",):
            name, _, after = way.strip().format(n=n, v=v).partition(" > ")
            yield name, after
