"""The rules, evaluated by real programs: promtool, Prometheus, Alertmanager."""
