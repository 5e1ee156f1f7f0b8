"""``make upstream``: other projects' own tests, with the instrumentation off and on.

Exits with 1 if a test has another outcome with it on, with 2 if a suite could not be run.
"""

import subprocess
import sys
from collections.abc import Sequence

from studies.figures import Figures, Parser
from studies.talking import FailedError

from . import OWN, REQUESTS, preparing
from .comparing import CHANGED, WORSE, Difference, differences, judge
from .running import Finished, Runner
from .suites import SUITES, Suite

_AGAIN = 2
"""Further runs, each way, of the files with tests whose outcomes differ."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suites that were asked for."""
    parser = Parser("upstream", __doc__)
    parser.add_argument("suites", nargs="*", choices=[*SUITES, []], metavar="suite")
    options = parser.parse_args(arguments)
    figures = Figures("other projects' own tests, with the instrumentation off and on")
    status = 0
    for label in options.suites or SUITES:
        suite = SUITES[label]
        try:
            runner = _prepare(suite)
            compare(runner, figures)
        except (FailedError, subprocess.SubprocessError, OSError) as error:
            print(f"{label}: not run: {error}")
            figures.broken.append(f"{label}: not run")
            status = 2
    return max(status, figures.finish())


def _prepare(suite: Suite) -> Runner:
    print(f"{suite.label or suite.name}: preparing", file=sys.stderr, flush=True)
    folder = preparing.source(suite)
    interpreter = preparing.environment(suite, folder)
    if suite.unattainable:
        print(f"{suite.name}: missing in its environment: {suite.unattainable}.", flush=True)
    return Runner(suite, folder, interpreter)


def compare(runner: Runner, figures: Figures) -> None:
    """Run a suite with the instrumentation off and on, print, and keep the figures."""
    name = runner.title
    off, on = (_run(runner, on=which) for which in (False, True))
    judged = _judge(runner, differences(off.run, on.run))
    requests, own = (
        sum(count for what, count in on.seen.items() if what.startswith(beginning))
        for beginning in (REQUESTS, OWN)
    )
    print(
        f"{name}: {len(off.run.outcomes)} tests, passed {off.run.passed} off, {on.run.passed} on,"
        f" {len(judged[WORSE])} worse; {requests} requests seen, {own} own failures caught"
    )
    for label, finished in (("off", off), ("on", on)):
        if finished.hung:
            print(f"  {label}: the process had to be killed")
        if not finished.run.finished:
            print(f"  {label}: the run is not complete; the end of its output:\n{finished.output}")
            figures.broken.append(f"{name}: the run {label} is not complete")
    for kind, found in judged.items():
        finished = off if kind == CHANGED else on
        for each in found:
            print(f"  {kind}: {each}: {finished.run.why(each.test)}")
    for each in judged[WORSE]:
        print(f"\n{each.test}\n{on.run.reasons.get(each.test, '')[-3000:]}\n")
    figures.broken += [f"{name}: {each}" for each in (*judged[WORSE], *judged[CHANGED])]
    # Caught failures of the package don't break a run: they come from stand-ins that a suite puts
    # into the library's objects, such as a Mock for a connection.
    if not requests:
        print(f"  no request was seen: {runner.suite.unseen or 'the suite was not instrumented'}")
        if not runner.suite.unseen:
            figures.broken.append(f"{name}: no request was seen")


def _run(runner: Runner, *, on: bool) -> Finished:
    label = "on" if on else "off"
    print(f"{runner.title}: running, {label}", file=sys.stderr, flush=True)
    finished = runner.run(on=on)
    if not finished.run.outcomes:
        raise FailedError(f"no test was run with the instrumentation {label}:\n{finished.output}")
    return finished


def _judge(runner: Runner, found: Sequence[Difference]) -> dict[str, list[Difference]]:
    files = sorted({each.test.partition("::")[0] for each in found})
    again = []
    for _ in range(_AGAIN if found else 0):
        print(f"{runner.title}: running again: {', '.join(files)}", file=sys.stderr, flush=True)
        again.append([runner.run(on=on, files=files).run for on in (False, True)])
    return judge(found, [off for off, _ in again], [on for _, on in again])


if __name__ == "__main__":
    sys.exit(main())
