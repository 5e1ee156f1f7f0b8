"""Plays incidents into a real Prometheus with the project's rules, to score or explore them.

Each incident is a service in its own process that exports metrics over OTLP.
"""
