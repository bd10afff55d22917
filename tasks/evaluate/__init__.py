"""Numbers over a whole data set: features, FID and its relatives, means."""
