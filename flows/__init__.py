"""Prefect flows: the order of the work, and the command line."""
