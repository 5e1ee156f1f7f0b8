"""The report on a parent with many workers."""

from gluellm_pools.doctor.ask import _texts
from gluellm_pools.doctor.inquiry import Inquiry

LEAK = {"kind": "leak", "pool": "openai/httpx2", "severity": "error"}
SMALL = {"kind": "pool_too_small", "pool": None, "severity": "warning"}
LIMIT = {"kind": "pool_timeout", "pool": "openai/httpx2", "severity": "info"}


def answered(pid: int, *found: object) -> Inquiry:
    """A process that answered with these findings."""
    one = Inquiry(2**22 + 1)  # there is no such process
    one.pid, one.report = pid, {"findings": found, "text": f"whole text of {pid}"}
    return one


def test_many_processes_have_a_line_each_and_the_worst_its_report():
    workers = [answered(7, LEAK, SMALL, LIMIT), answered(8, SMALL), answered(9, LIMIT)]
    assert len(_texts(workers)) == 3
    lines, worst, _ = _texts([*workers, answered(10)])
    assert lines == (
        "process 7: ERROR: leak in openai/httpx2\nprocess 8: WARNING: pool too small\n"
        "process 9: no problem found\nprocess 10: no problem found"
    )
    assert worst == "The worst, process 7:\nwhole text of 7"
