"""Local servers with scripted delays, clients that run step by step, and a telemetry reader."""
