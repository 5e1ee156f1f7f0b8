"""Tests of an application, with and without faults. The plugin judges them in a run of its own."""

import asyncio
import contextlib
import os

import httpx
import httpx2
import pytest
import requests

URL = os.environ.get("SUITE_URL", "")
KEPT = []


async def begin(client):
    response = await client.send(client.build_request("GET", URL + "stream"), stream=True)
    chunks = response.aiter_raw()
    KEPT.append(chunks)  # httpcore closes the answer with its iterator
    await anext(chunks)
    return response


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def client():
    async with httpx2.AsyncClient() as made:
        yield made


@pytest.fixture
async def answer(client):
    response = await begin(client)
    yield response
    await response.aclose()


def test_leak():
    client = httpx.Client()
    KEPT.append(client.send(client.build_request("GET", URL + "stream"), stream=True))


@pytest.mark.anyio
async def test_leak_although_a_fixture_closes_the_client(client):
    await begin(client)


@pytest.mark.anyio
async def test_leak_and_another_is_closed(client):
    await begin(client)
    await (await begin(client)).aclose()


@pytest.mark.trio
async def test_leak_on_trio():
    await begin(httpx.AsyncClient())


@pytest.mark.anyio
async def test_sound_since_a_fixture_closes_the_answer(answer):
    assert answer.status_code == 200


@pytest.mark.anyio
async def test_sound_since_it_closes_the_answer(client):
    async with contextlib.aclosing(await begin(client)):
        pass


def test_sound_although_an_earlier_test_leaked():
    assert httpx.get(URL).status_code == 200


@pytest.mark.gluellm_pools(allow=["leak"])
def test_allowed_leak():
    test_leak()


@pytest.mark.gluellm_pools(allow=["leek"])
def test_misspelled_marker():
    pass


def test_churn():
    for _ in range(3):
        httpx.get(URL)


def test_sound_with_two_clients():
    for _ in range(2):
        requests.get(URL, timeout=5)


def test_loops():
    client = httpx2.AsyncClient()

    async def send():
        await client.get(URL)

    asyncio.run(send())
    with contextlib.suppress(RuntimeError):
        asyncio.run(send())


SHARED = httpx2.AsyncClient()


@pytest.mark.parametrize("number", [1, 2])
def test_sound_with_a_client_that_outlives_the_loop(number):
    with contextlib.suppress(RuntimeError):
        asyncio.run(SHARED.get(URL))


def test_sound_on_a_mocked_transport():
    transport = httpx.MockTransport(lambda request: httpx.Response(200))
    for _ in range(5):
        httpx.Client(transport=transport).get("http://test/")
