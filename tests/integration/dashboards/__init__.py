"""Checks of boards and rules as files, without running queries or programs."""
