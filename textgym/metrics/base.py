"""HOW GOOD a text is: the two kinds of metric, and the loop that runs one kind as the other."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from textgym.episode import Episode, Step
from textgym.errors import RewardError, load_object, said
from textgym.metrics import compiled
from textgym.replay import replay
from textgym.running import Recipe, RunningState, described

if TYPE_CHECKING:
    from textgym.metrics.compiled.rows import CompiledRows


class Progress(ABC):
    """A metric followed along one text."""

    @abstractmethod
    def push(self, piece: str, provisional: str = "") -> float:
        """The metric of the WHOLE text so far, at the cost of the new piece only.

        Args:
            piece: what the committed text grew by; may be empty.
            provisional: text that stands after the committed one now and that the next call replaces.

        Returns:
            The value on ``committed + provisional``.
        """


class BatchProgress(RunningState, ABC):
    """A metric followed along n rows.

    Attributes:
        takes_scalars: :meth:`value` is also right for a step of one row that holds scalars.
    """

    takes_scalars: bool = False

    @abstractmethod
    def reset(self, rows: np.ndarray, episodes: Sequence[Episode]) -> None:
        """Begin new texts in ``rows``."""

    @abstractmethod
    def value(self, step: Step) -> np.ndarray:
        """The metric of the whole text so far of each row of the step, float64 (k,).

        Rows whose token was illegal may get any number; where lower is better, that of the text without it.
        """


class BatchMetric(Recipe, ABC):
    """A metric that is computed for all rows in one call (array metrics, metrics that need a model).

    Attributes:
        name: what it is called in commands, infos and reward terms.
        needs_text: whether :meth:`start_rows`'s progress reads ``pieces`` and ``provisional``.
        worst: what an illegal end counts as, whatever was written before it; where lower is better, at least that.
        lower_is_better: an error rate, or a distance.
        only_at_end: it cannot be followed token by token; ``start_rows`` raises.
        needs_references: it compares with references: without them its value (0, of an error rate 1) says nothing.
    """

    name: str = ""
    needs_text: bool = False
    worst: float = 0.0
    lower_is_better: bool = False
    only_at_end: bool = False
    needs_references: bool = False

    @abstractmethod
    def start_rows(self, n: int, vocabulary) -> BatchProgress:
        """Follow n rows of texts written in the tokens of ``vocabulary``."""

    def score_rows(self, step: Step) -> np.ndarray:
        """The metric of finished texts, float64 (k,), out of ``step.tokens``, ``lengths`` and ``texts``.

        By default the tokens are followed once more, one after the other.
        """
        k, episodes, lengths = len(step.rows), step.episodes, np.atleast_1d(step.lengths)
        progress, values = self.start_rows(k, step.vocabulary), np.zeros(k)
        progress.reset(np.arange(k), episodes)
        tokens = step.tokens[:, : lengths.max(initial=0)]
        for part in replay(episodes, tokens, lengths, step.vocabulary, self.needs_text):
            values[part.rows] = progress.value(part)
        return values

    def resolve(self, task) -> BatchMetric:
        """This metric with what it has to learn from ``task`` learnt."""
        return self

    def at_end(self, step: Step) -> np.ndarray:
        """What the rows of ``step``, which end, are worth, float64 (k,): :meth:`score_rows`, ``worst`` after an
        illegal token.

        Raises:
            RewardError: another number of values than rows.
        """
        values = np.asarray(self.score_rows(step), np.float64)
        if values.shape != step.rows.shape:
            raise RewardError(f"metric {self.name!r} gave shape {values.shape} for {len(step.rows)} rows")
        return values if step.illegal is None else np.where(step.illegal, self.after_illegal(values), values)

    def after_illegal(self, values: np.ndarray) -> np.ndarray | float:
        """What an illegal end counts as, after texts that are worth ``values`` (k,)."""
        return np.maximum(self.worst, values) if self.lower_is_better else self.worst

    def __repr__(self) -> str:
        return described(self)


class Metric(BatchMetric):
    """A metric of texts. Subclasses give :meth:`start`; its values are the reference library's at every prefix."""

    needs_text = True

    @abstractmethod
    def start(self, episode: Episode) -> Progress:
        """Begin a text that answers ``episode``."""

    def score(self, text: str, episode: Episode) -> float:
        """The metric of a finished text."""
        return self.start(episode).push(text)

    def compiled_rows(self, n: int) -> CompiledRows | None:
        """n rows followed by compiled code, which is asked for where it pays; None: there is none for this metric."""
        return None

    def score_all(self, texts: Sequence[str], episodes: Sequence[Episode]) -> list[float]:
        """:meth:`score` of each text."""
        if rows := compiled.pays_for(texts) and self.compiled_rows(len(texts)):
            return rows.score_all(texts, episodes)
        return list(map(float, map(self.score, texts, episodes)))

    def score_rows(self, step):
        texts, episodes = step.texts, step.episodes
        try:
            return np.array(self.score_all(texts, episodes), np.float64)
        except Exception:
            for row, text, episode in zip(step.rows.tolist(), texts, episodes, strict=True):
                try:
                    float(self.score(text, episode))
                except Exception as error:
                    raise self._failed(error, row, episode, f"of the text {text!r}") from error
            raise  # of one text alone it is defined

    def _failed(self, error: Exception, row: int, episode: Episode, where: str) -> RewardError:
        bare = "" if episode.references else " (which has no references)"
        return RewardError(
            f"metric {self.name!r} raised {said(error)} in row {row}, prompt {episode.prompt!r}{bare}, {where}"
        )

    def start_rows(self, n: int, vocabulary=None) -> BatchProgress:
        return (compiled.pays(n) and self.compiled_rows(n)) or _RowByRow(self, n)


class _RowByRow(BatchProgress):
    takes_scalars = True

    not_saved = frozenset({"metric"})

    def __init__(self, metric: Metric, n: int):
        self.metric = metric
        self.progress: list[Progress | None] = [None] * n

    def reset(self, rows, episodes):
        start = self.metric.start
        for row, episode in zip(rows.tolist(), episodes, strict=True):
            try:
                self.progress[row] = start(episode)
            except Exception as error:
                raise self.metric._failed(error, row, episode, "at its start") from error

    def set_state(self, saved):
        if "texts" not in saved:
            return super().set_state(saved)
        for row, (episode, text) in enumerate(zip(saved["episodes"], saved["texts"], strict=True)):
            if episode is not None:  # saved by compiled rows
                self.progress[row] = self.metric.start(episode)
                self.progress[row].push(text)

    def value(self, step):
        progress, pieces, provisional = self.progress, step.pieces, step.provisional
        i = 0
        try:
            if step.scalar:
                return float(progress[0].push(pieces[0], provisional[0]))
            values = np.empty(len(step.rows))
            for i, row in enumerate(step.rows.tolist()):
                values[i] = progress[row].push(pieces[i], provisional[i])
            return values
        except Exception as error:
            where = f"at the piece {pieces[i]!r}"
            raise self.metric._failed(error, int(step.rows[i]), step.episodes[i], where) from error


class FunctionMetric(Metric):
    """A plain function ``f(text, references) -> float`` as a metric.

    It is called on the whole text at every token, so its cost per token grows with the text.
    """

    def __init__(self, function: Callable[[str, tuple[str, ...]], float], name: str | None = None):
        self.function = function
        self.name = name or getattr(function, "__name__", type(function).__name__)

    def start(self, episode):
        return WholeText(self, episode)

    def score(self, text, episode):
        return float(self.function(text, episode.references))

    def __call__(self, text: str, references: Sequence[str]) -> float:
        return self.function(text, tuple(references))

    def __reduce_ex__(self, protocol):
        # @metric has put this object under the function's name: pickle that name, as functions do
        module, name = getattr(self.function, "__module__", None), getattr(self.function, "__name__", "")
        if getattr(sys.modules.get(module), name, None) is self:
            return load_object, (f"{module}:{name}",)
        return super().__reduce_ex__(protocol)


class WholeText(Progress):
    """For metrics with a ``score`` of their own: call it on the whole text at every push."""

    def __init__(self, metric: Metric, episode: Episode):
        self.metric = metric
        self.episode = episode
        self.text = ""

    def push(self, piece, provisional=""):
        self.text += piece
        return self.metric.score(self.text + provisional, self.episode)
