"""Classification: the topic of a text."""

from __future__ import annotations

from typing import Any

import numpy as np

from textgym.episode import Episode
from textgym.metrics import ExactMatch
from textgym.tasks.generated import pick
from textgym.tasks.labels import LabelSequence, LabelTask
from textgym.tokenizers import make_vocabulary

TOPICS = {
    "sport": "match goal referee stadium coach penalty marathon racket trophy league".split(),
    "music": "concert violin melody orchestra drummer chorus album pianist rhythm opera".split(),
    "food": "recipe oven butter soup dessert flour kitchen pepper bakery salad".split(),
    "weather": "storm forecast cloud thunder breeze rainfall blizzard drought humidity frost".split(),
    "travel": "passport airport luggage ferry hostel visa itinerary souvenir tourist timetable".split(),
    "money": "bank loan invoice salary mortgage dividend currency auditor tax wallet".split(),
}
# two sentences of the first kind and one of the second have five nouns
TEMPLATES = (
    "she spoke about the {} and the {} .",
    "we had to choose between the {} and the {} .",
    "he wrote that the {} mattered more than the {} .",
    "first there was the {} , then the {} .",
    "nobody had expected the {} or the {} .",
)
LAST_TEMPLATES = (
    "all of it began with the {} .",
    "what we remember is the {} .",
    "in the end only the {} was left .",
)
_WORDS, _CHARACTERS = 31, 170  # of the longest text, at most
_LONGEST_LABEL = 7  # characters
_TRAINING_TEXTS = 300  # that a vocabulary is trained on


class Classification(LabelTask):
    """Name the topic of a text.

    ## Description
    A text has five nouns, each of one of six topics; three are of the text's own topic, the others of one or two more.
    No single word decides: the topic of the first noun is that of the text in 59 of 100. The label is one token, so
    that an episode is one choice: a contextual bandit.

    ## Prompt and reference
    Three sentences of fixed forms with nouns in them, words and punctuation between spaces; the reference is "sport",
    "music", "food", "weather", "travel" or "money", each as often. 8 in 10 prompts are train, 1 validation, 1 test.
    `"she spoke about the album and the storm . first there was the frost , then the racket . all of it began with the
    humidity ."` -> `"weather"`.

    ## Action space
    `Discrete(V)`: the tokens of the vocabulary, here all words, the labels among them, `<unk>` (never legal, which
    turns the mask on) and EOS, V = 105. With `mask="task"` the labels are legal, then EOS; in other vocabularies every
    token that may lead there.

    ## Observation space
    `Box(0, V, (prompt_length + budget,), int32)`: the prompt, right-aligned in `prompt_length` columns (31 words), then
    the tokens written; PAD = V in empty columns.

    ## Rewards
    Default: `delta` of the true score, 1 for the label and 0 for all else (:class:`~textgym.metrics.ExactMatch`). With
    `tokenizer="character"`, `reward="delta:character_match"` pays its letters, too.

    On the test split: random 0.00, with `mask="task"` 0.18; always "sport" 0.17; the prompt itself 0.00; n-grams of
    labels, blind to the prompt, 0.13 (with `mask="task"` 0.18).

    ## Starting state
    A text of the split; nothing written.

    ## Episode end
    EOS, or the budget is spent (default: one word and EOS).

    ## Arguments
    - `split="train"`, `tokenizer="word"`, `budget=None` (tokens, EOS included), `lossy=False`: as for every task.

    Raises `ValueError`: an argument out of its range.

    ## Version history
    - v0: first version.
    """

    metric = ExactMatch()

    def __init__(self, *, split="train", tokenizer: Any = "word", budget: int | None = None, lossy: bool = False):
        self.grammar = LabelSequence(tuple(TOPICS))
        common = " ".join(
            [*TEMPLATES, *LAST_TEMPLATES, *TOPICS, *(noun for nouns in TOPICS.values() for noun in nouns)]
        )
        common = common.replace("{}", "")
        alphabet = "".join(sorted(set(common)))
        vocabulary = make_vocabulary(tokenizer, lambda: [common, *self._training_texts(alphabet)])
        sizes = (_WORDS, 1) if vocabulary.kind == "word" else (_CHARACTERS, _LONGEST_LABEL)
        super().__init__(alphabet, *sizes, split=split, tokenizer=vocabulary, budget=budget, lossy=lossy)

    def generate(self, rng):
        topics = tuple(TOPICS)
        topic = pick(rng, topics)
        others = [name for name in topics if name != topic]
        nouns: list[str] = []
        for about in (topic, topic, topic, pick(rng, others), pick(rng, others)):
            noun = pick(rng, TOPICS[about])
            while noun in nouns:
                noun = pick(rng, TOPICS[about])
            nouns.append(noun)
        nouns.sort(key=lambda _: rng.random())
        sentences = pick(rng, TEMPLATES), pick(rng, TEMPLATES), pick(rng, LAST_TEMPLATES)
        return Episode(" ".join(sentences).format(*nouns), (topic,))

    def count(self, prompt):
        return 1

    def _training_texts(self, alphabet):
        """Texts of the train split, and their topics."""
        rng, texts = np.random.default_rng(0), []
        for _ in range(_TRAINING_TEXTS):
            episode = self.generate(rng)
            if self._split_of(episode.prompt) == "train":
                texts += [episode.prompt, *episode.references]
        return texts
