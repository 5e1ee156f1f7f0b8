"""Limits on what is received, remembered and waited for. docs/commands.md lists them."""

from __future__ import annotations

# Received.
CONNECTIONS = 64
HEAD_BYTES = 16 * 2**10
BODY_BYTES = 4 * 2**20
"""Body of a request, compressed and decompressed. gRPC has the same default."""
HELD_BYTES = 32 * 2**20
"""Bodies of all connections while they are received."""
RESOURCES = 1_000
"""Resources of a request."""
PARTS = 250_000
"""Scopes, metrics, points and attributes of a request: an empty one is two bytes on the wire."""
REQUEST_SECONDS = 10.0
"""From the start of a connection to the end of its request."""
LINGER_SECONDS = 2.0
"""Reading on before a connection is closed: a reset could overtake the answer."""

# Remembered.
PROCESSES = 32
SERIES = 20_000
"""Series of all processes."""
SERIES_PER_PROCESS = 5_000
BUCKETS = 200
SCOPES = 8
"""Names of other scopes kept for each process."""
NAME_CHARACTERS = 60
FINDINGS = 100
"""Findings of a process whose evidence is kept."""
MESSAGES, UNREAD_MESSAGES, MESSAGE_CHARACTERS = 5, 50, 2_000
LARGEST_VALUE = 1e15
"""Seconds or a count. Sums and shares of larger values would no longer be numbers."""

# Periods, in seconds.
WINDOW = 60.0
"""Period of the counters that are shown."""
SNAPSHOT_SECONDS = 5.0
"""Between two remembered states of a process."""
SILENT_SECONDS, SILENT_INTERVALS = 15.0, 2.5
"""A process is silent after the larger of the two."""
GONE_SECONDS, GONE_INTERVALS = 120.0, 5.0
"""A process is forgotten after the larger of the two."""
UNKNOWN_INTERVAL = 60.0
"""The SDK's default, assumed until the second export."""
REPLACED_SECONDS = 30.0
"""Silence after which a process makes room for another one."""
