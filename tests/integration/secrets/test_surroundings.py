"""No private data around a request is reported: proxies, sockets, hosts, names, variables."""

import asyncio
import contextlib
import logging
import threading
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest
import trustme
import urllib3

from opentelemetry.instrumentation.gluellm.patching import when_imported
from opentelemetry.instrumentation.gluellm.watch.busy_loops import busy_loops
from support.http1 import HTTP1Server
from support.libraries import Library
from support.network import Certificates
from support.proxies import HTTPProxy
from support.script import Reply

from .outcomes import Attempts

CLIENTS = ["httpx", "httpx2"]


@pytest.mark.parametrize("refuses", [False, True], ids=["passes", "refuses"])
@pytest.mark.parametrize("name", ["httpx", "httpx2", "aiohttp", "urllib3"])
def test_proxy_credentials_leave_no_trace_in_telemetry(
    name, refuses, start_runner, listen, certificates, places
):
    """They are in the proxy's URL. It forwards requests and opens tunnels, or refuses both."""
    proxy = listen(HTTPProxy)
    proxy.refuses = refuses
    user, password = places.plant("the user of a proxy"), places.plant("a proxy's password")
    there = proxy.url("").replace("//", f"//{user}:{password}@")
    runner = start_runner("asyncio" if name == "aiohttp" else "sync")
    library = Library.load(name)
    path = f"/{places.plant('a path')}"
    for tls in (None, certificates.server()):
        server = listen(HTTP1Server, tls=tls)
        server.reply(path, Reply())
        if name in CLIENTS:
            pool = runner.client(library, proxy=there, verify=certificates.client())
        else:
            pool = runner.pool(library, proxy=there, ssl_context=certificates.client())
        attempts = Attempts(pool, places)
        for _ in range(2):
            attempts.whole(server.origin, path)
    places.look()
    assert proxy.timeline.count("connect") + proxy.timeline.count("forward") >= 2
    places.assert_no_canary()


def test_unix_socket_path_leaves_no_trace_in_telemetry(listen, tmp_path, places):
    """The test covers all libraries that connect to Unix sockets."""
    directory = tmp_path / places.plant("the path of a socket")
    directory.mkdir()
    socket = directory / "s"
    server = listen(HTTP1Server, unix_path=socket)
    server.reply("/", Reply())
    for name in CLIENTS:
        library = Library.load(name)
        transport = library.client.HTTPTransport(uds=str(socket))
        with library.client.Client(transport=transport) as client:
            assert client.get("http://local/").status_code == 200
        missing = library.client.HTTPTransport(uds=f"{socket}.missing")
        with library.client.Client(transport=missing) as client, contextlib.suppress(Exception):
            client.get("http://local/")

    async def main() -> None:
        for path in (str(socket), f"{socket}.missing"):
            async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as session:
                with contextlib.suppress(aiohttp.ClientError):
                    await session.get("http://local/")

    asyncio.run(main())
    secret = places.plant("an abstract socket")
    targets = [f"unix:{socket}", f"unix://{socket}", f"unix-abstract:{secret}", f"UNIX:{secret}"]
    for target in targets:
        with grpc.insecure_channel(target) as channel, contextlib.suppress(grpc.RpcError):
            channel.unary_unary("/a/b")(b"", timeout=0.2)
    places.assert_no_canary()


HOSTS = {
    "a long key as a host": "sk-proj-{}" + "x" * 60,
    "a key with underscores as a host": "sk_live_{}" + "y" * 60,
    "a URL as a host": "https://{}.example/v1",
    "a user as a host": "{}@host",
    "a pair as a host": "user:{}",
    "a key with a space as a host": "Bearer {}",
    "a header as a host": "x\r\nkey: {}",
    "a scheme as a host": "vault:{}:443",
}
"""Values that are passed as a host by mistake."""


def test_key_or_url_passed_as_host_leaves_no_trace_in_telemetry(places):
    """All libraries' hosts of this kind are reported as ``_OTHER``."""
    for place, form in HOSTS.items():
        host = form.format(places.plant(place))
        for name in CLIENTS:
            core = Library.load(name).core
            url = core.URL(scheme=b"http", host=host.encode(), port=80, target=b"/")
            with core.ConnectionPool() as pool, contextlib.suppress(Exception):
                pool.handle_request(core.Request("GET", url))
            with Library.load(name).client.Client() as client, contextlib.suppress(Exception):
                client.get(f"http://{host}/")
        with contextlib.suppress(Exception):
            urllib3.HTTPConnectionPool(host, 80, retries=False, timeout=0.5).request("GET", "/")
        for target in (host, f"{host}:443", f"dns:///{host}", f"custom:{host}"):
            with contextlib.suppress(Exception), grpc.insecure_channel(target) as channel:
                channel.unary_unary("/a/b")(b"", timeout=0.2)

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            for place, form in HOSTS.items():
                with contextlib.suppress(Exception):
                    await session.get(f"http://{form.format(places.plant(place))}/")

    asyncio.run(main())
    places.assert_no_canary()
    assert '"_OTHER"' in places.texts["metrics"]


def test_tls_server_name_and_certificate_leave_no_trace_in_telemetry(listen, places):
    """These are the name in the handshake, and those in a certificate that doesn't match."""
    authority = trustme.CA(organization_name=places.plant("the issuer of a certificate"))
    other = Certificates(authority)
    issued = authority.issue_cert(
        f"{places.plant('the name in a certificate')}.example",
        common_name=places.plant("the subject of a certificate"),
    )
    context = other.server()
    issued.configure_cert(context)
    server = listen(HTTP1Server, tls=context)
    name = f"{places.plant('the name asked for in TLS')}.example"
    for library in map(Library.load, CLIENTS):
        for trusting in (other.client(), Certificates.distrusting_client()):
            with library.client.Client(verify=trusting) as client, contextlib.suppress(Exception):
                client.get(server.url("/"), extensions={"sni_hostname": name})
    for trusting in (other.client(), Certificates.distrusting_client()):
        manager = urllib3.PoolManager(ssl_context=trusting, server_hostname=name, retries=False)
        with contextlib.suppress(Exception):
            manager.request("GET", server.url("/"))

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            with contextlib.suppress(aiohttp.ClientError):
                await session.get(server.url("/"), ssl=other.client(), server_hostname=name)

    asyncio.run(main())
    places.look()
    assert '"secure_connection_error"' in places.texts["metrics"]
    places.assert_no_canary()


def test_thread_and_task_names_and_variables_leave_no_trace_in_telemetry(server, places):
    """The threads send requests, and their event loop is blocked."""
    library = Library.load("httpx2")
    held, finish = threading.Event(), threading.Event()
    secret = places.plant("the value of a variable")

    async def main() -> None:
        key = secret
        async with library.client.AsyncClient(verify=False) as client:
            request = client.get(server.url("/"), headers={"key": key})
            await asyncio.create_task(request, name=places.plant("the name of a task"))
            held.set()
            finish.wait(60)

    def run() -> None:
        asyncio.run(main())

    thread = threading.Thread(target=run, name=places.plant("the name of a thread"))
    thread.start()
    assert held.wait(60)
    busy = [line for stack in busy_loops() for line in stack]
    finish.set()
    thread.join()
    assert any("in test_thread_and_task_names" in line for line in busy), busy
    places.add("where blocked loops are", "\n".join(busy))
    places.assert_no_canary()


def test_application_exceptions_leave_no_trace_in_telemetry(server, places, caplog):
    """They are raised by event hooks, by a body, and during a request."""
    secret = places.plant("an exception of the application")

    def fail(*_: Any) -> None:
        raise RuntimeError(secret)

    for name in CLIENTS:
        library = Library.load(name)
        for kind in ("request", "response"):
            hooks = {kind: [fail]}
            with (
                library.client.Client(event_hooks=hooks, verify=False) as client,
                pytest.raises(RuntimeError),
            ):
                client.get(server.url("/"))
        with (
            library.client.Client(verify=False) as client,
            pytest.raises(RuntimeError),
            client.stream("GET", server.url("/")),
        ):
            fail()
        with library.client.Client(verify=False) as client, pytest.raises(RuntimeError):
            client.post(server.url("/"), content=(fail() for _ in range(1)))

    class Hooked:
        imported = fail

    hooked = Hooked()
    with caplog.at_level(logging.DEBUG):
        when_imported("json", hooked.imported)
    assert "Could not set up instrumentation for json: RuntimeError at " in caplog.text
    places.assert_no_canary()
