"""What no event shows: leaks, stuck queues, churn, anomalies, late event loops."""
