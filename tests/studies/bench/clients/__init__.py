"""A measured client of each library, on a scripted network below its pool."""
