"""What a task may use on a machine that something else shares out."""

import threading

from tasks.io.machine import resources as module
from tasks.io.machine.resources import Allotment, allotment, allotted, cores


def test_nothing_is_shared_out_by_itself(monkeypatch):
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    assert allotment() is None
    assert cores() == 12


def test_a_task_has_the_cores_that_it_was_given_in_all_its_threads():
    seen = []
    with allotted(Allotment(cores=3, devices=())):
        thread = threading.Thread(target=lambda: seen.append(cores()))
        thread.start()
        thread.join()
    assert seen == [3]
    assert allotment() is None
