"""What to check if connections to a server cannot be established."""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm.providers import is_carried_by

CONNECT_HELP = {
    "connect_timeout": (
        "no answer in time, since the host is down or overloaded, or a firewall drops packets",
        "check the address and the route to it (a longer connect timeout rarely helps)",
    ),
    "name_resolution_error": (
        "the host name does not resolve",
        "check {address} for a typing error, and the resolver of this machine or container",
    ),
    "connection_error": (
        "the connection is refused or reset, since nothing listens or a firewall rejects it",
        "check {address}, the port and {proxy}, and that the server runs",
    ),
    "secure_connection_error": (
        "TLS fails, since the certificate does not verify or the port has no TLS",
        "check {encryption} and, if a proxy intercepts TLS, {certificates}",
    ),
    "proxy_error": (
        "the proxy answered, and refused to connect to the server",
        (
            "find the status in the exception's message or the proxy's log (407: the proxy's URL "
            "needs credentials; 403: a rule forbids it; 502 to 504: the proxy reaches no server)"
        ),
    ),
    "too_many_open_files": (
        "the process has no file descriptor left",
        "keep one client instead of one per call, and raise ulimit -n",
    ),
    "no_local_ports": (
        "this machine has no local port left for that address",
        "keep one client and keep idle connections for longer, so that they are reused",
    ),
}
"""By ``error.type`` of requests whose connection was never established: what it means, and what to
check, with the names of `server_words` in braces."""

CERTIFICATE_HELP = {
    **dict.fromkeys(
        (2, 20, 21),
        "its issuer is unknown: the server does not send the intermediate certificate, or the "
        "client does not trust the authority",
    ),
    **dict.fromkeys(
        (18, 19), "it is self-signed, or a proxy signs with an authority that the client lacks"
    ),
    9: "it is not valid yet",
    10: "it has expired",
    **dict.fromkeys((62, 64), "it is for another host"),
}
"""By OpenSSL's verify code: why a certificate does not verify."""

SET_UP_HELP = {
    "resolve": ("resolving the name", "check the name servers and ndots in /etc/resolv.conf"),
    "thread": (
        "waiting for a thread of the event loop's default executor to resolve the name",
        "give other blocking work an executor of its own, or the loop a larger default executor",
    ),
    "connect": ("in the TCP handshake", "check the route to the server, and whether IPv6 works"),
    "proxy": ("waiting for the proxy", "check the proxy"),
    "tls": ("in the TLS handshake", "check whether this process or the server is short of CPU"),
    "other": ("in a step that the library does not show", "check the resolver and the proxy"),
}
"""By step of establishing a connection: its name in a text, and what to do."""

_SERVER_WORDS = {
    "address": "the URL",
    "proxy": "the proxy, if there is one",
    "encryption": "the scheme of the URL (http or https)",
    "certificates": "the certificates that the client trusts",
}
_ANY_LLMS_WORDS = {
    "address": "api_base",
    "proxy": "HTTPS_PROXY",
    "encryption": "the scheme of api_base (http or https)",
    "certificates": "SSL_CERT_FILE",
}
_GRPC_WORDS = {
    "address": "the channel's target",
    "proxy": "https_proxy",
    "encryption": "whether the server expects TLS (secure_channel or insecure_channel)",
    "certificates": "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
}


def server_words(provider: str | None, library: str) -> dict[str, str]:
    """Return the names under which users know a client's settings for its server.

    These are any-llm's if its provider uses the library, otherwise the library's.
    """
    if is_carried_by(provider, library):
        return _ANY_LLMS_WORDS
    return _GRPC_WORDS if library == "grpc" else _SERVER_WORDS
