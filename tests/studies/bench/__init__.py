"""Measures the cost of the instrumentation and compares it with budgets: ``make bench``."""
