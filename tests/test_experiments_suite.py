"""The suite of experiments: what each file says, its settings, ids and tags."""

import pytest

from experiments import arms, registry
from experiments.registry import load, names, select


@pytest.mark.parametrize("name", names())
def test_every_experiment_says_what_it_asks_and_what_would_refute_it(name):
    experiment = load(name)
    for word in ("?", "Hypothesis:", "Controls:", "Refuted where"):
        assert word in experiment.page, f"{name} says nothing of {word}"
    assert experiment.seeds * len(experiment.settings) == len(experiment.runs())
    assert all(run.seconds > 0 for run in experiment.runs())
    assert len({run.id for run in experiment.runs()}) == len(experiment.runs())
    seen = set()
    for each in experiment.runs():
        assert each.init is None or each.init.id in seen  # what it starts from comes before it
        seen.add(each.id)


@pytest.mark.parametrize("name", names())
def test_the_settings_of_every_arm_are_ones_that_its_trainer_takes(name):
    from agents.sb3 import settings as sb3
    from agents.transformer import settings as transformer

    trainers = {"sb3": sb3, "transformer": transformer}
    for experiment in (load(name), load(name).tiny()):
        for arm in experiment.settings.values():
            if arm["agent"] in trainers:
                skip = (*arms.NOT_THE_AGENTS, "evaluations")
                flags = {name: value for name, value in arm.items() if name not in skip}
                resolved = trainers[arm["agent"]].resolve(trainers[arm["agent"]].TrainArgs(**flags))
                assert resolved["gamma"] == arm.get("gamma", 1.0)  # of agents that have 0.99 unless told


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'hacking'"):
        select("hackin")
    with pytest.raises(ValueError, match="only the experiment 'mine'"):
        load("hacking", env="textgym/Copy-v0")
    with pytest.raises(ValueError, match="unknown") as caught:
        select("nothing_like_it")
    assert str(caught.value).count(" mine,") == 1  # an experiment and a tag
    with pytest.raises(ValueError, match="reward: only the experiment 'mine'"):
        select("quick", reward="delta")


def test_tags_select_and_quick_has_few_seeds():
    quick = select("quick")
    assert {e.name for e in quick} == {name for name in names() if "quick" in load(name).tags}
    assert {e.seeds for e in quick} == {registry.QUICK_SEEDS}
    assert [e.name for e in select("smoke")] == names()
    assert load("hacking", 4).seeds == 4
    # few seeds are some of the many: their records count there too
    assert {r.id for r in load("hacking", 2).runs()} < {r.id for r in load("hacking").runs()}


def test_log_spaced_evaluations_grow_by_the_root_of_two():
    at = arms.log_spaced(32_000, 7)
    assert at[-1] == 32_000 and at[-3] == 16_000 and len(at) == 7
    assert arms.log_spaced(1, 5) == (1,)
