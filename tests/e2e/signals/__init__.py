"""What single signals answer to series that were thought of, by Prometheus' own evaluation."""
