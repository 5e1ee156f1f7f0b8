"""Send requests in the main interpreter of a process and in a sub-interpreter, step by step.

Arguments: the sub-interpreter's configuration ("legacy", "isolated"), a URL that answers at once,
and one that begins to answer but never ends. Prints one JSON object for each step.
"""

import json
import logging
import sys
import threading
from typing import Any

from integration.process.programs.interpreters import Interpreter
from integration.process.requesting import LIBRARIES, Requesting
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.installation import instrument
from support.telemetry import Telemetry


class Living:
    """An interpreter's own instrumentation, and requests of every library in it."""

    def __init__(self, url: str) -> None:
        logging.basicConfig(format="%(message)s", level=logging.WARNING)
        self.telemetry = Telemetry()
        self.url = url
        instrument(self.telemetry)
        self._pools = [Requesting.of(library, url) for library in LIBRARIES]

    def send(self, requests: int) -> None:
        """Send this number of requests with each library."""
        for pool in self._pools:
            for _ in range(requests):
                pool.send()

    def show(self, what: str) -> None:
        """Print what this interpreter has counted, and its number of own threads."""
        state = {
            "what": what,
            "requests": self.telemetry.by(semconv.REQUESTS, "library"),
            "acquires": self.telemetry.count(semconv.ACQUIRE_DURATION),
            "active": self.telemetry.value(semconv.ACTIVE_REQUESTS),
            "errors": {
                point.attributes[semconv.INSTRUMENTATION_KIND]: point.value
                for point in self.telemetry.points(semconv.INSTRUMENTATION_ERRORS)
                if point.value
            },
            "threads": sum(thread.name.startswith("gluellm") for thread in threading.enumerate()),
        }
        sys.stdout.write(json.dumps(state) + "\n")
        sys.stdout.flush()

    def uninstrument(self) -> None:
        """Uninstrument this interpreter only."""
        GlueLLMInstrumentor().uninstrument()


def main(configuration: str, url: str, never: str) -> None:
    """Run the steps, alternating between both interpreters."""
    own = Living(url)
    own.send(3)
    kept: list[Any] = [Requesting.of("httpx2", never), Requesting.of("urllib3", never)]
    with kept[0].raw.stream("GET", never), kept[1].raw.request("GET", never, preload_content=False):
        begin = "from integration.process.programs.interpreting import Living\n"
        other = Interpreter(configuration)
        other.run(f"{begin}living = Living({url!r}); living.send(2); living.show('other')")
        own.show("main beside the other")
        other.run("living.uninstrument(); living.send(1); living.show('other after uninstrument')")
        own.send(1)
        own.show("main after the other's uninstrument")
        other.end()

        # Another one ends while it is instrumented, and while main sends requests.
        second = Interpreter(configuration)
        second.run(f"{begin}living = Living({url!r}); living.send(1)")
        own.uninstrument()
        second.run("living.send(4); living.show('second after main has uninstrumented')")
        instrument(own.telemetry)
        sending = threading.Thread(target=own.send, args=(20,))
        sending.start()
        second.end()
        sending.join()
    own.show("main at the end")


if __name__ == "__main__":
    main(*sys.argv[1:])
