"""What the instrumentation costs, beside its budgets: ``make bench``."""
