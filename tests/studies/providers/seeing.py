"""Lets one provider make one call, and keeps what the instrumentation reports about it."""

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest

from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.snapshots.parts import PoolSnapshot
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.fake_llms import FakeLLMs
from support.fake_xai import FakeXai
from support.installation import instrumented
from support.listener import L, ServerLoop
from support.network import Certificates
from support.providers import ENVIRONMENT
from support.proxies import HTTPProxy

from .calls import call, create
from .fake_lm_studio import FakeLMStudio
from .rows import Row

Points = dict[str, list[Any]]


@dataclass(slots=True)
class Moment:
    """Snapshot and metrics at one moment."""

    snapshot: Snapshot
    points: Points


@dataclass(slots=True)
class Seen:
    """What was reported about one call: while the provider was being asked, and afterwards."""

    port: int
    asked: list[Moment] = field(default_factory=list)
    after: Moment | None = None

    @property
    def during(self) -> Moment:
        """When the provider was asked for the last time."""
        return self.asked[-1]

    def calling(self) -> list[PoolSnapshot]:
        """The pools that had the call's requests in flight."""
        return [pool for pool in self.during.snapshot.pools if pool.requests]


class Fakes:
    """Starts the fake servers that a provider needs, on loopback. Used as a context."""

    def __enter__(self) -> Self:
        self._servers = ServerLoop()
        self._certificates = Certificates.make()
        self._folder = tempfile.TemporaryDirectory()
        self._directory = Path(self._folder.name)
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()
        self._servers.stop()

    @contextlib.contextmanager
    def of(self, row: Row, look: Callable[[str], None]) -> Iterator[tuple[str, int]]:
        """The origin to call the provider at, and the expected ``server.port``."""
        with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as ended:

            def listen(kind: Callable[..., L], **settings: Any) -> L:
                listener = kind(self._servers, **settings)
                ended.callback(listener.close)
                return listener

            for name, value in ENVIRONMENT.items():
                patch.setenv(name, value)
            if row.provider == "lmstudio":
                studio = listen(FakeLMStudio, look=look)
                yield f"127.0.0.1:{studio.port}", studio.port
                return
            if row.provider == "xai":
                xai = listen(WatchedXai, look=look)
                yield f"localhost:{xai.port}", xai.port
                return
            tls = self._watsonx(row, patch) if row.provider == "watsonx" else None
            server = listen(FakeLLMs, tls=tls)
            server.answers.look = look
            if tls is not None:
                # The SDK accepts IBM's hosts and TLS only: a proxy leads to the fake one.
                patch.setenv("HTTPS_PROXY", listen(Detour, end=server.port).origin)
                yield "", 443
                return
            if row.provider == "huggingface":
                _ask_the_hub_at(server.origin, self._directory, patch)
            yield server.origin, server.port

    def _watsonx(self, row: Row, patch: pytest.MonkeyPatch) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority = self._certificates.authority
        authority.issue_cert(row.host, *row.elsewhere).configure_cert(context)
        trusted = self._directory / "authority.pem"
        authority.cert_pem.write_to_path(str(trusted))
        patch.setenv("SSL_CERT_FILE", str(trusted))
        return context


class WatchedXai(FakeXai):
    """xAI's server; ``look`` is called before a call is answered."""

    look: Any = None

    async def answer(self, path: str, context: Any) -> AsyncIterator[bytes]:
        """Answer one call."""
        self.look(path)
        async for piece in super().answer(path, context):
            yield piece


class Detour(HTTPProxy):
    """A proxy whose every tunnel ends at one port of loopback."""

    end = 0
    """The port."""

    async def _relay(self, host: str, port: int, *args: Any, **kwargs: Any) -> None:
        await super()._relay("127.0.0.1", self.end, *args, **kwargs)


def _ask_the_hub_at(origin: str, directory: Path, patch: pytest.MonkeyPatch) -> None:
    """Do what HF_ENDPOINT and HF_HOME do, which are read at import only.

    The sync client is closed as well: it is kept for the process, with its first limits.
    """
    from huggingface_hub import close_session, constants
    from huggingface_hub.utils import _detect_agent, _http

    close_session()
    patch.setattr(constants, "ENDPOINT", origin)
    patch.setattr(constants, "AGENT_HARNESSES_PATH", str(directory / "harnesses.json"))
    patch.setattr(_detect_agent, "_registry", None)
    # Advice may set it for the whole process; the patch restores it.
    factory = "_GLOBAL_ASYNC_CLIENT_FACTORY"
    patch.setattr(_http, factory, getattr(_http, factory))


def see(
    row: Row,
    fakes: Fakes,
    *,
    build: Callable[[str], Any] | None = None,
    make_call: Callable[[Any], Any] | None = None,
) -> Seen:
    """Build the provider, call it once, and keep what was reported.

    ``build`` gets the fake's origin, ``make_call`` the instance; it calls synchronously.
    """
    with instrumented(scope="llm") as telemetry:
        seen = Seen(0)

        def look(path: str) -> None:
            seen.asked.append(Moment(snapshot(), telemetry.collect()))

        with fakes.of(row, look) as (origin, port):
            seen.port = port
            build = build or partial(create, row.provider)

            async def once() -> Any:
                instance = build(origin)
                await call(instance, row)
                # While the instance lives, on its loop.
                seen.after = Moment(snapshot(), telemetry.collect())
                return instance

            if make_call is None:
                instance = asyncio.run(once())
            else:
                make_call(instance := build(origin))
                seen.after = Moment(snapshot(), telemetry.collect())
            del instance
    return seen


def measured(row: Row, seen: Seen) -> Row:
    """The row with measured values in place of the expected ones."""
    pools = seen.calling()
    points = seen.during.points[semconv.POOL_LIVE.name]
    assert seen.after is not None
    return replace(
        row,
        name=_one(point.attributes[semconv.PROVIDER_NAME] for point in points),
        library=_one(pool.library for pool in pools),
        maximum=_one(pool.max_connections for pool in pools),
        idle_maximum=_one(pool.max_idle_connections for pool in pools),
        keepalive_expiry=_one(pool.keepalive_expiry for pool in pools),
        pool_timeout=_one(pool.pool_timeout for pool in pools),
        read_timeout=_one(pool.read_timeout for pool in pools),
        threads=_one(pool.threads is not None for pool in pools),
        calling=len(pools),
        pools=sum(total.pools_opened for total in seen.after.snapshot.totals),
    )


def _one(values: Iterable[Any]) -> Any:
    """The one distinct value."""
    (value,) = set(values)
    return value


def metric_names(seen: Seen) -> set[str]:
    """The metrics that had a point of a pool."""
    assert seen.after is not None
    return {
        name
        for moment in (seen.during, seen.after)
        for name, points in moment.points.items()
        if any(semconv.POOL_NAME in point.attributes for point in points)
    }
