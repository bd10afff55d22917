import subprocess
import sys
from pkgutil import walk_packages
from types import ModuleType

import pytest

import dot_kernels
import dot_kernels.metrics

HEAVY = {"diffusers", "fsspec", "matplotlib", "prefect", "pydantic", "skimage", "torchvision"}


@pytest.mark.parametrize("package", [dot_kernels, dot_kernels.metrics])
def test_public_names_are_what_can_be_imported(package):
    importable = {
        name
        for name, value in vars(package).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert set(package.__all__) == importable
    assert len(package.__all__) == len(importable)


def test_importing_the_kernels_imports_nothing_heavy():
    modules = [module.name for module in walk_packages(dot_kernels.__path__, "dot_kernels.")]
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "dot_kernels.metrics.distortion" in loaded.stdout.split()
    assert not HEAVY & set(loaded.stdout.split())
