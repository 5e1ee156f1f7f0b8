"""Frozen snapshots of the pools: their parts, how they are collected, their format and text."""
