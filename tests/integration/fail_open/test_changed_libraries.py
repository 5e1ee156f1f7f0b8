"""Libraries with changed names and behaviour: requests end as without the instrumentation.

Each case changes a library while it is imported, in its own process. ``make -C tests/studies
fail-open`` runs all cases, which are thousands.
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
"""Hooks without which requests are not counted. For other libraries, it is ``request``."""


def all_at_once(names: Mapping[str, list[str]]) -> list[Any]:
    """Return one case for each library, with all of its names renamed."""
    return [
        pytest.param(Break(library, "method", " ".join(several), HOW), id=f"{library}: several")
        for library, several in names.items()
    ]


class Trials:
    """Outcomes of the cases, which finish in any order."""

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
    """Trials of the selected cases. They continue while tests check others."""
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
    """For each hook, one warning has its name and the version. Requests are counted."""
    outcome = trials.of(case)
    assert outcome.applicable
    assert list(complaints(case, outcome)) == []
    off = RENAMED[case.library][case.name]
    assert set(outcome.off) == off
    # A cancelled request of aiohttp is released through its response's payload.
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
    """Each missing hook is logged once, and all changes are undone."""
    assert list(complaints(case, trials.of(case))) == []
