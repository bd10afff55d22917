"""Full and read-only disks are told in a sentence, and nothing is lost."""

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from flows.backfill import backfill
from tasks.io.errors import StoreRefused
from tasks.upkeep.status import status_of_steps


@contextmanager
def mounted(folder, *options):
    """A file system of its own at a folder; skips where this user may not mount one."""
    folder.mkdir(exist_ok=True)
    command = ["mount", *options, str(folder)]
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root mounts")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot mount: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def grow(folder, size):
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


def test_a_disk_that_is_full_in_mid_run_is_told_and_the_run_goes_on_when_there_is_room(
    project, undisturbed
):
    with mounted(project.workspace, "-t", "tmpfs", "-o", "size=400k", "tmpfs"):
        with pytest.raises(
            StoreRefused, match=r"cannot be written: No space left on device; make room there"
        ):
            backfill(project.configure())
        assert project.partial() == []
        done = project.vouch()
        assert done
        before = project.versions()
        grow(project.workspace, "40m")
        backfill(project.configure())
        # Notes of failures stay if they found room; later records outdo them.
        left = project.lasting().items()
        assert {name: data for name, data in left if name[:9] != "failures/"} == undisturbed
        assert sum(step.failed for step in status_of_steps(project.configure())) == 0
        after = project.versions()
        assert {name for name in done if after[name] != before[name]} == set()


def test_a_read_only_workspace_is_told_and_readable(complete):
    complete.configure(enhance={"alphas": [0, 0.25, 0.5]})
    workspace = str(complete.workspace)
    with mounted(complete.workspace, "--bind", workspace):
        subprocess.run(["mount", "-o", "remount,ro,bind", workspace], check=True)
        with pytest.raises(
            StoreRefused, match=r"Read-only file system; give a workspace that can be written to"
        ):
            backfill(complete.configure(enhance={"alphas": [0, 0.25, 0.5]}))
