"""What the census expects of each any-llm provider: its SDK, its library and its limits."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"
CHAT, EMBEDDINGS, DECIDE = "chat", "embeddings", "decide"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One provider. Times are seconds; None is no limit, and no timeout."""

    provider: str
    """any-llm's key, which is also the pool's name."""
    name: str
    """``gen_ai.provider.name``."""
    sdk: str
    library: str
    maximum: int | None
    idle_maximum: int | None
    keepalive_expiry: float | None
    pool_timeout: float | None
    read_timeout: float | None
    operation: str = CHAT
    host: str = LOOPBACK
    """``server.address`` of the request; the port is the fake's, or 443 for a real name."""
    pools: int = 1
    """Pools that one instance with one call uses."""
    requests: int = 1
    """Requests that it sends to the provider's host."""
    elsewhere: tuple[str, ...] = ()
    """Further hosts, each of which gets one request."""
    calling: int = 1
    """Pools that have a request in flight when the provider is asked."""
    reports_operation: bool = True
    """Whether requests report their operation: not if the SDK sends them in its own thread."""
    protocol: str = "1.1"
    """The protocol of its connections; empty if the library doesn't report connections."""
    threads: bool = False
    """Whether an executor's threads send the requests, and so limit them."""
    note: str = ""


def _rows() -> Iterator[Row]:
    table = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
    for row in table["rows"]:
        maximum, idle, *times = row.pop("limits").split() + row.pop("timeouts").split()
        expiry, *timeouts = (None if time == "-" else float(time) for time in times)
        for provider in row.pop("providers").split():
            yield Row(
                provider=provider,
                name=table["names"].get(provider, provider),
                maximum=None if maximum == "-" else int(maximum),
                idle_maximum=None if idle == "-" else int(idle),
                keepalive_expiry=expiry,
                pool_timeout=timeouts[0],
                read_timeout=timeouts[1],
                elsewhere=tuple(row.get("elsewhere", ())),
                **{name: value for name, value in row.items() if name != "elsewhere"},
            )


ROWS: tuple[Row, ...] = tuple(_rows())
BY_PROVIDER = {row.provider: row for row in ROWS}
