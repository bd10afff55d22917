"""A process number means something where it was given, and nowhere else."""

import os
import socket
import subprocess
import sys

from tasks.io.machine import processes
from tasks.io.machine.processes import is_dead, place


def ended():
    command = [sys.executable, "-c", "import os; print(os.getpid())"]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


def test_this_process_lives_and_one_that_ended_is_dead():
    assert not is_dead(place(), os.getpid())
    assert is_dead(place(), ended())


def test_of_processes_elsewhere_nothing_is_known():
    assert not is_dead("elsewhere", ended())
    assert not is_dead(socket.gethostname(), ended())


def test_a_process_of_another_user_lives(monkeypatch):
    def forbidden(_process, _signal):
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbidden)
    assert not is_dead(place(), 1)


def test_the_place_is_the_same_in_a_child_and_fits_into_a_file_name():
    code = "from tasks.io.machine.processes import place; print(place())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert child.stdout.strip() == place()
    assert "/" not in place()


def test_containers_with_one_host_name_are_two_places(monkeypatch):
    here = place()
    monkeypatch.setattr(processes.Path, "readlink", lambda _: processes.Path("pid:[1]"))
    assert processes.place.__wrapped__() != here


def test_a_system_without_proc_has_a_place_too(monkeypatch):
    def absent(_path):
        raise FileNotFoundError

    monkeypatch.setattr(processes.Path, "readlink", absent)
    assert processes.place.__wrapped__().startswith(socket.gethostname())
