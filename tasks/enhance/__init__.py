"""Enhancement of shards: ground truth by key, transport at every alpha, metrics of images."""
