"""Interpretation of the pools: frozen snapshots, and findings with advice."""
