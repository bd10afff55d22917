"""Networks and their weights: codecs and restorers; those that metrics need are in ``features``.

A section of the configuration goes in. What comes out is a network on its device, what identifies
it in fingerprints, and where its weights lie.
"""
