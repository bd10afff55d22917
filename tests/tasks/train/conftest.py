"""A run whose restorer is trained, small and fast."""

import pytest

NOISE = [{"kind": "noise", "sigma": 0.2}]
QUICK = {
    "steps": 6,
    "segment": 2,
    "batch": 2,
    "crop": 16,
    "width": 2,
    "validation": 1,
    "map_steps": 5,
}


@pytest.fixture
def run(steps, tmp_path, photographs):
    """Makes a run whose restorer is trained; nothing is done yet."""

    def make(name="w", corpora=None, train=None, **sections):
        sections = {"degrade": NOISE} | sections
        undoes = sections.pop("undoes", [])
        restore = {"kind": "residual-transport", "train": QUICK | (train or {}), "undoes": undoes}
        given = {"reference": photographs["natural"]} if corpora is None else corpora
        return steps(tmp_path / name, given, restore=restore, **sections)

    return make
