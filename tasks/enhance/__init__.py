"""Enhanced shards: match the ground truth, transport at every alpha, score."""
