"""The machine: its share for a task, devices, threads, processes."""
