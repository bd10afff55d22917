"""Small shards merged into larger ones at all stages, without computing anything again."""
