"""The patch prior as a restorer: its section, its references, and what it is when loaded."""
