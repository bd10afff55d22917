"""Export: enhanced shards go in, plain files come out under the names that the input had."""
