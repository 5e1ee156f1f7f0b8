"""The fake provider's tests run on asyncio, which it is built on."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
