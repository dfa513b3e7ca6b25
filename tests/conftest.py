"""What every test file may use."""

import os
import re

import gymnasium as gym
import pytest
from own_data import GIVEN

from textgym.registration import IDS, register

NEEDS = {"ReasoningGym-v0": "reasoning_gym"}  # ids of packages that not everybody has installed

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded: on small tensors more threads are slower


@pytest.fixture(scope="session", params=IDS)
def env_id(request, tmp_path_factory):
    """Every registered id. One a session, so that the tests of an id stand together and its data is read once.

    An id that needs an argument is registered once more as ``tests/...``, with what :data:`own_data.GIVEN` gives it."""
    name = request.param
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    if name not in GIVEN:
        return f"textgym/{name}"
    if f"tests/{name}" not in gym.registry:
        task, arguments, reward = IDS[name]
        given = GIVEN[name](tmp_path_factory.mktemp(name))
        register(f"tests/{name}", f"textgym.tasks.{task}", reward=reward, **arguments, **given)
    return f"tests/{name}"


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Kind and dtype of a small causal language model -> its directory."""
    from saved_models import CausalModels

    return CausalModels(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def phrases(tmp_path_factory):
    """A directory with a tokenizer and a GPT-2 for it, and the vocabulary of ``Phrases`` that the tokenizer makes."""
    from saved_models import save_phrases_model

    path = tmp_path_factory.mktemp("phrases")
    return path, save_phrases_model(path)


@pytest.fixture(scope="session")
def encoders(tmp_path_factory):
    """Name -> directory of small encoders and classifiers."""
    from saved_models import save_encoders

    return save_encoders(tmp_path_factory.mktemp("encoders"))


@pytest.fixture(scope="session")
def judged(tmp_path_factory):
    """A store with comparisons by an annotator who errs and one who always says the same, ratings and marks."""
    from reward_models import judged_in

    return judged_in(tmp_path_factory.mktemp("judged"))


@pytest.fixture(scope="session")
def trained(judged, tmp_path_factory):
    """The folder of a reward model that learned from ``judged``, and its report."""
    from reward_models import trained_on

    return trained_on(judged, tmp_path_factory.mktemp("trained"))


def pytest_make_parametrize_id(config, val, argname):
    """The same ids in every process: a ``repr`` with a memory address is not, and parallel runs need it."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(val)) if " at 0x" in repr(val) else None
