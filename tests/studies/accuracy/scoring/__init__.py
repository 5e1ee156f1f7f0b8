"""Checks each incident of the catalogue: its finding, exit status, alert and numbers.

``make -C tests/studies score``. Each incident runs in a process of its own, on a fast clock
(`clock`), and exports to a real Prometheus with the project's rules.
"""
