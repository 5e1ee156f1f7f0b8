"""The boards' JSON, held against Grafana's own TypeScript types."""
