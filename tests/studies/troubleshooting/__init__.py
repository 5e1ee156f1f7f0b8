"""What docs/deploy.md quotes is what OpenTelemetry logs."""
