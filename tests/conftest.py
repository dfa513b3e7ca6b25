"""What every test file may use."""

import os
import re

import pytest

from textgym.registration import IDS

NEEDS = {"ReasoningGym-v0": "reasoning_gym"}  # ids of packages that not everybody has installed

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded: on small tensors more threads are slower


@pytest.fixture(scope="session", params=IDS)
def env_id(request):
    """Every registered id. One a session, so that the tests of an id stand together and its data is read once."""
    if request.param in NEEDS:
        pytest.importorskip(NEEDS[request.param])
    return f"textgym/{request.param}"


def pytest_make_parametrize_id(config, val, argname):
    """The same ids in every process: a ``repr`` with a memory address is not, and parallel runs need it."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(val)) if " at 0x" in repr(val) else None
