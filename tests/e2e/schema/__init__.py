"""The boards' JSON, checked against Grafana's TypeScript types."""
