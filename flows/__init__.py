"""Prefect flows, which do the steps of ``tasks/pipeline.py`` in their order, and the command."""
