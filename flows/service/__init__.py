"""Prefect as this project uses it: servers, a worker that stays, deployments."""
