"""All breaks: each name with the kinds of change that make sense for it."""

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from . import releases, runtime, seen
from .discovery import LIBRARIES
from .trial import Break

_NAMES = tomllib.loads(Path(__file__).with_name("names.toml").read_text())
_NAMES["httpcore2"] = _NAMES["httpcore"]


def _lists(key: str) -> dict[str, list[str]]:
    found = {library: _NAMES[library].get(key, "").split() for library in LIBRARIES}
    return {library: names for library, names in found.items() if names}


def _dotted(key: str) -> dict[str, list[str]]:
    found = _lists(key).items()
    return {library: [f"{library}.{name}" for name in names] for library, names in found}


METHODS, ATTRIBUTES = _lists("methods"), _lists("attributes")
CLASSES, MODULES = _dotted("classes"), _dotted("modules")
del MODULES["httpcore2"]
UNUSED, SMALLER = _lists("unused"), _lists("smaller")
RENAMED: dict[str, dict[str, set[str]]] = {
    library: {
        name: set(off.split())
        for names, off in _NAMES[library]["hooks"].items()
        for name in names.split()
    }
    for library in LIBRARIES
}
"""Names that hooks need, each with the hooks that are off if a release renames it."""


def every(at_run_time: Iterable[str]) -> Iterator[Break]:
    """All breaks, including those at run time of these methods."""
    for library in LIBRARIES:
        of_any = [*RENAMED[library], *UNUSED.get(library, ()), *SMALLER.get(library, ())]
        for kind, names, ways in (
            ("method", METHODS[library], releases.METHODS),
            ("attribute", ATTRIBUTES[library], seen.KINDS),
            ("method", of_any, (releases.RENAMED,)),
            ("module", MODULES.get(library, ()), releases.MODULES),
            ("class", CLASSES[library], seen.NAME_KINDS),
        ):
            for name in names:
                for how in ways:
                    yield Break(library, kind, name, how)
    for found in at_run_time:
        for how in runtime.KINDS:
            yield Break(found.partition(".")[0].partition(":")[0], "runtime", found, how)


def some() -> list[Break]:
    """A sample for every test run: each method in one way, and some of the other breaks.

    Four run-time breaks are fixed, because replaced(), which finds all methods, takes seconds.
    """
    ways: dict[tuple[str, str], list[Break]] = {}
    others: list[Break] = []
    for what in (what for what in every(()) if what.how != releases.RENAMED):
        if what.kind == "method" and what.name in METHODS[what.library]:
            if what.library != "httpcore2":
                ways.setdefault((what.library, what.name), []).append(what)
        else:
            others.append(what)
    chosen = [found[place % len(found)] for place, found in enumerate(ways.values())]
    clear = "httpcore2._async.connection_pool:AsyncPoolRequest:clear_connection"
    return [
        *chosen,
        *others[7::260],
        Break("aiohttp", "runtime", "aiohttp.connector:BaseConnector:connect", "takes anything"),
        Break("httpcore2", "runtime", clear, "raises each time"),
        Break("httpcore", "runtime", "httpcore:AsyncHTTP11Connection:__init__", runtime.REPLACED),
        Break("urllib3", "runtime", "urllib3.response:HTTPResponse:_fp_read", "takes anything"),
        Break("urllib3", "attribute", "default_port", "raises RuntimeError"),
    ]
