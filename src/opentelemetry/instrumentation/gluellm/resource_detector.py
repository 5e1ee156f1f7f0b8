"""Resource detector of the SDK: entry point ``gluellm``.

``OTEL_EXPERIMENTAL_RESOURCE_DETECTORS=gluellm`` turns it on. It adds what a person needs to reach
the process: host, PID and instance. The SDK's own ``process`` detector also exports command lines,
which can contain keys.
"""

from __future__ import annotations

import os
import socket

from opentelemetry.sdk.resources import Resource, ResourceDetector

from .identity import INSTANCE_ID, instance_id


class GlueLLMResourceDetector(ResourceDetector):
    """Detector of ``host.name``, ``process.pid`` and ``service.instance.id``."""

    def detect(self) -> Resource:
        """Return the three attributes. After a fork, ``process.pid`` is the parent's."""
        return Resource(
            {
                "host.name": socket.gethostname(),
                "process.pid": os.getpid(),
                INSTANCE_ID: instance_id(),
            }
        )
