"""Every test of docs/guarantees.md in its long form, in one run, and the page of its figures."""
