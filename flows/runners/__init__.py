"""Where tasks run: threads of this process, or a Ray cluster."""
