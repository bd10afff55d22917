"""Cleaning up: what is not needed any more is found, and removed while no run is at work."""
