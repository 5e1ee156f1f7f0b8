"""End while an instrumented sub-interpreter exists.

Arguments: the sub-interpreter's configuration, and a URL that answers at once.
"""

import sys

from integration.process.programs.interpreters import Interpreter

configuration, url = sys.argv[1:]
other = Interpreter(configuration)
other.run(
    "from integration.process.programs.interpreting import Living\n"
    f"living = Living({url!r}); living.send(1); living.telemetry.collect()"
)
sys.stdout.write("end\n")
