"""What Linux knows of the memory of this process.

``resource`` does not do for a child of a test: its largest memory so far counts that of the process
that started it, until then.
"""

from pathlib import Path


def used(name: str) -> int:
    """A figure in bytes: VmRSS (memory now), VmHWM (the most so far), VmPeak (addresses)."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
