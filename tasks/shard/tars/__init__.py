"""Foreign tars on their way into shards: large ones are scanned and cut, all are read in order."""
