"""Plays incidents at their real speed and records snapshots of them into ``tests/incidents``.

``make -C tests/studies record [ARGS=INCIDENT]``. The tests judge the recordings. ``ARGS=--judge``
only writes the findings of the recordings anew, and prints how each half fell, and what was found
by cause.
"""

import gzip
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from incidents.recordings import AT, FOLDER, Recording, recordings, top_of
from studies.figures import Parser

from .catalogue import INCIDENTS
from .replay.replay import Service

HEALTHY: Final = 120.0
"""Seconds before the incident begins."""
_BESIDE, _INTERVAL = 5, 10.0
_STARVED, _TRIES = 0.1, 3
"""As in the score: a run that got no processor for a larger share of its time is repeated,
and the last one counts."""
_ROOT: Final = Path(__file__).parents[3]
_NEUTRAL = {sys.prefix: "/srv/app/.venv", str(_ROOT): "/srv/app", sys.base_prefix: "/usr"}
"""Folders of this machine, and what a recording has in their place."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if all incidents were recorded, else 1."""
    parser = Parser("record", __doc__)
    parser.add_argument("names", nargs="*", metavar="INCIDENT", help=", ".join(INCIDENTS))
    parser.add_argument("--judge", action="store_true", help="only judge the recordings")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - INCIDENTS.keys():
        parser.error(f"there is no incident {', '.join(unknown)}")
    missed = []
    if not options.judge:
        with ThreadPoolExecutor(_BESIDE) as threads:
            missed = list(filter(None, threads.map(_recorded, options.names or INCIDENTS)))
    for half in ("tuning", "verification"):
        verdicts = {one.id: one.verdict() for one in recordings(half)}
        missed_here = {where: verdict for where, verdict in verdicts.items() if verdict}
        print(f"{half} half: {len(verdicts) - len(missed_here)} of {len(verdicts)} as expected")
        print(*(f"  {where}: {verdict}" for where, verdict in missed_here.items()), sep="\n")
    print(*_matrix(), sep="\n")
    for name in {one.name for one in recordings()}:
        (FOLDER / name / "findings.txt").write_text(Recording.golden(name))
    print(*missed, sep="\n")
    return int(bool(missed))


def _matrix() -> Iterator[str]:
    """Yield a line for each cause: how often each kind was the first finding above INFO."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in recordings():
        top = top_of(one.findings)
        found[(one.expected["kinds"] or ["nothing"])[-1]][top.kind if top else "nothing"] += 1
    for cause, kinds in sorted(found.items()):
        yield f"{cause:24}" + ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())


def _recorded(name: str) -> str:
    for tries in range(_TRIES):
        problem = _record(name, last=tries == _TRIES - 1)
        print(f"{name}: {problem or 'recorded'}", flush=True)
        if not problem:
            return ""
    return f"{name}: {problem}"


def _record(name: str, *, last: bool) -> str:
    """Play an incident. Return why it has to be played again; empty if it was recorded."""
    incident, found = INCIDENTS[name], {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "snapshot.json"
        given = {"endpoint": "", "interval": _INTERVAL}
        service = Service("app", incident, given, Path(folder) / "app.log")
        service.launch()
        try:
            service.program.expect("ready")
            time.sleep(HEALTHY)
            service.begin()
            for at in AT:
                time.sleep(max(service.began + at - time.time(), 0))
                service.program.send_line(str(file))
                service.program.expect("kept")
                found[at] = file.read_text()
        finally:
            service.end()
    if service.failed:
        return f"the incident itself failed: {service.failed}"
    starved = service.starved > _STARVED * (HEALTHY + AT[-1])
    if starved and incident.where != "event loop" and not last:
        return f"no processor for {service.starved:.1f} s"
    into = FOLDER / name
    into.mkdir(exist_ok=True)
    for at, text in found.items():
        data = neutral(text, _NEUTRAL).encode()
        (into / f"{at}.json.gz").write_bytes(gzip.compress(data, mtime=0))
    if not (into / "expected.toml").exists():
        (into / "expected.toml").write_text(expected(name))
    return ""


def neutral(text: str, folders: Mapping[str, str]) -> str:
    """The text with other folders, also in files whose long names were cut at their begin."""
    for path, other in folders.items():
        text = text.replace(path, other)
        for cut in range(1, len(path)):
            text = text.replace(f'"...{path[cut:]}/', f'"...{other}/')
    return text


def expected(name: str) -> str:
    """What the catalogue states about an incident, as text of the file beside its recordings."""
    from gluellm_diagnosis.findings import Kind

    from .catalogue import EXPECTED, HALVES

    one = INCIDENTS[name]
    half = next(half for half, names in HALVES.items() if name in names)
    kinds = {one.cause, *EXPECTED["kinds"].get(one.cause, ())} & set(Kind)
    lines = [f"# {one.answer}", f'half = "{half}"', f"status = {one.doctor}"]
    lines += [f"kinds = {sorted(kinds)}".replace("'", '"')]
    return "\n".join([*lines, f"facts = {list(one.facts)}", ""])


if __name__ == "__main__":
    sys.exit(main())
