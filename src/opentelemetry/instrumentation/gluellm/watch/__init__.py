"""What no event reports: leaks, stuck queues, churn, anomalies, late event loops."""
