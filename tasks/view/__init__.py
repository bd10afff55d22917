"""A finished data set as people look at it: rows and pages of its tables, pictures, and votes."""
