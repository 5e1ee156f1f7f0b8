"""Single signals, evaluated by Prometheus over made-up series."""
