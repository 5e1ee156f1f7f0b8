"""Plays incidents into a real Prometheus with the project's rules, to look at and for the score.

Each is a service of its own, in a process of its own, with metrics over OTLP.
"""
