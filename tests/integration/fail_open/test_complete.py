"""Every private name that the package uses is one that a test lets go and a test lets change."""

from __future__ import annotations

import pytest

from integration.fail_open import breaks, names
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
    "telemetry": {"_OTHER", "_bucket", "_count", "_known", "_name", "_sum"},
}
"""What looks like somebody's private name and is the package's own: slots, words of the contract,
methods that are called through another name than ``self``."""

CLIENTS = {
    "_aiohttp_sessions",
    "_api",
    "_api_channel",
    "_api_client",
    "_client",
    "_client_wrapper",
    "_connector",
    "_endpoint",
    "_get_proxy_manager",
    "_management_channel",
    "_manager",
    "_mounts",
    "_pipeline",
    "_pool",
    "_proxy_managers",
    "_session",
    "_session_owner",
    "_transport",
}
"""Where clients of SDKs have their pools: ``test_clients.py`` lets each go and change."""
ELSEWHERE = {
    "_GLOBAL_ASYNC_CLIENT_FACTORY": "test_clients.py",
    "_RUNTIME_CONTEXT": "test_opentelemetry.py",
    "_SPAN_KEY": "test_opentelemetry.py",
    "_SUPPRESS_INSTRUMENTATION_KEY": "test_opentelemetry.py",
    "_aembedding": "test_any_llm.py",
    "_amoderation": "test_any_llm.py",
    "_completion": "test_any_llm.py",
    "_current_context": "test_opentelemetry.py",
    "_get_proxy_manager": "test_clients.py",
    "_http": "test_clients.py",
    "_load": "test_opentelemetry.py",
    "_real_meter": "test_opentelemetry.py",
    "_session": "test_clients.py",
    "_status": "test_breaks.py: the class that has it is of C, and is what is taken away",
    "_user_provided_options": "test_clients.py",
}
"""Names whose removal and change are tried by tests of their own."""

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


def removed(folder: str) -> set[str]:
    """The names that some test lets go."""
    found = CLIENTS | set(ELSEWHERE) | _FUNCTIONS | _STANDARD
    if folder in _SEAMS:
        found |= {*_SEAMS[folder].SEAMS, *_SEAMS[folder].FURTHER}
    for library in _LIBRARIES.get(folder, ()):
        found |= set(breaks.RENAMED.get(library, ()))
        for module in (*breaks.MODULES.get(library, ()), *breaks.CLASSES[library]):
            found |= set(module.split("."))
    return found


def broken(folder: str) -> set[str]:
    """The names that some test lets be there and behave otherwise."""
    found = CLIENTS | set(ELSEWHERE) | _FUNCTIONS | _STANDARD
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
