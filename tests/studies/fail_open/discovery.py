"""Find every method that the package replaces: instrument everything in a fresh process."""

import importlib
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

LIBRARIES = ("httpcore", "httpcore2", "aiohttp", "urllib3", "grpc")
PROCESSES = multiprocessing.get_context("forkserver")
"""The fork server imports what all trials need, but no library, so a process starts in 0.1 s."""
PROCESSES.set_forkserver_preload(
    """aiohappyeyeballs aiosignal anyio attr certifi email.headerregistry email.parser
    h2.connection h11 http.cookies pickle socksio trio urllib.request yarl
    studies.fail_open.trial""".split()
)


def replaced() -> list[str]:
    """``module:class:method`` of each replaced method."""
    with ProcessPoolExecutor(1, PROCESSES) as process:
        return process.submit(_replaced).result()


def _replaced() -> list[str]:
    from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
    from support.installation import installed

    for library in (*LIBRARIES, "grpc.aio", "urllib3.http2.connection"):
        importlib.import_module(library)
    GlueLLMInstrumentor().instrument(scope="all")
    patches = [p for adapter in installed()._adapters for p in adapter._patches._patches.values()]
    owners = [
        (owner, patch.name)
        for patch in patches
        # Resolvers of names are in other packages: tests/contract/test_setup_steps.py.
        if isinstance(owner := patch.owner(), type)
        and owner.__module__.partition(".")[0] in LIBRARIES
    ]
    GlueLLMInstrumentor().uninstrument()
    return sorted({f"{o.__module__}:{o.__qualname__}:{name}" for o, name in owners})
