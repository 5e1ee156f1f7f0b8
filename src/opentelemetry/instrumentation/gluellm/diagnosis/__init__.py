"""What it means: snapshots for a debugger's eye, and findings with advice."""
