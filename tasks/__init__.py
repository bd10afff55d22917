"""Prefect tasks: one shard of work each. ``pipeline`` says every step in order."""
