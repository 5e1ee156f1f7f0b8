"""All adapters together."""

import importlib
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.adapters import ADAPTERS
from opentelemetry.instrumentation.gluellm.adapters.base import Adapter
from opentelemetry.instrumentation.gluellm.adapters.httpcore.adapter import HttpcoreAdapter
from opentelemetry.instrumentation.gluellm.adapters.scope import Scope
from opentelemetry.instrumentation.gluellm.adapters.urllib3.adapter import Urllib3Adapter
from opentelemetry.instrumentation.gluellm.patching import Hooks
from opentelemetry.instrumentation.gluellm.telemetry import semconv


def test_libraries_of_the_adapters_are_those_of_the_contract():
    """The contract lists each value of ``gluellm.pool.library``."""
    libraries = [library for adapter in ADAPTERS for library in adapter.MODULES.values()]
    assert sorted(libraries) == sorted(semconv.POOL_LIBRARIES)


@pytest.mark.parametrize(
    ("kind", "module"), [(HttpcoreAdapter, "httpcore"), (Urllib3Adapter, "urllib3")]
)
def test_hooks_that_another_thread_uninstalls_meanwhile_are_not_missing(
    kind, module, scene, monkeypatch
):
    """They are not reported: no warning, and no metric."""
    importlib.import_module(module)
    reported: list[Hooks] = []
    adapter: Adapter = kind(module, reported.append)
    replace = adapter._replace

    def uninstalled(*args: Any, **kwargs: Any) -> bool:
        adapter.uninstall()
        return replace(*args, **kwargs)

    monkeypatch.setattr(adapter, "_replace", uninstalled)
    adapter.install(
        lambda library, reader: Scope(
            library,
            reader,
            registry=scene.registry,
            current_call=lambda: None,
            suppressed=lambda: False,
            note_streaming=False,
            everything=True,
        )
    )
    assert reported == []
