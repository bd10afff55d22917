"""Restoring: shards of degraded images, or of clean ones to be degraded, give restored ones."""
