"""How to configure the application's own clients of libraries other than httpx.

The wording relies on these facts, verified with aiohttp 3.14, urllib3 2.8, botocore 1.44 and
grpcio 1.85:

- aiohttp has one timeout that covers both the queue and connecting. A timeout that is left out of
  ``ClientTimeout`` is unlimited; the session's default does not apply.
- urllib3's pools make requests wait only with ``block=True``. In such a pool, a response that is
  closed unread occupies its connection's slot until ``release_conn()``.
- boto3's pools never make requests wait, and no setting changes that. ``max_pool_connections`` is
  the number of connections that they keep.
- A gRPC channel reads ``https_proxy``, in lower case only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from opentelemetry.instrumentation.gluellm.providers import is_carried_by

ONE_LOOP = "Run all calls in one event loop: asyncio.run(main()) once for the program"
LOOP_PER_CLIENT = f"{ONE_LOOP}, or build a client in each loop and close it before the loop ends"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnClient:
    """Advice on the client of one library, with the methods of ``Advisor``.

    ``{bound}`` stands for the pool's present limit on connections. A text is empty where no finding
    on pools of the library needs it: a gRPC channel shows neither connections nor limits.
    """

    sized: str = ""
    """How to allow ``{size}`` connections, with aiohttp's argument ``{argument}``."""
    sized_otherwise: str = ""
    """Added to ``sized`` for pools without a limit: their client may not support one."""
    wait: str = ""
    """How to set a pool timeout of ``{wait}`` and a read timeout of ``{read}`` seconds."""
    read: str = ""
    """How to set a read timeout of ``{read}`` seconds."""
    expiry: str = ""
    """How to keep idle connections for ``{expiry}`` seconds."""
    kept: str = ""
    """How to keep ``{size}`` idle connections."""
    probes: str = ""
    """How to turn SO_KEEPALIVE on."""
    instance: str
    """How to use one pool instead of one per call."""
    end: str
    """How to end a response so that it releases its connection."""
    bound: str = ""
    no_bound: str = ""
    may_be_gluellms = False

    def allow(self, size: int | str, argument: str = "limit") -> str:
        return self.sized.format(size=size, argument=argument)

    def limit(self, size: int) -> str:
        return self.allow(size) + self.sized_otherwise.format(size=size)

    def wait_at_most(self, wait: int, _maximum: int | None, read: float = 600.0) -> str:
        return self.wait.format(wait=wait, read=f"{read:g}")

    def read_at_most(self, read: int, _maximum: int | None, verb: str = "Raise the") -> str:
        return f"{verb} read timeout: {self.read.format(read=read)}"

    def keep_idle(self, expiry: int, maximum: int | None) -> str:
        return self.expiry.format(expiry=expiry, bound=self._bound(maximum))

    def keep(self, size: int) -> str:
        return self.kept.format(size=size)

    def probe_idle(self, maximum: int | None) -> str:
        return self.probes.format(bound=self._bound(maximum))

    def without_http2(self, _maximum: int | None) -> str:
        return "turn HTTP/2 off in the client"

    def keep_instance(self) -> str:
        return self.instance

    def one_loop(self) -> str:
        return LOOP_PER_CLIENT

    def end_answers(self) -> str:
        return self.end

    def _bound(self, maximum: int | None) -> str:
        return self.no_bound if maximum is None else self.bound.format(maximum=maximum)


_AIOHTTP = OwnClient(
    bound="limit={maximum}, ",
    no_bound="limit=0, ",
    sized="Allow {size} connections: aiohttp.ClientSession(connector=aiohttp.TCPConnector("
    "{argument}={size}))",
    wait="Set a timeout of a few seconds: timeout=aiohttp.ClientTimeout(connect={wait}, "
    "sock_read={read}) of the aiohttp.ClientSession. The argument connect limits queueing and "
    "connecting together. A timeout that is left out is unlimited",
    read="timeout=aiohttp.ClientTimeout(sock_connect=5, sock_read={read}) of the "
    "aiohttp.ClientSession",
    expiry="aiohttp.ClientSession(connector=aiohttp.TCPConnector({bound}"
    "keepalive_timeout={expiry}))",
    probes="aiohttp.ClientSession(connector=aiohttp.TCPConnector({bound}"
    "socket_factory=make_socket)), with a function make_socket(address) that returns "
    "socket.socket(*address[:3]) after its setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) "
    "and setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)",
    instance="Build one aiohttp.ClientSession when the program starts, and use it for all calls",
    end="Read each answer to its end or release it, also where the code may return or raise: use "
    "`async with session.get(...) as response:`, or call response.release()",
)

LITELLMS = replace(
    _AIOHTTP,
    sized="Allow {size} connections: set AIOHTTP_CONNECTOR_LIMIT={size} and "
    "AIOHTTP_CONNECTOR_LIMIT_PER_HOST={size} before the program imports litellm",
    wait="Set a timeout of a few seconds: litellm.acompletion(..., timeout=httpx.Timeout({read}, "
    "connect=5, pool={wait}))",
    read="litellm.acompletion(..., timeout=httpx.Timeout({read}, connect=5))",
)
"""LiteLLM's asynchronous clients use aiohttp."""

# Pools of boto3 and requests look like any other urllib3 pool, so each text covers all of them.
_URLLIB3 = OwnClient(
    bound="maxsize={maximum}, block=True, ",
    sized="Allow {size} connections: urllib3.PoolManager(maxsize={size}, block=True), or for a "
    'requests.Session mount("https://", requests.adapters.HTTPAdapter(pool_maxsize={size}, '
    "pool_block=True))",
    sized_otherwise=". A boto3 client has no such limit: call it in at most {size} threads, and "
    "let it keep {size} connections: config=botocore.config.Config(max_pool_connections={size})",
    wait="Set a pool timeout of a few seconds: pass pool_timeout={wait} to the request() or "
    "urlopen() of the urllib3.PoolManager; requests has no such timeout",
    read="pass timeout=urllib3.Timeout(connect=5, read={read}) to the urllib3.PoolManager, "
    "timeout=(5, {read}) to each call of a requests.Session, or for a boto3 client "
    "config=botocore.config.Config(read_timeout={read})",
    expiry="call clear() of the urllib3.PoolManager, or close() of the requests.Session, before "
    "the first request after a pause (urllib3 has no setting for this), or send the request again",
    kept="Keep {size} connections: urllib3.PoolManager(maxsize={size}), for a requests.Session "
    'mount("https://", requests.adapters.HTTPAdapter(pool_maxsize={size})), or for a boto3 client '
    "config=botocore.config.Config(max_pool_connections={size})",
    probes="urllib3.PoolManager({bound}socket_options=["
    "*urllib3.connection.HTTPConnection.default_socket_options, "
    "(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)]), "
    "or with requests: a requests.adapters.HTTPAdapter whose init_poolmanager() passes these "
    "socket_options, or with boto3: config=botocore.config.Config(tcp_keepalive=True)",
    instance="Build one urllib3.PoolManager, requests.Session or boto3 client when the program "
    "starts, and use it for all calls",
    end="Read each answer to its end and call response.release_conn(), also where the code may "
    "return or raise. To give one up, call response.close() and then response.release_conn(). "
    "With requests, read it in a `with response:` block. With a boto3 client, read or close the "
    "body or stream of the answer",
)

GRPC = OwnClient(
    instance="Open one channel when the program starts, and use it for all calls",
    end="Read each stream to its end, or cancel its call (call.cancel()), also where the loop may "
    "break, return or raise: grpc.aio keeps an unread call for ever",
)

_OWN_CLIENTS = {"aiohttp": _AIOHTTP, "urllib3": _URLLIB3, "grpc": GRPC}


def own_client(provider: str | None, library: str) -> OwnClient | None:
    """Return the advice on a client that the application owns.

    None if any-llm's provider uses that library, and for httpx and httpx2.
    """
    return None if is_carried_by(provider, library) else _OWN_CLIENTS.get(library)
