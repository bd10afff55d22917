"""Rooms export what their faces list, and those that start processes stay light."""

import json
import pkgutil
import subprocess
import sys
from importlib import import_module
from types import ModuleType

import pytest

import flows
import tasks

ROOMS = sorted(
    found.name
    for package in (flows, tasks)
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if found.ispkg and hasattr(import_module(found.name), "__all__")
)

IMPORTS = """
import json, sys
from importlib import import_module

def heavy(room):
    import_module(room)
    return sorted({"torch", "prefect"} & set(sys.modules))

print(json.dumps({room: heavy(room) for room in sys.argv[1:]}))
"""


def test_the_rooms_of_the_pipeline_have_faces():
    assert {"flows.cli", "tasks.config", "tasks.jobs"} < set(ROOMS)
    io = {room.removeprefix("tasks.io.") for room in ROOMS if room.startswith("tasks.io.")}
    assert io >= {"catalogue", "images", "ledger", "shards", "store", "workspace"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_exports_exactly_what_its_face_lists(room):
    face = import_module(room)
    exported = [
        name
        for name, value in vars(face).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    ]
    assert sorted(exported) == sorted(face.__all__)
    assert all(hasattr(face, name) for name in face.__all__)


def test_decoding_children_start_without_torch_and_the_command_without_prefect_too(repository):
    rooms = ("tasks.io.images", "tasks.io.images.decoder", "flows.cli")  # each after those before
    command = [sys.executable, "-c", IMPORTS, *rooms]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=repository)
    assert json.loads(done.stdout) == {room: [] for room in rooms}
