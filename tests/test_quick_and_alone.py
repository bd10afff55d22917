"""Tests that run in one thread leave the process as they have found it."""

import os

import torch
from quick_and_alone import pytest_runtest_protocol


def test_a_test_in_one_thread_leaves_threads_and_disk_as_they_were():
    before = torch.get_num_threads(), os.fsync
    hook = pytest_runtest_protocol()
    next(hook)
    assert torch.get_num_threads() == 1
    assert os.fsync is not before[1]
    for _ in hook:
        raise AssertionError("the hook must end with the test")
    assert (torch.get_num_threads(), os.fsync) == before


def test_no_test_sets_the_number_of_threads_for_good(repository):
    files = (repository / "tests").rglob("*.py")
    named = "set_num_threads("
    found = [
        str(file)
        for file in files
        if file.name != "test_quick_and_alone.py" and named in file.read_text("utf-8")
    ]
    assert found == []
