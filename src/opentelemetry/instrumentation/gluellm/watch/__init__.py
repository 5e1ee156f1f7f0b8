"""What no event reports: leaks, anomalies, late event loops, findings."""
