"""Every private name that the package uses is renamed by a test, and changed by a test."""

from collections.abc import Iterable, Mapping

from integration.fail_open import names, test_clients, test_gluellm
from studies.fail_open import breaks

OURS: dict[str, set[str]] = {
    "adapters/grpc": {"_name", "_call"},
    "adapters/httpcore": {"_after", "_handshakes", "_is_async", "_record", "_target"},
    "attribution": {"_OTHER", "_call", "_hold", "_stream", "_variable"},
    "concurrency": {"_T"},
    "config": {"_T"},
    "diagnosis": {"_OTHER", "_identity", "_number"},
    "instrumentor": {"_installation", "_lock"},
    "pool": {"_OTHER", "_calls", "_ledgers", "_longest", "_origins", "_slices", "_width"},
    "telemetry": {"_OTHER", "_bucket", "_count", "_known", "_name", "_sets", "_sum"},
}
"""What looks like somebody's private name and is the package's own: slots, words of the contract,
methods that are called through another name than ``self``."""

ELSEWHERE: dict[str, set[str]] = {
    # test_clients.py
    "limits": {"_GLOBAL_ASYNC_CLIENT_FACTORY", "_http", "_user_provided_options"},
    # The class that has it is of C, and is what is taken away.
    "adapters/grpc": {"_status"},
    # test_clients.py
    "adapters/urllib3": {"_get_proxy_manager", "_session"},
    # ../../contract/test_setup_steps.py
    "adapters/httpcore": {"_asyncio", "_backends", "_highlevel_open_tcp_stream"},
    "attribution": {
        # test_any_llm.py
        *("_aembedding", "_amoderation", "_completion"),
        # test_gluellm.py
        *("_base_client", *test_gluellm.FUNCTIONS),
        # ../../unit/attribution/test_calls.py
        "_get_running_loop",
    },
    # Only the module's presence is checked, and only ../rules/test_http_spans.py has it.
    "http_spans": {"_load"},
    # ../../unit/test_concurrency.py
    "concurrency": {"_interpreters", "_xxsubinterpreters"},
    # test_opentelemetry.py
    "telemetry": {
        *("_RUNTIME_CONTEXT", "_SPAN_KEY", "_SUPPRESS_INSTRUMENTATION_KEY"),
        *("_current_context", "_real_meter"),
    },
}
"""Names whose removal and change other files test."""

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
    found = in_clients_only(folder) | ELSEWHERE.get(folder, set()) | _FUNCTIONS | _STANDARD
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


def test_every_private_name_is_renamed_by_a_test():
    """A name that no test takes away may bring requests down with the release that does."""
    assert len(set().union(*FOREIGN.values())) > 100
    tables = (breaks.RENAMED, breaks.UNUSED, breaks.SMALLER)
    for folder, found in FOREIGN.items():
        assert sorted(found - tried(folder, *tables)) == [], folder


def test_every_private_name_is_changed_by_a_test():
    """So may one that is still there and has become something else."""
    for folder, found in FOREIGN.items():
        assert sorted(found - tried(folder, breaks.METHODS, breaks.ATTRIBUTES)) == [], folder
