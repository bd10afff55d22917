"""One step of a flow: running its jobs, showing its progress, reporting its outcome."""
