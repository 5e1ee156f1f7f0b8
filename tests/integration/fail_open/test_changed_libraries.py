"""Libraries with other names and other behaviour: requests end as without the instrumentation.

Each case is a release of a library that is made while it is imported, in a process of its own. All
of them, some thousands, are tried by ``make -C tests/studies fail-open``.
"""

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

import pytest

from studies.fail_open.breaks import RENAMED, SMALLER, UNUSED, some
from studies.fail_open.discovery import LIBRARIES
from studies.fail_open.judging import complaints
from studies.fail_open.releases import RENAMED as HOW
from studies.fail_open.servers import served, tried
from studies.fail_open.trial import LIBRARIES as NAMES
from studies.fail_open.trial import Break, Outcome

WHOLE = {library: Break(library, "none", "", "") for library in LIBRARIES}
WITH_A_HOOK_LESS = [
    Break(library, "method", name, HOW)
    for library, names in RENAMED.items()
    # httpcore2 has the same hooks as httpcore.
    for name in list(names)[:: 4 if library == "httpcore2" else 1]
]
UNCOUNTED = {"aiohttp": "request", "grpc": "sync_request", "urllib3": "acquire"}
"""Hooks without which requests are not counted; ``request`` for the other libraries."""


def all_at_once(names: Mapping[str, list[str]]) -> list[Any]:
    """One case for each library, with all of these names renamed."""
    return [
        pytest.param(Break(library, "method", " ".join(several), HOW), id=f"{library}: several")
        for library, several in names.items()
    ]


class Trials:
    """The outcome of each case, which come in their own order."""

    def __init__(self, trials: Iterator[tuple[Break, Outcome]]) -> None:
        self._trials = trials
        self._outcomes: dict[Break, Outcome] = {}

    def of(self, case: Break) -> Outcome:
        """Wait for a case's outcome."""
        while case not in self._outcomes:
            tried_case, outcome = next(self._trials)
            self._outcomes[tried_case] = outcome
        return self._outcomes[case]


@pytest.fixture(scope="module")
def trials(request: pytest.FixtureRequest) -> Iterator[Trials]:
    """The trials of the cases that were selected; they go on while others are judged."""
    wanted = dict.fromkeys(WHOLE.values())
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.path == request.path:
            wanted[item.callspec.params["case"]] = None
    with served() as servers:
        yield Trials(tried(wanted, servers, at_once=3))  # most of a trial is waiting


@pytest.mark.parametrize("case", WHOLE.values(), ids=WHOLE)
def test_unchanged_library_has_every_hook(case, trials):
    """No warning is logged."""
    outcome = trials.of(case)
    assert list(complaints(case, outcome)) == []
    assert (outcome.off, outcome.errors, outcome.warnings) == ([], {}, [])
    assert outcome.requests >= len(outcome.observed) - 6


@pytest.mark.parametrize("case", WITH_A_HOOK_LESS, ids=str)
def test_missing_name_disables_only_the_hooks_that_need_it(case, trials):
    """One warning each names the hook and the version; requests are counted."""
    outcome = trials.of(case)
    assert outcome.applicable
    assert list(complaints(case, outcome)) == []
    off = RENAMED[case.library][case.name]
    assert set(outcome.off) == off
    # A cancelled request of aiohttp is released by what its response holds.
    assert outcome.errors == ({"aiohttp.release": 1} if case.name == "_payload" else {})
    installed = version("grpcio" if case.library == "grpc" else case.library)
    for hook in off:
        (warning,) = [text for text in outcome.warnings if repr(hook) in text]
        assert installed in warning
        assert NAMES.get(case.library, case.library) in warning
    if not off & {UNCOUNTED.get(case.library, "request"), "sync_release"}:
        assert outcome.requests == trials.of(WHOLE[case.library]).requests
    elif "sync_request" in off:
        assert outcome.requests == sum(result.startswith("async") for result in outcome.observed)


@pytest.mark.parametrize("case", all_at_once(UNUSED))
def test_missing_names_that_no_hook_needs_disable_nothing(case, trials):
    outcome = trials.of(case)
    assert outcome.applicable
    assert list(complaints(case, outcome)) == []
    assert (outcome.off, outcome.errors, outcome.warnings) == ([], {}, [])
    assert outcome.requests == trials.of(WHOLE[case.library]).requests


@pytest.mark.parametrize("case", [*all_at_once(SMALLER), *some()], ids=str)
def test_changed_library_does_not_affect_requests(case, trials):
    """Each loss is logged once, and nothing is left behind."""
    assert list(complaints(case, trials.of(case))) == []
