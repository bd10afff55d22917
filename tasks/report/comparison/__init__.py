"""Two finished runs side by side: their tables, and what changed in the images that both have."""
