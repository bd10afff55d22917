"""Runs among others: pool, claims, liveness, takeover, orderly end."""
