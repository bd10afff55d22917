"""The machine: what a task may use of it, its devices, threads and processes."""
