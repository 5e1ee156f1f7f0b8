"""docs/watch.md tells the bounds that are in force."""

from pathlib import Path

import pytest

from opentelemetry.instrumentation.gluellm.cli.watch import bounds

PAGE = " ".join((Path(__file__).parents[4] / "docs" / "watch.md").read_text().split())
SERIES = f"{bounds.SERIES_PER_PROCESS:,} series of one and {bounds.SERIES:,} of all"


@pytest.mark.parametrize(
    "said",
    [
        f"more than {bounds.HEAD_SECONDS:.0f} s, a body",
        f"takes more than {bounds.BODY_SECONDS:.0f} s",
        f"{bounds.BODY_BYTES // 2**20} MiB as sent",
        f"{bounds.EXPANDED_BYTES // 2**20} MiB expanded",
        f"{bounds.PARTS:,} parts".replace(",", " "),
        f"a head of more than {bounds.HEAD_BYTES // 2**10} KiB",
        f"more than {bounds.CONNECTIONS} connections",
        f"bodies of more than {bounds.HELD_BYTES // 2**20} MiB at once",
        f"closed after {bounds.IDLE_SECONDS:.0f} s",
        f"at most {bounds.PROCESSES} processes",
        SERIES.replace(",", " "),
        f"after {bounds.UNKNOWN_GONE_SECONDS / 60:.0f} minutes if it exported only once",
        f"silent for {bounds.REPLACED_SECONDS:.0f} s makes room",
        f"({bounds.SILENT_SECONDS:.0f} s at least)",
        f"after {bounds.GONE_SECONDS / 60:.0f} minutes, or five intervals",
    ],
)
def test_the_page_tells_the_bound(said):
    """A changed bound must change the page."""
    assert said in PAGE
