"""`opentelemetry-instrument` with the OTLP exporter: no change of code, environment only."""
