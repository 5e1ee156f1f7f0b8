"""A program under every kind of fault at once, for minutes: ``python -m studies.load.soak``."""
