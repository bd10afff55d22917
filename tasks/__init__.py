"""Prefect tasks, one verb a module, over one shard each."""
