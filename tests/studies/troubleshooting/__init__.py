"""What docs/troubleshooting.md quotes is what OpenTelemetry logs."""
