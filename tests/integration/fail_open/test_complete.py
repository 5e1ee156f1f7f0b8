"""Every private name that the package uses is renamed by a test, and changed by a test."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from integration.fail_open import names, test_clients
from studies.fail_open import breaks

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
    "adapters/grpc": {"_status": "../../studies/fail_open/names.toml: _AioCall"},
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


def tried(folder: str, *tables: Mapping[str, Iterable[str]]) -> set[str]:
    """The names of a folder that are tried: by these tables of the libraries, or elsewhere."""
    found = in_clients_only(folder) | set(ELSEWHERE.get(folder, ())) | _FUNCTIONS | _STANDARD
    for library in _LIBRARIES.get(folder, ()):
        for table in tables:
            found |= set(table.get(library, ()))
        for module in (*breaks.MODULES.get(library, ()), *breaks.CLASSES[library]):
            found |= set(module.split("."))
    return found


FOREIGN = {
    folder: found - OURS.get(folder, set())
    for folder, found in names.foreign().items()
    if found - OURS.get(folder, set())
}


def test_every_private_name_is_renamed_by_a_test() -> None:
    """A name that no test takes away may bring requests down with the release that does."""
    assert len(set().union(*FOREIGN.values())) > 100
    tables = (breaks.RENAMED, breaks.UNUSED, breaks.SMALLER)
    for folder, found in FOREIGN.items():
        assert sorted(found - tried(folder, *tables)) == [], folder


def test_every_private_name_is_changed_by_a_test() -> None:
    """So may one that is still there and has become something else."""
    for folder, found in FOREIGN.items():
        assert sorted(found - tried(folder, breaks.METHODS, breaks.ATTRIBUTES)) == [], folder


def test_names_that_are_tried_elsewhere_are_used_and_tried() -> None:
    """The folder has it, and the file that is said to try it names it or what has it."""
    for folder, places in ELSEWHERE.items():
        for name, place in places.items():
            assert name in FOREIGN[folder]
            file, _, stands_for = place.partition(": ")
            text = (Path(__file__).parent / file).read_text(encoding="utf-8")
            assert re.search(rf"\b{stands_for or name}\b", text)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("value = pool._anew", {"_anew"}),
        ('value = getattr(pool, "_anew", None)', {"_anew"}),
        ('MODULE = "library._anew.module"', {"_anew"}),
        ("from library import _anew", {"_anew"}),
        ("from library._anew import thing", {"_anew"}),
        ("self.pool._anew = 1", {"_anew"}),
        ("self._anew = 1", set()),
        ('"""Of ``_anew``."""', set()),
        ("cls._anew()", set()),
    ],
)
def test_private_names_are_found_however_they_are_used(line: str, found: set[str]) -> None:
    """Names of the package itself, and what is only written about, are none."""
    assert names.private_names(line) == found
