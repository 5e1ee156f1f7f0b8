"""What a finalizer can reach only changes plain numbers: it may run inside the SDK's own locks."""

from __future__ import annotations

import pytest

from support.http1 import HTTP1Server
from support.script import Reply

from .conftest import Run


@pytest.mark.parametrize("core", ["httpcore", "httpcore2"])
def test_finalizer_inside_the_sdks_locks_does_not_hang(
    server: HTTP1Server, run: Run, core: str
) -> None:
    """Responses, pools and requests that end while their thread holds every lock of the SDK."""
    url = server.url("/answers")
    silent = server.reply("/silent", Reply(head_after=server.gate()))
    assert run("finalizers.py", core, url, silent).strip().endswith("done")


def test_finalizer_that_logs_and_a_log_handler_that_sends_do_not_wait_for_each_other(
    server: HTTP1Server, run: Run
) -> None:
    """The one runs while a pool begins to be tracked, the other begins to track one."""
    assert run("lock_order.py", server.url()).strip() == "done"
