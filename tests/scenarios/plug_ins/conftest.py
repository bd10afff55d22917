"""Whole runs of plain functions on tiny images: see ``quick_and_alone``."""

from quick_and_alone import pytest_runtest_protocol

__all__ = ["pytest_runtest_protocol"]
