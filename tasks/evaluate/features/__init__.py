"""Features of a signal and of what it is compared with: their tables, distances, and columns."""
