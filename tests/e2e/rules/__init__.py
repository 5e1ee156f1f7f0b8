"""The rules in real programs: promtool, Prometheus, Alertmanager."""
