"""A shard enhanced with several operators in one pass, which share what does not depend on them."""
