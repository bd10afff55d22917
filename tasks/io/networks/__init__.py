"""Networks with weights: codecs, restorers, extractors, perceptual metrics."""
