"""Where the tasks of a step run: in threads of this process, or on a Ray cluster."""
