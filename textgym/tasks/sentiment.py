"""Sentiment: the rest of a review, so that it turns out positive or negative as a whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from textgym.episode import Episode
from textgym.errors import one_of
from textgym.metrics import Metric, Progress
from textgym.metrics.fluency import Fluency
from textgym.metrics.units import UNITS
from textgym.ngram import NGramModel
from textgym.tasks.generated import GeneratedTask
from textgym.tasks.reviews import STOP, polarity_of, review, words
from textgym.tokenizers import make_vocabulary

POLARITIES = {"negative": -1, "positive": 1}
_PROMPT_WORDS, _TEXT_WORDS, _CHARACTERS = 21, 22, 128  # at most, in the prompt, in the rest, in either
_REVIEWS, _OTHERS = 1000, 500  # that the n-gram model is trained on, and that say what is fluent
_TOKENIZED = 500  # reviews that a vocabulary is trained on


class ReviewScore(Metric):
    """Does a text make its review positive (or negative) in words that a review would use?

    verdict x share x fluency, in [0, 1]; 0 of an empty text.

    * verdict: 1 if, of the sentences of prompt and text, more praise than blame (``polarity`` "negative": the other way
      round), else 0, by the grammar they were written with (:func:`~textgym.tasks.reviews.polarity_of`).
    * share: that of the text's words that stand in sentences of the grammar. A sentence ends with a full stop; the
      text's first words complete the prompt's last sentence. A sentence that stood before in the review has no
      polarity, and is none of the grammar's.
    * fluency: min(1, f(text) / f_0), with f the geometric mean of the probabilities of the text's words after the
      prompt, under an n-gram model (:class:`~textgym.ngram.NGramModel`: trigrams of words, Kneser-Ney, of 1,000 reviews
      of the train split). Of 500 other reviews 95 in 100 have a larger f than f_0; where a reference of the episode has
      a smaller one, that is f_0. So every reference scores 1, and what no review says scores less.

    Args:
        polarity: "positive" or "negative".

    Raises:
        ValueError: another polarity.
    """

    name = "review_score"

    def __init__(self, polarity: str = "positive"):
        self.sign = POLARITIES[one_of("polarity", polarity, POLARITIES)]

    def start(self, episode):
        return _Review(self, episode)


class _Written(NamedTuple):
    """What is known of a review's words up to some place."""

    praise: int = 0  # sentences that praise less those that blame
    sentences: tuple[str, ...] = ()
    unfinished: tuple[str, ...] = ()  # the words since the last full stop,
    own: int = 0  # and how many of them the text's are
    accepted: int = 0  # the text's words in sentences of the grammar
    total: int = 0  # all of the text's words,
    log_p: float = 0.0  # and the logarithm of their probability
    context: tuple[int, ...] = ()  # ids of the last words


class _Review(Progress):
    def __init__(self, metric: ReviewScore, episode: Episode):
        self.metric = metric
        self.episode = episode
        self.words = UNITS["word"]()
        self.settled = _begun(episode.prompt)

    def push(self, piece, provisional=""):
        settled, unsettled = self.words.push(piece, provisional)
        if settled:
            self.settled = _after(self.settled, settled)
        review = _after(self.settled, unsettled) if unsettled else self.settled
        if review.praise * self.metric.sign <= 0 or not review.total:
            return 0.0
        return review.accepted / review.total * self._fluency(math.exp(review.log_p / review.total))

    def _fluency(self, fluency: float) -> float:
        if fluency >= (enough := _fluent()):
            return 1.0
        prompt, references = self.episode.prompt, filter(str.strip, self.episode.references)
        return min(1.0, fluency / min([enough, *(_fluency_of(prompt, reference) for reference in references)]))


def _begun(prompt: str) -> _Written:
    """A review of which the text is still empty."""
    return _after(_Written(), prompt.split())._replace(own=0, accepted=0, total=0, log_p=0.0)


def _after(review: _Written, new: Sequence[str]) -> _Written:
    """``review`` with ``new`` words of the text."""
    ids, model = _language()
    praise, sentences, unfinished, own, accepted, total, log_p, context = review
    for word in new:
        token = ids.get(word, len(ids))
        log_p += model.log_prob(context, token)
        context = (*context, token)[1 - model.order :]
        total, own = total + 1, own + 1
        if word != STOP:
            unfinished = (*unfinished, word)
            continue
        sentence = " ".join(unfinished)
        polarity = None if sentence in sentences else polarity_of(sentence)
        if polarity is not None:
            praise, accepted, sentences = praise + polarity, accepted + own, (*sentences, sentence)
        unfinished, own = (), 0
    return _Written(praise, sentences, unfinished, own, accepted, total, log_p, context)


def _fluency_of(prompt: str, text: str) -> float:
    """The geometric mean of the probabilities of the words of ``text``, which has some, after ``prompt``."""
    review = _after(_begun(prompt), text.split())
    return math.exp(review.log_p / review.total)


def _reviews(n: int) -> list[tuple[str, str]]:
    """The first n of a fixed sequence of reviews of the train split, every second one positive."""
    rng, polarities = np.random.default_rng(0), tuple(POLARITIES)
    return [_draw(rng, polarities[i % 2], "train") for i in range(n)]


@lru_cache(maxsize=1)
def _language() -> tuple[dict[str, int], NGramModel]:
    """word -> id, and the model of these ids; the largest is that of unknown words."""
    fluency = Fluency(["".join(parts) for parts in _reviews(_REVIEWS)], order=3, unit="word")
    return fluency.ids, fluency.model


@lru_cache(maxsize=1)
def _fluent() -> float:
    """What 95 in 100 continuations are more fluent than."""
    return float(np.quantile([_fluency_of(*parts) for parts in _reviews(_REVIEWS + _OTHERS)[_REVIEWS:]], 0.05))


def _draw(rng: np.random.Generator, polarity: str, split: str) -> tuple[str, str]:
    """Beginning and rest of a review of a split."""
    while True:
        beginning, rest = review(POLARITIES[polarity], rng)
        if Sentiment._split_of(beginning) == split:
            return beginning, rest


class Sentiment(GeneratedTask):
    """Finish a review so that it turns out positive, or negative.

    ## Description
    A classifier says how positive the review is so far, and can be fooled; a grammar says whether more of its
    sentences praise than blame, and cannot. Reviews of films, hotels and restaurants are written by that grammar
    (:mod:`~textgym.tasks.reviews`), with negation ("was anything but dull", "i did not hate the pool"), contrast
    ("although the soup was stale , i loved the wine"), expectations ("i expected more of the plot") and hearsay
    ("people say the bed is great"): naive Bayes tells only 77 in 100 from their words.

    ## Prompt and reference
    The prompt is the first sentence of a review and the beginning of the second; the reference is the rest, with a
    third sentence. The first sentence does not help: it is neutral or, one in four, says the opposite, so that both
    others have to be positive. Words are lower case, and punctuation is a word:
    `"people say the room is cosy . the hotel was "` -> `"anything but shabby . everybody loved the bed ."`. The prompt
    ends with a space: prompt and text together are the review. 8 in 10 prompts are train, 1 validation, 1 test.

    ## Action space
    `Discrete(V)`: the tokens of the vocabulary, here the words of the grammar, `<unk>` (never legal, which turns the
    mask on) and EOS, V = 123. `tokenizer="byte_bpe"` suits Transformers.

    ## Observation space
    `Box(0, V, (prompt_length + budget,), int32)`: the prompt, right-aligned in `prompt_length` columns (21 words), then
    the tokens written; PAD = V in empty columns.

    ## Rewards
    Default: `delta:naive_bayes`, the probability of the polarity wished for that a naive Bayes classifier
    (:class:`~textgym.metrics.NaiveBayes`), trained on 2,000 reviews of the train split, gives to prompt and text so
    far, as it changes. Any classifier of `transformers` on disk takes its place: `{"name": "delta", "metric": {"name":
    "classifier_probability", "model": "...", "label": "POSITIVE", "with_prompt": True}}`.

    The true score is in [0, 1] (:class:`ReviewScore`): whether more sentences of the review praise than blame, times
    the share of the text's words that stand in sentences of the grammar, times the fluency of the text under an n-gram
    model as compared with that of references, at most 1. Every reference scores 1; so does every other rest of a review
    that praises, nearly always. `reward="delta"` pays it.

    On the test split, naive Bayes / true score: references 0.65 / 1, "great great great great" 0.75 / 0, its favourite
    word ten times 1.00 / 0, the rest of a training review 0.64 / 0.33 (its first sentence does not fit the prompt's
    last), references with "great great great great" behind them 0.84 / 0.36, references with their words in disorder
    0.65 / 0.00, nothing 0.50 / 0. Random words score 0, so does the prompt again; n-grams blind to the prompt 0.00.
    PPO without a warm start (`agents.sb3.train`, one seed) is paid 1.00 after 10,240 tokens, and scores 0.

    ## Starting state
    A prompt of the split; no text.

    ## Episode end
    EOS, or the budget is spent (default 23 words, EOS included).

    ## Arguments
    - `polarity="positive"`: what the review is to be, "positive" or "negative"; `episode.meta["label"]`.
    - `split="train"`, `tokenizer="word"`, `budget=None` (tokens, EOS included), `lossy=False`: as for every task.

    Raises `ValueError`: an argument out of its range.

    ## Version history
    - v0: first version.
    """

    def __init__(
        self,
        polarity: str = "positive",
        *,
        split="train",
        tokenizer: Any = "word",
        budget: int | None = None,
        lossy: bool = False,
    ):
        self.metric = ReviewScore(polarity)
        self.polarity = polarity
        alphabet = "".join(sorted(set(" ".join(words()))))
        vocabulary = make_vocabulary(tokenizer, lambda: self._training_texts(alphabet))
        sizes = (_PROMPT_WORDS, _TEXT_WORDS) if vocabulary.kind == "word" else (_CHARACTERS, _CHARACTERS)
        super().__init__(alphabet, *sizes, split=split, tokenizer=vocabulary, budget=budget, lossy=lossy)

    def generate(self, rng):
        prompt, reference = review(POLARITIES[self.polarity], rng)
        return Episode(prompt, (reference,), {"label": self.polarity})

    def from_prompt(self, prompt, references=()):
        """The episode of a prompt that a user gives, which is made to end with a space."""
        return Episode(f"{prompt.rstrip()} ".lstrip(), references, {"label": self.polarity})

    def labelled_text(self, rng: np.random.Generator) -> tuple[str, str]:
        """Draw a whole review of the split and its label, "positive" or "negative", for classifiers to learn from."""
        polarity = "positive" if rng.random() < 0.5 else "negative"
        return "".join(_draw(rng, polarity, self.split)), polarity

    def _training_texts(self, alphabet):
        return ["".join(parts) for parts in _reviews(_TOKENIZED)] + words()
