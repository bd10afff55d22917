"""Images into shards: read corpora, accept or refuse each file, restore, retire."""
