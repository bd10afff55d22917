"""Files of results: Parquet tables, and tensors as safetensors."""
