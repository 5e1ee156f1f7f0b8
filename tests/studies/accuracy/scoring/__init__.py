"""Checks each incident of the catalogue: its finding, exit status, alert, log and numbers.

``make -C tests/studies score``. Each incident runs in a process of its own, at its real speed, and
exports every minute to a real Prometheus with the project's rules.
"""
