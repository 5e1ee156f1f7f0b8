"""Defects written into the source, one at a time, to see which test detects each."""
