"""``make incident``: incidents by real load into real stores, to look at and to be alerted of.

Each is a service of its own: real any-llm clients in a process of their own, a fake provider that
answers them, metrics over OTLP to a real Prometheus with the rules of ``dashboards/prometheus``.
"""
