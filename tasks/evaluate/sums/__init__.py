"""Features of a large data set added up by many tasks, leaf by leaf, before they are compared.

The numbers of a signal are then of all its leaves together, and a shard more costs one leaf.
"""
