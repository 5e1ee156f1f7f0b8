"""Diagnosis of a snapshot: findings on what is wrong with LLM calls and their pools, with advice.

It uses only the standard library and the snapshot's own modules.
"""
