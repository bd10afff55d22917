"""A study's results: one table, one figure and one page over all of its points."""
