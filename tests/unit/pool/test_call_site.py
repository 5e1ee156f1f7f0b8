"""The line of the application that is the call site, which keeps nothing alive."""

import asyncio
import gc
import sysconfig
import threading
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.pool import call_site as place_module
from opentelemetry.instrumentation.gluellm.pool.call_site import CallSite, Near, find

SITE = sysconfig.get_paths()["purelib"]
STDLIB = sysconfig.get_paths()["stdlib"]
HERE = __file__


def library(filename: str, name: str = "somelib") -> Callable[[Callable[[], Any]], Any]:
    """A function ``call(f)`` whose code is in a file of this name."""
    code = compile("def call(f):\n    return f()\n", filename, "exec")
    space: dict[str, Any] = {"__name__": name}
    exec(code, space)
    return space["call"]


def line_of(found: CallSite | None, text: str) -> bool:
    """Whether the call site is the line of this file that has the text."""
    assert found.code.co_filename == HERE
    lines = Path(HERE).read_text(encoding="utf-8").splitlines()
    return text in lines[found.line - 1]


# The first frame outside libraries


def test_call_site_is_the_calling_line():
    """It is not the function's first line. The same line is the same call site."""
    found, again = (find() for _ in range(2))  # here
    assert line_of(found, "# here")
    other = find()
    assert str(other).startswith(f"{HERE}:")
    assert str(other).endswith("in test_call_site_is_the_calling_line")
    assert found.key == again.key != other.key
    assert found.frames == ()  # it would cost ten times as much


@pytest.mark.parametrize(
    "filename",
    [
        f"{SITE}/openai/_client.py",
        "/some/where/lib/python3.12/site-packages/httpx/_client.py",
        "/usr/lib/python3/dist-packages/requests/api.py",
        "C:\\venv\\Lib\\site-packages\\httpx\\_client.py",
        f"{STDLIB}/concurrent/futures/thread.py",
        f"{STDLIB}/contextlib.py",
        "<frozen importlib._bootstrap>",
        "<attrs generated init somelib.Thing>",
        place_module.__file__.replace("place.py", "tracker.py"),
    ],
)
def test_call_site_skips_libraries(filename):
    """This includes the standard library, generated code and this package."""
    call = library(filename)
    found = call(lambda: call(find))  # through
    assert line_of(found, "# through")


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("/srv/app/main.py", "somelib"),
        ("/home/someone/project/src/asyncio_tools/events.py", "somelib"),
        ("/home/someone/site-packages-of-mine/main.py", "somelib"),
        ("relative.py", "somelib"),
        ("<stdin>", "__main__"),
        ("<string>", "__main__"),
    ],
)
def test_call_site_does_not_skip_application_code(filename, name):
    """Code that is typed in is an application as well."""
    found = library(filename, name)(find)
    assert found.key == (filename, 2)


# Installed applications


@pytest.mark.usefixtures("unseen")
def test_call_site_is_an_installed_application_if_there_is_no_other():
    """It is the first frame outside the libraries under a pool, if there is one."""
    application = library(f"{SITE}/ourapp/service.py", "ourapp.service")
    client = library(f"{SITE}/httpx/_client.py", "httpx._client")
    sdk = library(f"{SITE}/openai/_base_client.py", "openai._base_client")
    found = in_thread(lambda: application(lambda: sdk(lambda: client(find))))
    assert found.key == (f"{SITE}/ourapp/service.py", 2)
    assert in_thread(lambda: sdk(find)) is None


def test_call_site_prefers_the_applications_own_files():
    """An installed framework calls the application, and is called by it."""
    framework = library(f"{SITE}/langchain/chat.py", "langchain.chat")
    found = framework(lambda: framework(find))  # asked
    assert line_of(found, "# asked")


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat this file as the standard library, so that its frames are skipped."""
    monkeypatch.setitem(place_module._kinds, HERE, place_module._STANDARD)


def in_thread(ask: Callable[[], CallSite | None]) -> CallSite | None:
    """Call in a thread, without the test runner's frames, which are also installed code."""
    found: list[CallSite | None] = []
    thread = threading.Thread(target=lambda: found.append(ask()))
    thread.start()
    thread.join()
    return found[0]


# Event loops


@pytest.mark.usefixtures("unseen")
def test_call_site_ignores_frames_outside_the_event_loop():
    """A task of libraries only has no call site; the code that runs the loop is none."""
    sdk = library(f"{SITE}/openai/_base_client.py", "openai._base_client")

    async def run():
        return sdk(find)

    assert asyncio.run(run()) is None


def test_call_site_of_a_task_is_its_current_line():
    """Coroutines that wait for each other are one stack."""
    sdk = library(f"{SITE}/openai/_base_client.py", "openai._base_client")

    async def inner():
        await asyncio.sleep(0)
        return sdk(find)  # in the task

    async def outer():
        return await asyncio.create_task(inner())

    assert line_of(asyncio.run(outer()), "# in the task")


# Looking first where the last search ended

_client = library(f"{SITE}/httpx/_client.py", "httpx._client")


def through(frames: int, near: Near) -> Callable[[], Any]:
    """``find``, called through so many frames of a client."""
    found: Callable[[], Any] = partial(find, near)
    for _ in range(frames):
        found = partial(_client, found)
    return found


def test_second_search_does_not_walk_the_stack(monkeypatch):
    """Lines that call the same method of a client share what the first one found."""
    near = Near()
    assert line_of(_client(through(20, near)), "through(20, near)), ")
    monkeypatch.setattr(place_module, "_DEEPEST", 0)
    found = _client(through(20, near))  # another line
    assert line_of(found, "# another line")


@pytest.mark.parametrize("frames", [1, 3, 5, 190])
def test_call_site_is_found_at_another_depth_than_the_last_one(frames):
    near = Near()
    _client(through(4, near))
    found = _client(through(frames, near))  # deeper
    assert line_of(found, "# deeper")


def test_call_site_is_not_where_the_last_one_was_if_a_library_calls_the_application():
    """It is as many frames away, and the same line has called the same function of the library."""
    near = Near()
    retrying = library(f"{SITE}/tenacity/__init__.py", "tenacity")

    def send():
        return through(1, near)()  # inside

    found = [retrying(each) for each in (through(2, near), send)]  # outside
    assert line_of(found[0], "# outside")
    assert line_of(found[1], "# inside")


# What is kept


def test_call_site_keeps_no_frames_alive():
    """The objects that their variables refer to are freed as well."""

    class Thing:
        pass

    def ask(whole):
        thing = Thing()
        return find(whole=whole), weakref.ref(thing)

    gc.disable()
    try:
        for whole in (False, True):
            found, thing = ask(whole)
            assert found is not None
            assert thing() is None
    finally:
        gc.enable()


def test_cache_of_file_names_is_bounded(monkeypatch):
    """A program can compile code under any number of names."""
    monkeypatch.setattr(place_module, "_kinds", {})
    monkeypatch.setattr(place_module, "_MOST_KNOWN", 5)
    for number in range(20):
        found = library(f"/srv/generated/{number}.py")(find)
        assert found.key == (f"/srv/generated/{number}.py", 2)
    assert len(place_module._kinds) == 5


# The whole stack


def test_whole_stack_has_every_frame_the_innermost_first():
    """It includes the frames of libraries."""
    sdk = library(f"{SITE}/openai/_base_client.py", "openai._base_client")
    found = sdk(lambda: find(whole=True))
    frames = found.frames
    assert frames[0].endswith(
        "test_whole_stack_has_every_frame_the_innermost_first.<locals>.<lambda>"
    )
    assert frames[1] == f"{SITE}/openai/_base_client.py:2 in call"
    assert frames[2].endswith("in test_whole_stack_has_every_frame_the_innermost_first")
    assert len(frames) > 5
