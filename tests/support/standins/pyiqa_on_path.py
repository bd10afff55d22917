"""The stand-in for pyiqa on the path of a test, in place of the package or of none."""

import importlib.metadata
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.io.networks.features import judges

_FOLDER = Path(__file__).parent


@contextmanager
def standing_in():
    """``import pyiqa`` gives the stand-in while a block runs; yields its module."""
    with _without("pyiqa") as patch:
        patch.syspath_prepend(str(_FOLDER))
        yield importlib.import_module("pyiqa")


@contextmanager
def not_installed():
    """There is no pyiqa while a block runs."""
    with _without("pyiqa") as patch:
        patch.setattr("tasks.io.networks.features.pyiqa_metrics.find_spec", lambda _: None)
        yield


@contextmanager
def _without(package):
    """Nothing is known of a package while a block runs, even if it is installed."""
    version = importlib.metadata.version

    def unknown(name):
        if name == package:
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tasks.io.networks.features.pyiqa_metrics.version", unknown)
        kept = {name: sys.modules.pop(name) for name in [*sys.modules] if name == package}
        judges._load_judge.cache_clear()
        yield patch
    judges._load_judge.cache_clear()
    sys.modules.pop(package, None)
    sys.modules.update(kept)
