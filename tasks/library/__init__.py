"""What other programs use of this project: finished runs and operators. ``dotpipe`` offers it."""

from tasks.library.deep_optimal_transport import DeepOptimalTransport, Enhanced
from tasks.library.finished_run import FinishedRun
from tasks.library.opening import configuration_of, open_run, write_sections
from tasks.library.pictures import File, Picture

__all__ = [
    "DeepOptimalTransport",
    "Enhanced",
    "File",
    "FinishedRun",
    "Picture",
    "configuration_of",
    "open_run",
    "write_sections",
]
