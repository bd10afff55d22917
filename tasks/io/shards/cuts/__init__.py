"""Large foreign tars cut into parts: found by their headers alone, each read by itself."""
