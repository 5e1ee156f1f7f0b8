"""Finalizers cannot deadlock, even while the SDK's locks are held."""

from support.grpc_server import GrpcServer
from support.script import Reply


def test_finalizer_inside_the_sdks_locks_does_not_hang(server, listen, run):
    """The finalizers end responses, requests, pools and channels of each library."""
    gate = server.gate()
    silent = server.reply("/silent", Reply(head_after=gate))
    streamed = server.reply("/streamed", Reply(end_after=gate))
    grpc = listen(GrpcServer)
    grpc.reply("/held", Reply(end_after=grpc.gate()))
    printed = run("finalizers.py", server.url(), silent, streamed, grpc.target).split()
    assert printed == ["httpcore", "httpcore2", "aiohttp", "urllib3", "grpc", "done"]


def test_finalizer_that_logs_and_a_log_handler_that_sends_do_not_wait_for_each_other(server, run):
    """Both run while the package begins to track a pool."""
    assert run("lock_order.py", server.url()).strip() == "done"
