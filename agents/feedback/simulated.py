"""An annotator that knows the true score: what a reward model could learn at best is then known, too."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
from tqdm import tqdm

from agents.feedback.choosing import Disagreement, Item, next_item
from agents.feedback.judgements import RATINGS, Answer, Comparison, Judgement, Marks, Rating, Span, Text
from agents.feedback.store import Store
from textgym.errors import one_of, whole_number
from textgym.rewards.base import number


@dataclass(frozen=True)
class SimulatedAnnotator:
    """Prefers by the Bradley-Terry model on the true score, and errs on top of that.

    The first of two texts with scores s and t is preferred with probability e + (1 - 2 e) / (1 + exp(-(s - t) / T)).
    Texts whose scores differ by at most ``tie`` are answered with a tie. A rating is that fifth of [0, 1] in which the
    score lies; with probability e it is one of the other four instead, each as likely. Asked for marks, it marks every
    word: good if it is one of those that the text and the reference most like it have in the same order, else bad; with
    probability e the other way round.

    The answer to an item depends on the seed and the texts alone, whichever is shown first and whenever it is asked.

    Attributes:
        error: e, from 0 to 0.5: the probability that the preference is turned round.
        temperature: T, in units of the score; 0: the better text, but for the errors.
        tie: the largest difference that is a tie.
        seed: of the answers.
        references: prompt -> right texts, to mark words by.
        speed: judgements a minute; None: at once. It changes no answer, and so is not in its name.
    """

    error: float = 0.1
    temperature: float = 0.0
    tie: float = 0.0
    seed: int = 0
    references: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False, hash=False)
    speed: float | None = None

    def __post_init__(self):
        if not 0 <= self.error <= 0.5:
            raise ValueError(f"error must be from 0 to 0.5, got {self.error!r}")
        for name in ("temperature", "tie"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)!r}")
        whole_number("seed", self.seed, 0)
        if self.speed is not None:
            number("speed", self.speed, above=0.0)

    @property
    def name(self) -> str:
        """What its judgements are kept under."""
        return f"simulated error={self.error:g} temperature={self.temperature:g} tie={self.tie:g} seed={self.seed}"

    @staticmethod
    def is_name(name: str) -> bool:
        """Whether an annotator's name is that of a simulated one."""
        return name.startswith("simulated error=")

    def preference(self, difference: np.ndarray) -> np.ndarray:
        """The probability of preferring the first where the scores differ by s - t: float64, of the same shape.

        The Bayes limit, the accuracy of who knows the scores, is the mean of max(p, 1 - p) over what is no tie.
        """
        difference = np.asarray(difference, dtype=float)
        if self.temperature == 0:
            better = np.where(difference == 0, 0.5, difference > 0)
        else:
            better = 0.5 * (1 + np.tanh(0.5 * difference / self.temperature))  # the logistic, without overflow
        return self.error + (1 - 2 * self.error) * better

    def answer(self, item: Item) -> Answer:
        """The answer to an item.

        Raises:
            ValueError: a text without a score, or, to be marked, without a reference.
        """
        if item.kind == "marks":
            return self._marks(item.texts[0])
        low, high = item.texts[0], item.texts[-1]
        if low.digest > high.digest:
            low, high = high, low
        if low.score is None or high.score is None:
            raise ValueError(f"text {(low if low.score is None else high).id} has no true score to judge by")
        chance, other = self._chances(f"{item.kind} {low.digest} {high.digest}")
        if item.kind == "rating":
            rating = min(len(RATINGS), 1 + int(len(RATINGS) * min(1.0, max(0.0, low.score))))
            others = [each for each in RATINGS if each != rating]
            return Rating(low.id, others[int(len(others) * other)] if chance < self.error else rating)
        difference = low.score - high.score
        if abs(difference) <= self.tie:
            choice = "tie"
        else:
            choice = "a" if chance < self.preference(difference) else "b"
        return Comparison(low.id, high.id, choice, "a" if low == item.texts[0] else "b")

    def _marks(self, text: Text) -> Marks:
        references = self.references.get(text.prompt)
        if not references:
            raise ValueError(f"text {text.id} has no reference to mark its words by")
        words = list(re.finditer(r"\S+", text.text))
        written = [word.group() for word in words]
        compared = [SequenceMatcher(None, written, reference.split(), autojunk=False) for reference in references]
        blocks = max(compared, key=SequenceMatcher.ratio).get_matching_blocks()
        right = {i for block in blocks for i in range(block.a, block.a + block.size)}
        spans = []
        for i, word in enumerate(words):
            errs = self._chances(f"marks {text.digest} {i}")[0] < self.error
            spans.append(Span(*word.span(), "good" if (i in right) != errs else "bad"))
        return Marks(text.id, tuple(spans))

    def _chances(self, of: str) -> tuple[float, float]:
        """Two numbers in [0, 1) that look drawn, always the same for the same words."""
        digest = hashlib.sha256(f"{self.name} {of}".encode()).digest()
        first, second = ((int.from_bytes(digest[at : at + 8], "big") >> 11) / 2**53 for at in (0, 8))
        return first, second

    def annotate(
        self,
        store: Store,
        kind: str,
        count: int,
        disagreement: Disagreement | None = None,
        progress=lambda: None,
    ) -> int:
        """Judge until it has ``count`` judgements of a kind that stand, or nothing is left: how many it has.

        What it is asked next is drawn from the seed and from how many it has: interrupted and started again, it goes on
        as if it had not been. With a ``speed``, each takes its share of a minute, which is kept with it, or as long as
        finding the item and the answer takes, if that is longer. ``progress`` is called after each.
        """
        own = (
            "SELECT judgements FROM counts c JOIN annotators n ON n.id = c.annotator_id WHERE n.name = ? AND c.kind = ?"
        )
        done = sum(row[0] for row in store.query(own, (self.name, kind)))
        while done < count:
            began = time.monotonic()
            item = next_item(store, self.name, kind, disagreement, np.random.default_rng([self.seed, done]))
            if item is None:
                break
            answer = self.answer(item)
            digests = "-".join(sorted(text.digest for text in item.texts))
            submission = hashlib.sha256(f"{self.name} {kind} {digests}".encode()).hexdigest()
            seconds = None
            if self.speed is not None:
                time.sleep(max(0.0, 60 / self.speed - (time.monotonic() - began)))
                seconds = time.monotonic() - began
            store.submit_all([Judgement(answer, self.name, submission, seconds=seconds)])
            done += 1
            progress()
        return done


@dataclass
class SimulateArgs:
    """Judge by the true score with errors, as a stand-in for people."""

    store: Path
    """The file with the texts, which have scores."""
    kind: str = "comparison"
    """comparison or rating."""
    count: int = 500
    """How many judgements this annotator is to have in the end."""
    error: float = 0.1
    """Probability that a preference is turned round, or a rating another one: 0 to 0.5."""
    temperature: float = 0.0
    """Of the Bradley-Terry model, in units of the score; 0: the better text is preferred, but for the errors."""
    tie: float = 0.0
    """Scores that differ by at most this are a tie."""
    seed: int = 0
    """Seed of the answers."""
    speed: float | None = None
    """Judgements a minute; by default it judges at once."""
    progress: bool = True
    """Show a progress bar."""


def simulate(args: SimulateArgs) -> None:
    one_of("kind that can be simulated without references", args.kind, ("comparison", "rating"))
    whole_number("count", args.count, 1)
    annotator = SimulatedAnnotator(args.error, args.temperature, args.tie, args.seed, speed=args.speed)
    bar = tqdm(total=args.count, unit="judgement", disable=not args.progress)
    with bar, Store(args.store, create=False) as store:
        done = annotator.annotate(store, args.kind, args.count, progress=bar.update)
    print(f"{annotator.name!r} has {done:,} {args.kind}s" + (": there is nothing left" if done < args.count else ""))
