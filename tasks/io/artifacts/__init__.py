"""Files that hold results: Parquet tables, and tensors as safetensors."""
