"""Every threshold once, with its reason.

The rules of ``diagnose()``, the log, the boards and the alerts read them here, so that
all of them use the same definitions. This module imports nothing.

Durations are seconds. Shares are between 0 and 1.
"""

# --- Waiting for a connection ---------------------------------------------------------------------

SHORTEST_LIMITED = 0.01
"""Shortest wait in GlueLLM's rate limiter, which pauses for this time. Less is no wait."""
WAIT_NOTICED = 1.0
"""Wait that delays a caller noticeably. Waits that are shorter, even in sum, are a burst."""
STUCK_AFTER = 10.0
"""Time in the queue after which a request is stuck, for `diagnose()`: a burst would be over. A
connection whose HTTP/2 streams are all taken is another state, with ORPHANED_SHARE and
STREAM_WAIT: it can be stuck while no request waits."""
STUCK_SEVERE_AFTER = 30.0
"""Time in the queue after which GlueLLMRequestsStuck pages and a finding is an ERROR. Some pools
recover by themselves within 30 s."""
QUEUED_SHARE = 0.1
"""Share of all request time. httpcore 1.0.9 can assign one idle connection to several requests, and
all but one queue for a moment although connections are free: that stays below this share."""
QUEUED_TIME = 0.01
"""Queued time per request, on average. A large share of almost no time is not a problem."""
QUEUED_REQUESTS = 5
"""Fewer requests can arrive together by chance."""
QUEUED_MANY = 20
"""Number of queued requests, on boards only. A queue that stays below this is short."""
PEAK_REMEMBERED = 75.0
"""Default of ``peak_window``. In a longer period, earlier peaks are no longer known."""
CONNECTING_HOLDS = 0.5
"""Share of the time that connections are held. Above it, connections are held mostly by being
established, not by requests."""
POOL_TIMEOUT_SHARE = 0.01
"""Share of the requests. Each of these waited for the whole pool timeout and then failed."""
POOL_TIMEOUT_ALERT_COUNT = 5
"""In GlueLLMPoolTimeouts and on boards. An alert that pages needs more than a single failure of a
quiet service."""
OCCUPANCY_HIGH = 0.8
"""Share of the limit, on boards only. The rest is for bursts."""
OCCUPANCY_FULL = 1.0
"""Share of the limit, on boards only. A full pool is not a problem until requests wait."""
LIMITED_FOR = 1.0
"""Wait in GlueLLM's rate limiter. A shorter wait is a burst that passes."""
LIMITED_SHARE = 0.1
"""Share that the rate limiter has of all waiting and request time."""
LIMITED_CALLS = 5
"""Fewer calls that waited are a burst."""
HOLDER_SHARE = 0.75
"""Share of the held connections. A caller with less can simply have most of the traffic."""
REPLAY_REQUESTS = 50
"""Fewer requests have no meaningful p99, so they are not replayed."""
REPLAY_MOST = 500
"""Requests that a diagnosis replays. More make it slow, and `what_if()` has all that are kept."""

# --- Late event loops -----------------------------------------------------------------------------

LATE_FROM = 0.02
"""Lateness of a timer from which it is counted. Less is usual on a busy machine."""
LATE_SHARE = 0.2
"""Share of the time in which a loop is late. From here on no verdict is given on waits, pools and
providers: a loop that pauses for 0.3 s out of each second turned 1.6 s of queueing into 9.3 s on a
pool of 2 connections. A loop that pauses for 0.4 s once a minute is below 1 %, and one that pauses
for 13 s once a minute is above this share."""
LATE_SHARE_SEVERE = 0.5
"""Share of the time in which a loop is late. At half, every request is blocked half of the
time."""
LATE_WINDOW = 60.0
"""Period of the recent share. A loop that is blocked now has a small share of a long period, so the
larger share counts: of the period, or of the last minute."""
LATE_NOTICED = 0.2
"""Longest pause that is reported as an INFO, to explain the peak."""
WAIT_TIMES_LAG = 10.0
"""Factor on the worst lateness. Longer waits are reported however late loops are, since pauses of
that length cannot have caused them."""
STALE_LATE = 0.2
"""Lateness of a loop at which the state of pools may be old, so that it is not checked for
anomalies. It concerns one moment, not the share of late time."""
STALE_FOR = 5.0
"""Time after such lateness until the state counts as current again: a few checks."""

OVERRUN_GRACE = 1.0
"""Time by which a wait may exceed its pool timeout: timers are only as exact as the machine."""
OVERRUN_GRACE_UNKNOWN = 30.0
"""Time by which a wait may exceed its pool timeout if the event loop's lateness is unknown."""

# --- Client churn ---------------------------------------------------------------------------------

CHURN_POOLS = 10
"""Fewer pools for one origin can be what a program needs: one per event loop or worker."""
CHURN_REQUESTS_PER_POOL = 3
"""Average below which pools hardly ever reuse a connection. A live pool with at least this many
requests counts as one that is kept."""
CHURN_BOARD_WARNING = 0.1
CHURN_BOARD_MUCH = 1 / CHURN_REQUESTS_PER_POOL
"""Pools per request, on boards only."""


def is_churn(pools: int, requests: int) -> bool:
    """Return whether clients are built and thrown away after a request or two."""
    return pools >= CHURN_POOLS and requests < CHURN_REQUESTS_PER_POOL * pools


# --- Connections that are held --------------------------------------------------------------------

UNREAD_SHARE = 0.3
"""Unread share of the time that connections are held, from which a consumer is slow. The pauses of
a consumer that keeps up are a few percent."""
UNREAD_TIME = 0.1
"""Unread time per request, on average. Short requests in a busy loop have a large share of almost
no time."""
UNREAD_REQUESTS = 5
"""Fewer requests can come from one caller with a reason."""


def consumes_slowly(unread: float, held: float, requests: int) -> bool:
    """Return whether an application reads slowly, from the seconds of all these requests.

    The boards show the unread share itself.
    """
    return (
        requests >= UNREAD_REQUESTS
        and unread >= UNREAD_SHARE * held
        and unread >= UNREAD_TIME * requests
    )


MADE_MEANWHILE = 0.2
"""Seconds. A reader that calls a tool between two chunks of a stream sends its request by then."""
LIKELY_LEAK_AFTER = 5.0
"""Time that a response has been unread. A consumer that keeps reading rarely pauses for longer."""
LIKELY_LEAK_SHARE = 0.5
"""Share of the held connections whose response is unread for that long at one call site. From here
on a saturated pool is reported as likely leaking, before the leak threshold."""
ORPHANED_SHARE = 0.1
"""Share of the peer's limit on HTTP/2 streams. A few cancelled requests whose response has not
ended yet are usual."""
SLOTS_LOST = 0.25
"""Share of a pool's limit that orphaned connections take. From here on, they are why requests
queue."""
STREAM_QUEUED_TIME = 0.1
"""Time in ``stream_queued`` per request, on average. Less is a burst at the start."""
STREAM_WAIT = 5.0
"""Time in ``stream_queued`` while all streams are taken. The library has no timeout for that
wait."""

# --- The provider's time --------------------------------------------------------------------------

BUSIER = 2.5
"""Factor on the requests per second in the baseline. Within an hour, traffic often doubles."""
SLOWER = 2.0
"""Factor on the provider's time in the baseline. A different mix of questions causes less."""
SLOWER_BY = 0.1
"""Increase of the provider's time per request. Twice almost nothing is still almost nothing."""
SLOWER_ITEM = 0.01
"""Increase of the time per item of a stream. Answers have some ten to some thousand items."""
PARTLY_SLOW_BY = 1.0
PARTLY_SLOW_REQUESTS = 20
PARTLY_SLOW_SHARE = 0.1
PARTLY_SLOW_SURE = 2.5
PARTLY_SLOW_SURE_FAR = 1.5
"""If only some of the requests are slow: the least delay, the least number of requests, the least
share of slow ones, and by how many standard deviations their number must exceed the earlier one. In
a load that does not change, chance alone does that in under one process of a hundred. Less is
enough if they take MUCH_SLOWER times as long as any earlier one."""
PARTLY_SLOW_ONCE = 2.0
"""Late answers, beyond half of the present share, after which a slow time counts that has ended. Of
a batch or a session, that is three samples in a row."""
QUEUE_GREW = 4.0
"""Factor on the requests in flight, and on the time for which each is. At a provider, both grow by
so much where more requests are sent at a time than it serves."""
BASELINE_REQUESTS = 10
CURRENT_REQUESTS = 5
"""Fewer requests have no meaningful mean. Running ones count as well, so that a provider that stops
answering shows before the first request has ended."""
LONG_ANSWER = 30.0
"""Time in one phase that the text of a snapshot mentions."""
HELD_BACK = 0.25
"""Share of the read timeout within which others are complete, if silence in a body means loss."""
READ_TIMEOUTS = 3
READ_TIMEOUT_SHARE = 0.05
"""Share of the requests. Together with the number: a provider that does not answer in time."""
SILENT_FOR = 30.0
"""Time for which no request that was sent has received the head of a response."""
SILENT_REQUESTS = 3
"""Fewer can be questions that take long."""
SILENT_AS_BEFORE = 0.5
"""Share of the current wait. If an earlier answer took at least that long, the model reasons."""
UNANSWERED_AFTER = 50.0
"""Wait of the oldest of several unanswered requests from which it is a WARNING. Two judgements find
it in the first 90 s of a process."""
UNANSWERED_SEVERE = 180.0
"""Wait of the oldest of ``CALL_MANY`` unanswered requests from which it is an ERROR. Unstreamed
answers of reasoning models often take 2 to 3 minutes. For fewer requests, ``CALL_SLOW_LIMIT`` is
the limit: the questions may be alike."""

OVERDUE_AFTER = 30.0
OVERDUE_FACTOR = 10.0
"""Time since a request was sent, and factor on the longest answer of its model and call site. Other
questions cause less."""
OVERDUE_REQUESTS = 2
OVERDUE_SHARE = 0.2
"""Number and share of the requests in flight. A single one can be one lost answer."""
CUT_OFF = 0.7
"""Share of the longest answer before. If no answer comes later, something gives up requests."""
OVERDUE_UNKNOWN = 5
"""Number of requests whose model is unknown: one call site can send questions to several."""

RECENT = 300.0
"""Period of the latest requests to judge without an earlier snapshot."""
CUT_CALLS = 5
CUT_SHARE = 0.1
"""Share of the requests. Fewer cancelled ones are users who leave."""
CUT_ALIKE = 0.8
CUT_SPREAD = 0.05
CUT_SLACK = 0.25
"""Share of the cancelled requests whose ages lie close together, and how close: within a share of
the age or, in seconds, what a busy process adds. Users leave at any age; a timeout has one."""
TIME_LIMIT = 5.0
"""Shortest time limit of a gateway that is recognised. Servers refuse at once for other reasons."""
CUT_TIMEOUT_SPREAD = 0.1
"""Relative difference of a silence from the read timeout that ended it."""
NEAR_READ_TIMEOUT = 0.5
"""Share of the read timeout. If answers took at least that long to begin, further ones take longer
than the timeout allows; a provider that hangs has no such answers."""

# --- Calls ----------------------------------------------------------------------------------------

CALL_SILENT_AFTER = 60.0
"""Default of ``silence_threshold``: shortest wait for an item or an answer that can be silence.
Streams of the major providers send an item or a ping every few seconds."""
CALL_SILENT_FACTOR = 3.0
"""Factor on the longest wait that ended in an item or an answer, of the last hour or the last 100
waits. Reasoning models pause for minutes, and do so again."""
CALL_SILENT_FIRST = 600.0
"""Shortest wait for an unstreamed answer that is silence while too little is known: the waits that
ended cover less than 12 minutes, or none is of the last hour. The SDKs time out after the same
time, and an unstreamed answer can take minutes. A stream that is silent for so long is reported
even if it is the only one."""
CALL_FAILURE_SHARE = 0.05
"""Share of the calls that failed or succeeded. SDKs and GlueLLM retry, so a call that still fails
is a failure that a user sees."""
HTTP_FAILURE_SHARE = 0.5
"""Share of failed calls of source ``http``. Each is one attempt, and nothing shows whether the
application repeats it: a provider that refuses a fifth of them is no outage."""
CALL_MANY = 10
"""Number of calls from which `are_many()` compares their share. GlueLLMCallsFail pages, so a few
failed calls within 5 minutes are not enough."""
CALL_QUIET_SHARE = 0.5
"""Share within 15 minutes, for services with about a call a minute. Among so few calls, a smaller
share is chance."""
CALL_QUIET_COUNT = 3
"""Fewer calls have no meaningful share and no meaningful mean."""
BACKOFF_SHARE = 0.1
"""Share of the calls' time. Above it, retries delay calls noticeably."""
BACKOFF_RETRIES = 5
"""Fewer retries are single failures, which retries are meant for."""
CALL_CANCELLED_SHARE = 0.3
"""Share of the calls that ended. Users who leave cancel fewer, timeouts of the application more."""
CALL_SLOWER = 3.0
"""Factor on the time per call of the hour before. A different mix of questions causes less."""
MUCH_SLOWER = 10.0
MUCH_SLOWER_BY = 10.0
"""Factor on the time that calls took before, and increase in seconds. Callers give up by then."""
CALL_SLOW_TIME = 60.0
"""Time that all calls together spent within 10 minutes. Less time needs no reaction."""
CALL_SLOW_BUSY = 0.5
"""Share of the time that calls spent before in a period of the same length. With less, traffic has
stopped, and only the long calls are left."""
CALL_SLOW_LIMIT = 450.0
"""Time per call, calls in flight included, that is too long without a baseline. Unstreamed answers
of reasoning models take up to about 400 s; an attempt of the SDKs times out after 600 s."""
CALL_SLOW_SHARE = 0.2
"""Share of the calls that took longer than 95 % of those before. A few long calls among many short
ones raise the mean as well, and are no slowness."""
CALL_WAITS_LIMIT = 10.0
"""Time per call until its request is sent, and between two attempts, that is too long without a
baseline. Answers can take minutes, and so can the tools between two requests."""
CALL_SILENT_SHARE = 0.2
CALL_SILENT_COUNT = 2
"""Share and number of the calls in flight. A single silent call can be one lost stream."""


def are_many(some: float, calls: float, share: float) -> bool:
    """Return whether ``some`` calls exceed the ``share`` of all; of few calls, whether most do."""
    return (some >= CALL_MANY and some > share * calls) or (
        some >= CALL_QUIET_COUNT and some > CALL_QUIET_SHARE * calls
    )


def failure_share(source: str | None) -> float:
    """Return the share of failed calls of a source from which users notice them."""
    return HTTP_FAILURE_SHARE if source == "http" else CALL_FAILURE_SHARE


def calls_fail(failed: int, succeeded: int, source: str | None = None) -> bool:
    """Return whether so many calls of a source fail that users notice."""
    return are_many(failed, failed + succeeded, failure_share(source))


# --- The process's own account --------------------------------------------------------------------

ACCOUNT_ROW = 60.0
"""Time that one row of the account covers."""
ACCOUNT_ROWS = 60
"""Rows that are kept: an hour of traffic."""
ACCOUNT_RECENT = 5
"""Latest rows, which are judged: as long as the window of GlueLLMCallsFail. Also the least number
of earlier ones that they are compared with. Before there are so many, rows 2 to 5 of a process."""
ACCOUNT_QUIET = 15
"""Latest rows, for services with about a call a minute, as GlueLLMCallsFail has them."""
ACCOUNT_HELD = 86_400.0
"""Longest time for which the rows before a finding stay what it is compared with."""
ACCOUNT_SILENT = 3
"""Rows that the longest silence has to last: the 60 s from which calls are silent, and the 2
minutes of GlueLLMCallsSilent. Streams of reasoning models pause for longer than 60 s."""

# --- Establishing and reusing connections ---------------------------------------------------------

CONNECT_FAILURES = 3
CONNECT_FAILURE_SHARE = 0.01
"""Share of the requests. The retries of the SDKs cover rarer failures."""
CONNECT_FAILURES_MANY = 5
"""On boards only. Failures that retries still cover are not shown as many."""
FAILURES_SEVERE = 0.1
"""Share of the requests. Retries no longer cover so many failures."""
MOST_FAIL = 0.5
"""Share of the requests that counts whatever their number: a program that makes one call and
fails."""
RESTART_TAKES = 5.0
"""A server that restarts refuses connections within this time of resetting the open ones."""
REUSE_FAILURES = 2
REUSE_FAILURE_SHARE = 0.005
"""Share of the requests. A server that closes just when a request is sent cannot be ruled out."""
REUSE_FAILURES_MANY = 3
"""On boards only. Failures that retries still cover are not shown as many."""
ALIKE = 0.5
"""Share of new connections that fail, divided by the share of reused ones that fail. From here on,
reuse is not the cause."""
SHORT_IDLE = 5.0
"""Seconds. The idle timeouts of servers and load balancers begin there: Node.js, uvicorn."""
SILENT_CONNECTION = 120.0
"""Silence from which a network device may have forgotten a connection: load balancers and address
translators do so after 60 to 350 s."""
TRUNCATED = 3
TRUNCATED_SHARE = 0.02
"""Share of the latest requests. Fewer are lost to single connections that break."""
CLOSED_SHARE = 0.5
"""Share of the closed connections. From here on one reason explains why they are not reused."""
CLOSED_CONNECTIONS = 10
"""Fewer can be the pauses of a quiet program."""
CONNECTING_COSTS = 0.05
"""Share of all request time that goes into establishing connections, from which it is reported."""
CONNECTING_HURTS = 0.25
"""Share of all request time that goes into establishing connections, from which it is a WARNING:
calls would be noticeably faster without it. Where the server closes the connections, the smaller
share is enough if each new one takes ``SLOWER_BY``."""
SLOW_SET_UPS = 5
"""The latest set-ups that are judged. A single slow one can be a lost packet, which is sent again
after 1 s, and then after 2 s."""
NEARLY_ALL = 0.9
"""Share of the time of set-ups from which no other step matters."""
SLOW_SET_UP = 1.0
"""Mean time to establish a connection. TCP and TLS take up to three round trips, which is less than
1 s from anywhere."""
SLOWER_SET_UP = 0.25
SET_UP_RATIO = 3.0
"""Mean time to establish a connection, and its ratio to the mean before: far above the lateness of
a busy process."""
CHANNEL_NOT_READY_FOR = 10.0
"""Time after which a channel should be ready. gRPC allows 20 s for an attempt to connect, but a
handshake takes tenths of a second."""

# --- The process ----------------------------------------------------------------------------------

DESCRIPTORS_NEAR = 0.8
"""Share of the limit. The rest is for files and for the burst in which connections are opened."""
RUNS_OUT_IN = 3600.0
"""Longest time for which the growth of the last minutes says when a resource runs out."""
CAPACITY_NEAR = 0.5
"""Share of a resource that is in use, while the limits of the pools allow more than all of it.
Twice the load means failures."""
THREADS_BUSY = 0.8
"""Share of an executor's threads that send requests. With fewer, other work occupies the threads
and causes the wait."""

# --- Requests, on boards only ---------------------------------------------------------------------

RESENT_WARNING = 0.05
RESENT_MUCH = 0.25
"""Share of requests that are sent again. A few retries are usual; a quarter of the requests is more
than a pool or a provider in trouble can handle."""
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
"""Time after which the same warning is logged again."""

# --- The process's own diagnosis ------------------------------------------------------------------

JUDGEMENT_INTERVAL = 30.0
"""Default of ``findings_interval``. From its evidence to the alert, an error then takes at most two
and a half minutes with the SDK's export interval of a minute."""
JUDGEMENT_AT_LEAST_EVERY = 300.0
"""Longest time between two judgements, however much CPU time they take."""
JUDGEMENT_SHARE_OF_CPU = 0.001
"""Share of one CPU that judgements may use."""
JUDGEMENT_LIVE = 10.0
"""Below this ``findings_interval`` somebody is watching, so judgements may use more."""
JUDGEMENT_SHARE_OF_CPU_LIVE = 0.01
NO_TRAFFIC = 120.0
"""Time without a request, new or in flight, after which findings that rest on counts end."""
