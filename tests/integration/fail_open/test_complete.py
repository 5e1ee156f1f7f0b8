"""Every private name that the package uses is one that a test lets go and a test lets change."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from integration.fail_open import breaks, names, test_clients
from integration.rules import (
    test_aiohttp_seams,
    test_grpc_seams,
    test_seams,
    test_urllib3_seams,
)

OURS: dict[str, set[str]] = {
    "adapters/aiohttp": {"_OTHER"},
    "adapters/errors.py": {"_OTHER"},
    "adapters/grpc": {"_calls", "_lease", "_name", "_call"},
    "adapters/httpcore": {"_handshakes", "_record", "_stream", "_target"},
    "adapters/urllib3": {"_OTHER"},
    "attribution": {"_OTHER", "_call", "_hold", "_scope", "_stream", "_token", "_variable"},
    "config": {"_T"},
    "diagnosis": {"_OTHER", "_identity", "_number"},
    "instrumentor": {"_installation", "_lock"},
    "limits": {"_aiohttp", "_botocore_http_session", "_botocore_session", "_httpcore", "_urllib3"},
    "pool": {"_OTHER", "_T", "_origins", "_slices", "_width"},
    "telemetry": {"_OTHER", "_bucket", "_count", "_known", "_name", "_sets", "_sum"},
}
"""What looks like somebody's private name and is the package's own: slots, words of the contract,
methods that are called through another name than ``self``."""

ELSEWHERE: dict[str, dict[str, str]] = {
    "adapters/arguments.py": {
        "_GLOBAL_ASYNC_CLIENT_FACTORY": "test_clients.py",
        "_http": "test_clients.py",
        "_user_provided_options": "test_clients.py",
    },
    # The class that has it is of C, and is what is taken away.
    "adapters/grpc": {"_status": "breaks.py: _AioCall"},
    "adapters/urllib3": {"_get_proxy_manager": "test_clients.py", "_session": "test_clients.py"},
    "attribution": dict.fromkeys(("_aembedding", "_amoderation", "_completion"), "test_any_llm.py"),
    # It is asked only whether this module is there, and every test but those has it not.
    "http_spans": {"_load": "../rules/test_http_spans.py"},
    "pool": dict.fromkeys(
        ("_interpreters", "_xxsubinterpreters"), "../../unit/pool/test_threads.py"
    ),
    "telemetry": dict.fromkeys(
        (
            "_RUNTIME_CONTEXT",
            "_SPAN_KEY",
            "_SUPPRESS_INSTRUMENTATION_KEY",
            "_current_context",
            "_real_meter",
        ),
        "test_opentelemetry.py",
    ),
}
"""Names of a folder whose removal and change are tried by tests of their own, and where."""

_LIBRARIES = {
    "adapters/aiohttp": ("aiohttp",),
    "adapters/grpc": ("grpc",),
    "adapters/httpcore": ("httpcore", "httpcore2"),
    "adapters/urllib3": ("urllib3",),
}
_SEAMS = {
    "adapters/aiohttp": test_aiohttp_seams,
    "adapters/grpc": test_grpc_seams,
    "adapters/httpcore": test_seams,
    "adapters/urllib3": test_urllib3_seams,
}
_FUNCTIONS = {name.rpartition(".")[2] for name in breaks.FUNCTIONS}
_STANDARD = {what.name.rpartition(":")[2] for what in breaks.STANDARD}


def in_clients_only(folder: str) -> set[str]:
    """Where clients of SDKs have their pools: ``test_clients.py`` lets each go and change.

    It reads the names from these modules itself. What others of the folder use too is not meant.
    """
    modules = [path for path in names.files() if path.is_relative_to(names.SOURCE / folder)]
    apart = {
        path for path in modules if path.name == "clients.py" and path.parent.name != "adapters"
    }
    used = {path: names.private_names(path.read_text(encoding="utf-8")) for path in modules}
    found = set().union(*(used[path] for path in apart)) & set(test_clients.NAMES)
    return found.difference(*(used[path] for path in modules if path not in apart))


def removed(folder: str) -> set[str]:
    """The names that some test lets go."""
    found = in_clients_only(folder) | set(ELSEWHERE.get(folder, ())) | _FUNCTIONS | _STANDARD
    if folder in _SEAMS:
        found |= {*_SEAMS[folder].SEAMS, *_SEAMS[folder].FURTHER}
    for library in _LIBRARIES.get(folder, ()):
        found |= set(breaks.RENAMED.get(library, ()))
        for module in (*breaks.MODULES.get(library, ()), *breaks.CLASSES[library]):
            found |= set(module.split("."))
    return found


def broken(folder: str) -> set[str]:
    """The names that some test lets be there and behave otherwise."""
    found = in_clients_only(folder) | set(ELSEWHERE.get(folder, ())) | _FUNCTIONS | _STANDARD
    for library in _LIBRARIES.get(folder, ()):
        found |= {*breaks.METHODS[library], *breaks.ATTRIBUTES[library]}
        for module in (*breaks.MODULES.get(library, ()), *breaks.CLASSES[library]):
            found |= set(module.split("."))
    return found


FOREIGN = {
    folder: found - OURS.get(folder, set())
    for folder, found in names.foreign().items()
    if found - OURS.get(folder, set())
}


@pytest.mark.parametrize("folder", FOREIGN)
def test_every_private_name_is_let_go_by_a_test(folder: str) -> None:
    """A name that no test takes away may bring requests down with the release that does."""
    assert sorted(FOREIGN[folder] - removed(folder)) == []


@pytest.mark.parametrize("folder", FOREIGN)
def test_every_private_name_is_changed_by_a_test(folder: str) -> None:
    """Neither may one that is still there and has become something else."""
    assert sorted(FOREIGN[folder] - broken(folder)) == []


@pytest.mark.parametrize(
    ("folder", "name"), [(folder, name) for folder, found in ELSEWHERE.items() for name in found]
)
def test_a_name_that_is_tried_elsewhere_is_used_and_tried(folder: str, name: str) -> None:
    """The folder has it, and the file that is said to try it names it or what has it."""
    assert name in FOREIGN[folder]
    file, _, stands_for = ELSEWHERE[folder][name].partition(": ")
    text = (Path(__file__).parent / file).read_text(encoding="utf-8")
    assert re.search(rf"\b{stands_for or name}\b", text)


def test_figures(record_property: pytest.RecordProperty) -> None:
    """How many there are."""
    every = set().union(*FOREIGN.values())
    assert len(every) > 100
    record_property("private names that are relied on", len(every))


@pytest.mark.parametrize(
    "line",
    [
        "value = pool._anew",
        'value = getattr(pool, "_anew", None)',
        'seam("read", pool, "_anew", make)',
        'MODULE = "library._anew.module"',
        "from library import _anew",
        "from library._anew import thing",
        "self.pool._anew = 1",
        "del thing._anew",
    ],
)
def test_a_private_name_is_found_however_it_is_used(line: str) -> None:
    """As an attribute, by import, and in a string that something is got or patched by."""
    assert names.private_names(line) == {"_anew"}


@pytest.mark.parametrize("line", ["self._anew = 1", '"""Of ``_anew``."""', "cls._anew()"])
def test_own_names_and_words_are_none(line: str) -> None:
    """What a class has itself, and what is only written about, is nobody else's."""
    assert names.private_names(line) == set()
