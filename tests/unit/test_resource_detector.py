"""What the process adds to its resource, for a person who has to reach it."""

import os
import socket
import subprocess
import sys
import uuid

PROGRAM = """
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.instrumentation.gluellm.identity import instance_id
found = Resource.create().attributes
print(found["service.instance.id"] == instance_id())
print(*(f"{key}={value}" for key, value in sorted(found.items())), sep=chr(10))
"""


def resource(**environment: str) -> dict[str, str]:
    """The attributes of a new process's resource."""
    done = subprocess.run(
        (sys.executable, "-c", PROGRAM, "secret-argument"),
        env={**os.environ, "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "gluellm", **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    agrees, *lines = done.stdout.splitlines()
    assert agrees == "True", done.stdout
    return dict(line.split("=", 1) for line in lines)


def test_detector_adds_host_pid_and_a_random_instance():
    found = resource()
    added = {key for key in found if not key.startswith("telemetry.")} - {"service.name"}
    assert added == {"host.name", "process.pid", "service.instance.id"}
    assert found["host.name"] == socket.gethostname()
    assert uuid.UUID(found["service.instance.id"]).version == 4
    assert "secret-argument" not in "".join(found.values())


def test_instance_of_the_environment_is_used():
    attributes = "service.name=bot,service.instance.id=pod%2D1"
    assert resource(OTEL_RESOURCE_ATTRIBUTES=attributes)["service.instance.id"] == "pod-1"
