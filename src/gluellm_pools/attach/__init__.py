"""``doctor --attach``: look into a process that was not prepared."""
