"""What a pool of urllib3 shows, read without having been tracked. It lists no connection in use.

``doctor --attach`` runs this file's source in a process that may lack this package. It imports the
standard library only, and changes nothing.
"""

from __future__ import annotations

from typing import Any

POOLS = {"urllib3": "urllib3"}
CLASSES = ("HTTPConnectionPool",)
CLIENTS: dict[str, tuple[str, ...]] = {}


def listed(pool: Any) -> dict[str, Any]:
    """Return the limits of a pool, its connections, and how many requests queue.

    The connections in use are what is missing in the queue, so there are more without ``block``.
    """
    queue = pool.pool
    items = () if queue is None else tuple(queue.queue)
    size = 0 if queue is None else queue.maxsize
    idle = [one for one in items if getattr(one, "sock", None) is not None]
    used = max(0, size - len(items))
    queued = len(getattr(getattr(queue, "not_empty", None), "_waiters", ()))
    timeout = getattr(pool, "timeout", None)
    read = getattr(timeout, "_read", None)
    return {
        "max_connections": size if size and pool.block else None,
        "max_idle_connections": size or None,
        "synchronous": True,
        "in_flight": used + queued,
        "queued": queued,
        "read_timeout": read if isinstance(read, (int, float)) else None,
        "connections": [
            {
                "host": pool.host,
                "port": pool.port,
                "secure": pool.scheme == "https",
                "state": "active" if one is None else "idle",
                "protocol": "1.1",
                "requests_served": 0,
                "held_before": "" if one is None else None,
                "socket": getattr(one, "sock", None),
            }
            for one in (*[None] * used, *idle)
        ],
    }
