"""Identity of the process, by which a person gets from an alert to it."""

from __future__ import annotations

import functools
import os
import urllib.parse
import uuid

INSTANCE_ID = "service.instance.id"
_ATTRIBUTES = "OTEL_RESOURCE_ATTRIBUTES"


@functools.cache
def instance_id() -> str:
    """Return the process's ``service.instance.id``: from the environment, else a random UUID.

    A forked child has its parent's, as the resource of its telemetry does.
    """
    for entry in os.environ.get(_ATTRIBUTES, "").split(","):
        key, _, value = entry.partition("=")
        if key.strip() == INSTANCE_ID and value.strip():
            return urllib.parse.unquote(value.strip())
    return str(uuid.uuid4())
