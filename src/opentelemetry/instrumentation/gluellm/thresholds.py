"""Every threshold once, with its reason.

The rules of ``diagnose()``, the log, ``watch``, the boards and the alerts read them here, so that
all of them use the same definitions. Where an alert differs on purpose, its value has ``_ALERT_``
in its name and states the reason. This module imports nothing.

Durations are seconds. Shares are between 0 and 1.
"""

# --- Waiting for a connection ---------------------------------------------------------------------

WAIT_NOTICED = 1.0
"""A request that waits for this long delays its caller noticeably. Shorter waits are bursts."""
STUCK_AFTER = 10.0
"""A request that has been queued for this long is stuck: a burst would be over by then."""
STUCK_ALERT_AFTER = 30.0
"""GlueLLMRequestsStuck pages, so it waits longer than the log does: some pools recover by
themselves within 30 s."""
YOUNG_CALL = 10.0
"""A call that holds its connection for less than this explains no long wait of other requests."""
QUEUED_SHARE = 0.1
"""Of all request time. httpcore 1.0.9 can assign one idle connection to several requests, and all
but one queue for a moment although connections are free: that stays below this share."""
QUEUED_TIME = 0.01
"""Per request: a large share of almost no time is no problem."""
QUEUED_REQUESTS = 5
"""Fewer requests can arrive together by chance."""
PEAK_REMEMBERED = 75.0
"""Default of ``peak_window``. A longer period can contain peaks that are no longer known."""
CONNECTING_HOLDS = 0.5
"""Share of the time that connections are held. Above it, establishing holds them, not requests."""
POOL_TIMEOUT_SHARE = 0.01
"""Of the requests. Each of these waited for the whole pool timeout and then failed."""
POOL_TIMEOUT_ALERT_COUNT = 5
"""GlueLLMPoolTimeouts pages, so a single failure of a quiet service is not enough."""
NEAR_TIMEOUT_SHARE = 0.5
"""Of the pool timeout, for the p99 of the wait: twice the load then means failures."""
NEAR_TIMEOUT_REQUESTS = 50
"""Fewer requests have no meaningful p99."""
OCCUPANCY_HIGH = 0.8
"""Boards only: the rest is for bursts."""
OCCUPANCY_FULL = 1.0
"""Boards only: a full pool is no problem until requests wait."""
LIMITED_FOR = 1.0
"""In GlueLLM's rate limiter. Less is a burst that passes."""
LIMITED_SHARE = 0.1
"""Of the time of requests and of the wait before them."""
LIMITED_CALLS = 5
"""Fewer calls that waited are a burst."""
GIVEN_UP_SHARE = 0.1
"""Of first attempts: when this many are given up, the queue no longer shows how many callers there
are."""

# --- Late event loops -----------------------------------------------------------------------------

LATE_FROM = 0.02
"""Lateness of a timer that is counted. Less is usual on a busy machine."""
LATE_SHARE = 0.2
"""Share of the time in which a loop is late. From here on no verdict is given on waits, pools and
providers: a loop that pauses for 0.3 s out of each second turned 1.6 s of queueing into 9.3 s on a
pool of 2 connections. A loop that pauses for 0.4 s once a minute is below 1 %, and one that pauses
for 13 s is above this share."""
LATE_SHARE_SEVERE = 0.5
"""Every request of the process stands still for half of the time."""
LATE_WINDOW = 60.0
"""Where the judged period is longer, the larger of its share and that of the last minute counts: a
loop that is blocked now has a small share of a process's life."""
LATE_NOTICED = 0.2
"""A longest pause that is worth an INFO, so that the peak is explained."""
WAIT_TIMES_LAG = 10.0
"""A wait of more than this times the worst lateness is reported however late loops are: pauses of
that length cannot have caused it."""
STALE_LATE = 0.2
"""Lateness of a loop after which the state of its pools is not checked for anomalies: it may be
old. This is about one moment, not about the share of late time."""
STALE_FOR = 5.0
"""Time after such lateness, a few checks, until the state counts as current again."""

OVERRUN_GRACE = 1.0
"""A wait may exceed its pool timeout by this: timers are only as exact as the machine."""
OVERRUN_GRACE_UNKNOWN = 30.0
"""The same where the lateness of the pool's event loop is unknown."""

# --- Client churn ---------------------------------------------------------------------------------

CHURN_POOLS = 10
"""Fewer pools for one origin can be what a program needs: one per event loop or worker."""
CHURN_REQUESTS_PER_POOL = 3
"""Below this average a pool hardly ever reuses a connection. A live pool with at least as many
requests counts as one that is kept."""
CHURN_WINDOW = 60.0
"""The log counts within this time."""
CHURN_GONE_SHARE = 0.5
"""The log also requires that this share of the pools is gone: one client per tenant, for example,
stays."""
CHURN_MANY_POOLS = 50
"""This many pools count although all are alive: the garbage collector may not have run yet."""
CHURN_BOARD_WARNING = 0.1
CHURN_BOARD_MUCH = 1 / CHURN_REQUESTS_PER_POOL
"""Boards only: pools per request."""


def churns(pools: int, requests: int) -> bool:
    """Return whether clients are built and thrown away after a request or two."""
    return pools >= CHURN_POOLS and requests < CHURN_REQUESTS_PER_POOL * pools


# --- Connections that are held --------------------------------------------------------------------

UNREAD_SHARE = 0.3
"""Slow consumer: share of the time that connections are held. The pauses of a consumer that keeps
up are a few percent of it."""
UNREAD_TIME = 0.1
"""Per request: short requests in a busy loop have a large share of almost no time."""
UNREAD_REQUESTS = 5
"""Fewer requests can be one caller with a reason."""
LEAK_ALERT_SHARE = 0.05
"""Of an instance's limit: one leaked connection of 1 000 needs no reaction."""
LEAK_ALERT_COUNT = 5
"""For pools without a limit, and where this many are new within half an hour."""
ORPHANED_SHARE = 0.1
"""Of the peer's limit on HTTP/2 streams. A few cancelled requests whose response has not ended yet
are usual."""
ORPHANED_ALERT_COUNT = 5
"""Where the peer named no limit."""
STREAM_WAIT = 5.0
"""In ``stream_queued`` while all streams are taken. The library has no timeout for that wait."""

# --- The provider's time --------------------------------------------------------------------------

SLOWER = 2.0
"""Times the provider's time of before. A different mix of questions causes less."""
SLOWER_BY = 0.1
"""Twice almost nothing is still almost nothing."""
BASELINE_REQUESTS = 10
CURRENT_REQUESTS = 5
"""Fewer requests have no meaningful mean. Running ones count as well, so that a provider that stops
answering shows before the first request has ended."""
LONG_ANSWER = 30.0
"""In one phase, or per request: worth reporting without anything to compare with."""
READ_TIMEOUTS = 3
READ_TIMEOUT_SHARE = 0.05
"""Of the requests: together, a provider that does not answer in time."""
SILENT_FOR = 30.0
"""Without the head of a response, for every request that was sent."""
SILENT_REQUESTS = 3
"""Fewer can be questions that take long."""
SILENT_AS_BEFORE = 0.5
"""Of the wait: where earlier answers took at least that long, the model reasons for that long."""

# --- Establishing and reusing connections ---------------------------------------------------------

CONNECT_FAILURES = 3
CONNECT_FAILURE_SHARE = 0.01
"""Of the requests. The retries of the SDKs cover rarer failures."""
CONNECT_FAILURE_ALERT_COUNT = 5
CONNECT_FAILURE_ALERT_SHARE = 0.05
"""GlueLLMConnectFailures asks for work, so failures that retries still cover are not enough."""
FAILURES_SEVERE = 0.1
"""Of the requests: retries no longer cover these."""
MOST_FAIL = 0.5
"""A share that counts whatever the number: a program that makes one call and fails."""
REUSE_FAILURES = 2
REUSE_FAILURE_SHARE = 0.005
"""Of the requests. A server that closes just when a request is sent cannot be ruled out."""
REUSE_FAILURE_ALERT_COUNT = 3
REUSE_FAILURE_ALERT_SHARE = 0.01
"""GlueLLMReuseFailures asks for work, so failures that retries still cover are not enough."""
SILENT_CONNECTION = 120.0
"""Load balancers and address translators forget silent connections after 60 to 350 s."""
EXPIRED_SHARE = 0.5
"""Of the new connections: most of them replace an expired one."""
EXPIRED_CONNECTIONS = 10
"""Fewer can be the pauses of a quiet program."""
CONNECTING_COSTS = 0.05
"""Share of all request time that goes into establishing connections: worth reporting."""
CONNECTING_HURTS = 0.25
"""Share of all request time that goes into establishing connections: a WARNING, since calls would
be noticeably faster without it."""
DISCARDED_CONNECTIONS = 10
DISCARDED_SHARE = 0.1
"""Of the requests. Fewer are an occasional burst, for which no pool keeps connections."""
CHANNEL_NOT_READY_FOR = 10.0
"""gRPC allows 20 s for an attempt to connect, but a handshake takes tenths of a second."""

# --- The process ----------------------------------------------------------------------------------

DESCRIPTORS_NEAR = 0.8
"""Of the limit. The rest is for files and for the burst in which connections are opened."""
DESCRIPTORS_SEVERE = 0.95
"""Of the limit. A single burst can take the rest, and then connections and files fail to open."""
THREADS_BUSY = 0.8
"""Of an executor's threads that send requests. With fewer, other work occupies the threads and
causes the wait."""

# --- Requests, on boards only ---------------------------------------------------------------------

RESENT_WARNING = 0.05
RESENT_MUCH = 0.25
"""Share of requests that are sent again. A few retries are usual; a quarter of the requests is a
load that a pool or a provider in trouble can't bear."""
REFUSED_WARNING = 0.01
REFUSED_MUCH = 0.1
"""Share of requests that a provider answers with an error status. Retries cover 1 in 100; a tenth
is too many for them, as in FAILURES_SEVERE."""
FAILED_WARNING = 0.05
FAILED_MUCH = 0.25
"""Share of requests that fail in any way. Higher than for error statuses, since cancelled requests
count and some are sent again without the caller noticing."""

# --- The log --------------------------------------------------------------------------------------

LOG_AGAIN_AFTER = 600.0
"""The same warning is logged once within this time."""
