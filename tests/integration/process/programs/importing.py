"""Imports modules in an isolated sub-interpreter, and prints which of them refuse, and how.

Arguments: "on" or "off", the modules.
"""

from __future__ import annotations

import sys

from integration.process.programs.interpreters import Interpreter

_BEFORE = """
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.patching import is_patched
GlueLLMInstrumentor().instrument(scope="all")
"""
_IMPORT = """
try:
    import {module}
except ImportError as error:
    print(f"{module}: {{error}}", flush=True)
"""
_AFTER = """
import urllib3
assert any(map(is_patched, vars(urllib3.HTTPConnectionPool).values()))
GlueLLMInstrumentor().uninstrument()
assert not any(map(is_patched, vars(urllib3.HTTPConnectionPool).values()))
"""

switch, *modules = sys.argv[1:]
interpreter = Interpreter("isolated")
if switch == "on":
    interpreter.run(_BEFORE)
for module in modules:
    interpreter.run(_IMPORT.format(module=module))
if switch == "on":
    interpreter.run(_AFTER)
interpreter.end()
