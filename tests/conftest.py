"""What every test file may use."""

import pytest

from textgym.registration import IDS


@pytest.fixture(scope="session", params=IDS)
def env_id(request):
    """Every registered id. One a session, so that the tests of an id stand together and its data is read once."""
    return f"textgym/{request.param}"
