"""How much is taken, kept and waited for. docs/watch.md tells the same numbers."""

from __future__ import annotations

# One request.
HEAD_BYTES = 16 * 2**10
BODY_BYTES = 4 * 2**20
"""A body as it is sent, compressed or not."""
EXPANDED_BYTES = 16 * 2**20
"""A body once it is decompressed."""
UNCOUNTED_BYTES = 2**19
"""A body up to this size is decoded without counting its parts first."""
PARTS = 400_000
"""Messages, and texts and packed numbers of lists, in a body: each one, however empty, costs the
decoder up to tens of bytes."""
HEAD_SECONDS = 10.0
"""From a request's first byte to the end of its head, and for the first byte of a connection."""
BODY_SECONDS = 30.0
IDLE_SECONDS = 90.0
"""Between two requests: longer than the SDK's export interval of 60 s."""
LINGER_SECONDS = 2.0
"""For which a refused client's bytes are read and thrown away, so that it sees the answer."""

# All requests.
CONNECTIONS = 64
LINGERING = 64
"""Connections that are being refused; beyond them one is cut off without an answer."""
HELD_BYTES = 32 * 2**20
"""Bodies of all connections that are yet to be decoded."""
RETRY_AFTER = 2
"""Seconds, as told to a client that came at a busy moment."""

# What is remembered.
PROCESSES = 32
SERIES = 20_000
"""Series of all processes."""
SERIES_PER_PROCESS = 5_000
BUCKETS = 200
SCOPES = 8
"""Names of foreign scopes kept for each process."""
NAME_CHARACTERS = 60
LOG_LINES = 50
"""Log records that are yet to be shown."""
LOG_CHARACTERS = 2_000
LARGEST_VALUE = 1e15
"""Of seconds or a count: beyond it, sums and shares would no longer be numbers."""

# When a process counts as silent, and as gone.
WINDOW = 60.0
"""Seconds over which counters are shown."""
SNAPSHOT_SECONDS = 5.0
"""Between two states kept to reckon from."""
SILENT_INTERVALS = 2.5
SILENT_SECONDS = 15.0
"""At least this long, and 2.5 export intervals."""
UNKNOWN_INTERVAL = 60.0
"""The SDK's default, until a second export has told."""
UNKNOWN_GONE_SECONDS = 360.0
"""After a single export: the next one may come every five minutes."""
GONE_SECONDS = 120.0
"""At least this long, and 5 export intervals."""
GONE_INTERVALS = 5.0
REPLACED_SECONDS = 30.0
"""A process that has been silent for so long makes room for a new one."""
