"""The impure edge: files, weights, tables, pictures; works without Prefect."""
