"""Four defects of an older library, which are not here: and the checks find them in others."""

import math
from inspect import signature

import pytest
from helpers import Phrases, play

from textgym import Delta, EveryStep, Metric, RewardError, Terminal, TextGenEnv, TextGenVectorEnv, make_metric
from textgym.metrics import METRICS, WholeText
from textgym.testing import ContractError, check_metric

TASK = Phrases()
# a model has to be named for the others, and naive Bayes learns from tasks with classes
METRICS_WITHOUT_ARGUMENTS = [
    name
    for name, make in METRICS.items()
    if name != "naive_bayes" and all(p.default is not p.empty for p in signature(make).parameters.values())
]
WITHOUT_REFERENCES = {name for name in METRICS_WITHOUT_ARGUMENTS if not make_metric(name).needs_references}


def similarity(text, references):
    """As users write metrics: it trusts that references are texts."""
    return max((len(set(text) & set(r)) / len(set(text) | set(r) | {""}) for r in references), default=0.0)


class SimilarityToRepr(Metric):
    name = "similarity_to_repr"

    def start(self, episode):
        return WholeText(self, episode)

    def score(self, text, episode):
        return similarity(text, [str(list(episode.references))])


class SimilarityToFirst(SimilarityToRepr):
    def score(self, text, episode):
        return similarity(text, episode.references[:1])


class NothingIsWords(SimilarityToRepr):
    def score(self, text, episode):
        return similarity(text, episode.references) if text else "nothing was written"


def test_a_metric_is_not_given_the_repr_of_the_list_of_references():
    seen = []

    def spy(text, references):
        seen.append(references)
        return 0.0

    for env in (TextGenEnv(Phrases, reward=Delta(spy)), TextGenVectorEnv(Phrases, 1, reward=Delta(spy))):
        single = isinstance(env, TextGenEnv)
        env.reset(options={"prompt": "two", "references": ["ab", "['cd']"] if single else [["ab", "['cd']"]]})
        env.step(60 if single else [60])
    assert seen and all(references == ("ab", "['cd']") for references in seen)
    check_metric(similarity, reference=similarity)
    with pytest.raises(ContractError, match="the reference function"):
        check_metric(SimilarityToRepr(), reference=similarity)


@pytest.mark.parametrize("name", [n for n in METRICS_WITHOUT_ARGUMENTS if n not in WITHOUT_REFERENCES])
def test_all_references_count_not_only_the_first(name):
    text, other = "a cat sat", "no x y z w"
    env = TextGenEnv(TASK, reward=f"terminal:{name}")
    tokens = [*env.vocabulary.encode(text), env.vocabulary.eos]

    def paid(*references):
        return play(env, tokens, options={"prompt": "", "references": list(references)})[-1][1]

    assert paid(other, text) == paid(text, other) == paid(other, other, text) == pytest.approx(paid(text))
    assert paid(other) != pytest.approx(paid(text))
    check_metric(similarity, reference=similarity)
    with pytest.raises(ContractError, match="the reference function"):
        check_metric(SimilarityToFirst(), reference=similarity)


@pytest.mark.parametrize("name", METRICS_WITHOUT_ARGUMENTS)
def test_empty_output_gives_a_number_never_a_text(name):
    metric = make_metric(name).resolve(TASK)
    for schedule in [Terminal] if metric.only_at_end else [Delta, Terminal]:
        env = TextGenEnv(TASK, reward=schedule(metric), metrics=[metric])
        for references in ([], [""], ["a cat"], ["", "a cat"]):
            (_, reward, ended, _, info) = play(
                env, [env.vocabulary.eos], options={"prompt": "", "references": references}
            )[1]
            assert ended and type(reward) is float and math.isfinite(reward) and info["text"] == ""
    with pytest.raises(ContractError, match="score.* of '' is 'nothing was written'|returned 'nothing was written'"):
        check_metric(NothingIsWords())


@pytest.mark.parametrize("value", [-math.inf, math.inf, math.nan])
def test_step_never_pays_minus_infinity(value):
    def log_of_nothing(text, references):
        return value if text else 0.0

    for schedule in (Delta, Terminal, EveryStep):
        env = TextGenEnv(Phrases, reward=schedule(log_of_nothing))
        env.reset(seed=0)
        with pytest.raises(RewardError, match="finite|inf|nan"):
            env.step(60)
            env.step(env.vocabulary.eos)
    with pytest.raises(ContractError, match="a finite number"):
        check_metric(log_of_nothing)
