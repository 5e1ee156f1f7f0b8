"""All adapters together."""

from opentelemetry.instrumentation.gluellm.adapters import ADAPTERS
from opentelemetry.instrumentation.gluellm.telemetry import semconv


def test_libraries_of_the_adapters_are_those_of_the_contract():
    """The contract lists each value of ``gluellm.pool.library``."""
    libraries = [library for adapter in ADAPTERS for library in adapter.MODULES.values()]
    assert sorted(libraries) == sorted(semconv.POOL_LIBRARIES)
