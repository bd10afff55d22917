"""One step of a flow: its units in a window, its progress, what it reports."""
