"""The curve and the map of two dials: points between written alphas, measured in the same pass."""
