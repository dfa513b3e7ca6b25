"""Translation edit rate, of finished texts."""

from __future__ import annotations

from functools import lru_cache

from textgym.metrics.base import Metric


class TER(Metric):
    """Translation edit rate (Snover et al. 2006): sacrebleu's TER / 100, >= 0, lower is better.

    Insertions, deletions, substitutions and shifts of blocks of words, of the reference that needs fewest, over
    the mean length of the references in words; 1 without references.

    It is paid at the end of the episode (``-1.0 * Terminal("ter")``) and cannot be followed token by token:
    sacrebleu's search stays near the diagonal of text and reference, which turns with every word of the text, and its
    greedy search for shifts begins anew. Where a reward is wanted at every token, the word edit distance (``"wer"``),
    which is TER without shifts, stands in for it. Texts of some hundred words that have little in common with the
    reference take seconds.

    Args:
        normalized: tokenise punctuation and decode XML entities first.
        no_punct: leave punctuation out.
        asian_support: with ``normalized``, split Chinese and Japanese characters; with ``no_punct``, leave out their
            punctuation, too.
        case_sensitive: do not lower-case.

    Raises:
        ImportError: sacrebleu is not installed.
    """

    name = "ter"
    worst = 1.0
    lower_is_better = True
    needs_references = True
    only_at_end = True

    def __init__(
        self,
        normalized: bool = False,
        no_punct: bool = False,
        asian_support: bool = False,
        case_sensitive: bool = False,
    ):
        self.normalized, self.no_punct = bool(normalized), bool(no_punct)
        self.asian_support, self.case_sensitive = bool(asian_support), bool(case_sensitive)
        self.settings = (self.normalized, self.no_punct, self.asian_support, self.case_sensitive)
        _library(*self.settings)

    def score(self, text, episode):
        if not episode.references:
            return self.worst
        return _library(*self.settings).sentence_score(text, list(episode.references)).score / 100

    def start(self, episode):
        raise ValueError(
            "TER cannot be followed exactly token by token: pay it at the end ('terminal:ter'), or take the word edit "
            "distance, TER without shifts, at every token ('delta:wer')"
        )

    def start_rows(self, n, vocabulary=None):
        self.start(None)


@lru_cache(maxsize=16)
def _library(normalized: bool, no_punct: bool, asian_support: bool, case_sensitive: bool):
    """sacrebleu's metric, one for all: its cache of tokenised lines keeps every object alive that has used it."""
    try:
        from sacrebleu.metrics import TER as Library
    except ImportError as error:
        raise ImportError("TER is computed by sacrebleu: pip install sacrebleu") from error
    return Library(normalized, no_punct, asian_support, case_sensitive)
