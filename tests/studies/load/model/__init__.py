"""Compares random lives of pools of the real libraries with a model of the expected reports."""
