"""Runs that go on without a terminal: server, workers, deployments."""
