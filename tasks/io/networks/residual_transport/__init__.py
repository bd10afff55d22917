"""Residual-conditioned transport as a restorer that is trained: its section, and when trained."""
