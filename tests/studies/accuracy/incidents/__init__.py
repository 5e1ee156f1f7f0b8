"""``make -C tests/studies incident``: incidents into real stores, to look at and be alerted of.

Each is a service of its own: real any-llm clients in processes of their own, a fake provider that
answers them, metrics over OTLP to a real Prometheus with the rules of ``dashboards/prometheus``.
"""
