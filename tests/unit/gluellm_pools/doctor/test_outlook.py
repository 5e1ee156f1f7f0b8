"""What the doctor answers to ``--workers``."""

from gluellm_pools.doctor.outlook import Outlook
from unit.diagnosis.building import a_connection, a_pool, a_snapshot, the_totals


def test_ports_are_only_checked_with_a_connection() -> None:
    """The limit is one to each destination, which only connections show."""
    for connections in ([], [a_connection()]):
        pool = a_pool(connections=connections)
        text, _ = Outlook(workers=3).on(a_snapshot(the_totals(), pool, local_ports=28_000))
        assert ("enough: local ports" in text) is bool(connections)
        assert ("not checked, as no connection is open: local ports" in text) is (not connections)
