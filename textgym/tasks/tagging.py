"""Entity tagging: which words of a sentence are people, places and times."""

from __future__ import annotations

from typing import Any

import numpy as np

from textgym.episode import Episode
from textgym.errors import one_of
from textgym.metrics import LabelF1
from textgym.tasks.entities import OUTSIDE, Chinese, English
from textgym.tasks.labels import LabelSequence, LabelTask
from textgym.tokenizers import make_vocabulary

LANGUAGES = {"english": English(), "chinese": Chinese()}
_TRAINING_SENTENCES = 500  # that a vocabulary is trained on


class EntityTagging(LabelTask):
    """Say of each word of a sentence whether it is of a person's name, a place, a time, or neither.

    ## Description
    One label a word, in the order of the words, so that the text is as long as the sentence. What stands around a name
    decides what it is; to know names does not help: those of the validation and the test split (given names and towns;
    in English family names, too) are in no training sentence, some names are of people and of places ("Florence wrote
    to Omar", "the road to Florence"), and "April" is a month as well. An agent that gives each word the label it had
    most often in training scores 0.87 there and, with the best guess for unknown words, 0.62 on the test split
    (Chinese 0.62 and 0.43); one that counts the label before and two words after it as well, 0.99 (0.71).

    ## Prompt and reference
    English (`language="english"`): words and punctuation between spaces, with the labels `PER`, `LOC`, `TIME` and `O`.
    `"on Monday evening Anna Berg will fly to New Lima ."` -> `"O TIME TIME PER PER O O O LOC LOC O"`. Chinese
    (`language="chinese"`): a label is one letter, one a character, nothing between them: `"她中午给陈子轩唱歌。"` ->
    `"OTTOPPPOOO"`. Each sentence has one to four entities, and neighbours have different labels.

    ## Action space
    `Discrete(V)`: the tokens of the vocabulary. English: the words of the train split, with half of its names, so that
    `<unk>`, as which all other names are seen, is met in training; V = 123. Chinese: characters, V = 191. With
    `mask="task"` the labels are legal until there are as many as words, then EOS; in other vocabularies every token
    that may lead there.

    ## Observation space
    `Box(0, V, (prompt_length + budget,), int32)`: the sentence, right-aligned in `prompt_length` columns (English 15
    words, Chinese 20 characters), then the tokens written; PAD = V in empty columns.

    ## Rewards
    Default: `delta` of the true score, the F1 of the entities (:class:`~textgym.metrics.LabelF1`), in [0, 1]: an entity
    is right where its beginning, its end and its label are. `O` pays nothing; missing ones at the end cost nothing.

    On the test split: random 0.00, with `mask="task"` 0.07 (Chinese 0.01); only `O`, or only one other label, 0.00; the
    sentence itself 0.00; n-grams of labels, blind to the sentence, 0.05 (0.02).

    ## Starting state
    A sentence of the split; no text.

    ## Episode end
    EOS, or the budget is spent (default one more than the words of the longest sentence).

    ## Arguments
    - `language="english"`: "english" or "chinese".
    - `tokenizer=None`: English "word", Chinese "character"; else as for every task.
    - `split="train"`, `budget=None` (tokens, EOS included), `lossy=False`: as for every task.

    Raises `ValueError`: an argument out of its range.

    ## Version history
    - v0: first version.
    """

    def __init__(
        self,
        language: str = "english",
        *,
        split="train",
        tokenizer: Any = None,
        budget: int | None = None,
        lossy: bool = False,
    ):
        self.language = one_of("language", language, LANGUAGES)
        sentences = self.sentences = LANGUAGES[language]
        self.metric = LabelF1("word" if sentences.separator else "character")
        self.grammar = LabelSequence((OUTSIDE, *sentences.labels.values()), sentences.separator)
        names = [name for of_split in sentences.names.values() for kind in of_split.values() for name in kind]
        alphabet = "".join(sorted(set("".join([" ", *names, *sentences.common_texts()]))))
        if tokenizer is None:
            tokenizer = "word" if sentences.separator else "character"
        kind = tokenizer.get("name") if isinstance(tokenizer, dict) else tokenizer
        # characters are a matter of the language, not of the training sentences
        vocabulary = make_vocabulary(tokenizer, lambda: [alphabet] if kind == "character" else self._training_texts())
        prompt_length, text_length = sentences.longest.get(vocabulary.kind, sentences.longest[""])
        super().__init__(
            alphabet, prompt_length, text_length, split=split, tokenizer=vocabulary, budget=budget, lossy=lossy
        )

    def generate(self, rng):
        prompt, reference = self.sentences.write(self.sentences.names[self.split], rng)
        return Episode(prompt, (reference,))

    def count(self, prompt):
        return len(self.sentences.split(prompt))

    def _split_of(self, prompt):
        return self.split  # whose names alone :meth:`generate` takes

    def _training_texts(self):
        """Sentences of the train split with half of its names: what it means not to know a name can be learnt."""
        known = {kind: names[::2] for kind, names in self.sentences.names["train"].items()}
        rng = np.random.default_rng(0)
        written = [self.sentences.write(known, rng) for _ in range(_TRAINING_SENTENCES)]
        return [*self.sentences.common_texts(), *(text for both in written for text in both)]
