"""Training a restorer: crops of shards go in, checkpoints and the weights that restore come out.

Segment after segment, each of which the ledger knows. What a step draws follows from the seed
and its number alone, so that a training that was killed goes on as if it had not been.
"""
