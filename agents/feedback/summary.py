"""What a store has, and which annotators' answers are worth a second look."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from math import comb
from statistics import median
from typing import Any

from agents.feedback.judgements import KINDS, Comparison, Judgement, Rating
from agents.feedback.store import Store

ENOUGH = 20  # answers of a kind, before anything is said of them
SAME = 0.95  # share of one answer from which it counts as always the same
UNLIKELY = 1e-4  # chance, under no bias, below which a preference for a side is reported


@dataclass
class Answers:
    """The standing answers of one annotator to one kind of question.

    Attributes:
        annotator, kind: whose, to what.
        count: how many.
        answers: how often which; of comparisons what was seen: first, second, tie, both_bad (a and b where the order
            is not known).
        seconds: median time for one; None: not known.
        agreement: share of the items judged by others, too, on which the answer is that of one of them taken at
            random; None: there are none.
        flags: what is odd, in words.
    """

    annotator: str
    kind: str
    count: int
    answers: dict[str, int]
    seconds: float | None
    agreement: float | None
    flags: list[str] = field(default_factory=list)


def summary(store: Store) -> dict[str, Any]:
    """``{"texts", "prompts", "judgements": {kind: n}, "withdrawn", "annotators": [...]}``, in JSON values."""
    judgements = store.judgements()
    by: dict[tuple[str, str], list[Judgement]] = defaultdict(list)
    items: dict[tuple[str, frozenset[int]], list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        by[judgement.annotator, judgement.answer.kind].append(judgement)
        items[judgement.answer.kind, frozenset(judgement.answer.texts)].append(judgement)
    kinds = Counter(judgement.answer.kind for judgement in judgements)
    counts = "SELECT (SELECT count(*) FROM texts), (SELECT count(*) FROM prompts), count(withdraws) FROM judgements"
    texts, prompts, withdrawn = store.query(counts)[0]
    return {
        "texts": texts,
        "prompts": prompts,
        "judgements": {kind: kinds[kind] for kind in KINDS},
        "withdrawn": withdrawn,
        "annotators": [asdict(_answers(*key, own, items)) for key, own in sorted(by.items())],
    }


def _answers(annotator: str, kind: str, own: list[Judgement], items: dict[Any, list[Judgement]]) -> Answers:
    answers = Counter(map(_seen, own))
    seconds = [judgement.seconds for judgement in own if judgement.seconds is not None]
    shares = []
    for judgement in own:
        item = items[kind, frozenset(judgement.answer.texts)]
        others = [_said(other) for other in item if other.annotator != annotator]
        if others:
            shares.append(others.count(_said(judgement)) / len(others))
    result = Answers(
        annotator,
        kind,
        len(own),
        dict(sorted(answers.items())),
        median(seconds) if seconds else None,
        sum(shares) / len(shares) if shares else None,
    )
    often, most = answers.most_common(1)[0]
    says_nothing = kind != "marks" or often == "nothing"  # who marks mistakes only says where they are
    if len(own) >= ENOUGH and most >= SAME * len(own) and says_nothing:
        result.flags.append(f"always the same: {often!r} in {most} of {len(own)}")
    elif (sides := answers["first"] + answers["second"]) >= ENOUGH and chance(answers["first"], sides) < UNLIKELY:
        result.flags.append(f"prefers a side: the first in {answers['first']} of {sides}")
    return result


def _seen(judgement: Judgement) -> str:
    """The answer as the annotator saw it."""
    answer = judgement.answer
    if isinstance(answer, Comparison):
        sided = answer.choice in ("a", "b") and answer.first is not None
        return ("first" if answer.choice == answer.first else "second") if sided else answer.choice
    if isinstance(answer, Rating):
        return str(answer.rating)
    labels = {span.label for span in answer.spans}
    return "nothing" if not labels else labels.pop() if len(labels) == 1 else "good and bad"


def _said(judgement: Judgement) -> Any:
    """The answer, whatever the order of the texts: what two annotators agree or differ on."""
    answer = judgement.answer
    if isinstance(answer, Comparison):
        return {"a": answer.a, "b": answer.b}.get(answer.choice, answer.choice)
    return answer.rating if isinstance(answer, Rating) else answer.spans


def chance(heads: int, tosses: int) -> float:
    """How likely a fair coin is at least as uneven as this: the two-sided binomial test, exactly."""
    fewer = min(heads, tosses - heads)
    return min(1.0, 2 * sum(comb(tosses, k) for k in range(fewer + 1)) / 2**tosses)


def oddities(found: dict[str, Any]) -> list[str]:
    """Whose answers are odd, and how, of a :func:`summary`: for people."""
    from textgym.envs.render import visible

    return [f"{visible(each['annotator'])}, {flag}" for each in found["annotators"] for flag in each["flags"]]


def show(found: dict[str, Any]) -> str:
    """For people."""
    from textgym.envs.render import visible

    kinds = ", ".join(
        f"{count:,} {kind if kind == 'marks' else kind + 's'}" for kind, count in found["judgements"].items()
    )
    lines = [f"{found['texts']:,} texts for {found['prompts']:,} prompts; {kinds}; {found['withdrawn']:,} withdrawn"]
    for each in found["annotators"]:
        answers = ", ".join(f"{answer} {count:,}" for answer, count in each["answers"].items())
        lines.append(f"\n  {visible(each['annotator'])}: {each['count']:,} {each['kind']}  ({answers})")
        if each["seconds"] is not None:
            lines.append(f"    median {each['seconds']:.1f} s")
        if each["agreement"] is not None:
            lines.append(f"    agrees with others on {each['agreement']:.0%}")
        lines += [f"    ! {flag}" for flag in each["flags"]]
    return "\n".join(lines)
