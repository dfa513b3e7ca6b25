"""What every test file may use."""

import os
import re

import pytest

from textgym.registration import IDS

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded: on small tensors more threads are slower


@pytest.fixture(scope="session", params=IDS)
def env_id(request):
    """Every registered id. One a session, so that the tests of an id stand together and its data is read once."""
    return f"textgym/{request.param}"


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


def pytest_make_parametrize_id(config, val, argname):
    """The same ids in every process: a ``repr`` with a memory address is not, and parallel runs need it."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(val)) if " at 0x" in repr(val) else None
