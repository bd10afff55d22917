"""Tables of the report: results and their changes, and what their columns are called."""
