"""Advice on settings, in the terms of the client or SDK that owns the pool."""
