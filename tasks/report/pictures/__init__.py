"""Pictures of the report: which images are shown, and in which versions."""
