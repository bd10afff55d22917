"""Images into shards: a corpus's files are listed, assigned to shards, checked and copied.

The images of a clean data set are restored to make another one, every data set gets an index
of its shards, and what was made of shards that are gone is retired.
"""
