"""The doctor's answer to ``--workers``."""

from gluellm_pools.doctor.outlook import Outlook
from unit.gluellm_diagnosis.building import a_connection, a_pool, a_snapshot, the_totals


def test_ports_are_only_checked_with_a_connection():
    """The limit applies to each destination, and only connections show destinations."""
    for connections in ([], [a_connection()]):
        pool = a_pool(connections=connections)
        text, _ = Outlook(workers=3).on(a_snapshot(the_totals(), pool, local_ports=28_000))
        assert ("enough: local ports" in text) is bool(connections)
        assert ("not checked, as no connection is open: local ports" in text) is (not connections)


def test_capacity_of_one_worker_is_a_finding_of_its_report():
    """It is not printed twice."""
    snapshot = a_snapshot(the_totals(), a_pool(max_connections=5000))
    for workers in (1, 2):
        text, content = Outlook(workers=workers).on(snapshot)
        assert "TOO LITTLE: 50 of 1024 file descriptors" in text
        assert ("INFO: capacity" in text or "WARNING: capacity" in text) is (workers == 2)
        assert ("findings" in content) is (workers == 2)
