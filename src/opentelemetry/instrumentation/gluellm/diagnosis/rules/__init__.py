"""One function per cause: what shows it, from when on, and what to do. Which cause withholds which
other is decided in diagnose.py."""
