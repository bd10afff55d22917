"""Plug-ins on their devices: loaded once per process, and what identifies them in fingerprints."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from tasks.io.machine.devices import pick_device
from tasks.io.networks.digests import digest, require_file
from tasks.io.networks.model_cache import LOADING, cached_per_device
from tasks.io.plug_ins.installed import Brought, Installed, find
from tasks.io.plug_ins.making import make
from tasks.io.plug_ins.section import PlugIn

Named = TypeVar("Named", bound=PlugIn)


def plug_in_identity(brought: Brought, spec: PlugIn, field: str) -> dict[str, Any]:
    """Return what makes two plug-ins the same, for fingerprints.

    It is the package with its version, the options, and the digests of files.

    Args:
        brought: kind of the plug-in.
        spec: what the configuration says.
        field: section of the configuration that says it.

    Raises:
        ConfigurationError: the package is not installed, or in another version.
        WeightsMissing: a file is not there.
    """
    found = find(brought, spec.entry, version=spec.version, field=f"{field}.entry")
    told = {"options": spec.options, "sha256": _digests(spec, field)}
    return {"kind": "plug-in", **found.identity, **{k: v for k, v in told.items() if v}}


def plug_in_in_words(spec: PlugIn, identity: Mapping[str, Any]) -> str:
    """Return which plug-in it is, of which package and version, with its options.

    Args:
        spec: what the configuration says.
        identity: as ``plug_in_identity`` gives it.
    """
    package = f"plug-in {spec.entry} of {identity['package']} {identity['version']}"
    options = [f"{name} {value}" for name, value in {**spec.options, **spec.files}.items()]
    digests = [f"{name} with sha256 {found}" for name, found in identity.get("sha256", {}).items()]
    return ", ".join([package, *options, *digests])


def pinned(brought: Brought, spec: Named, field: str) -> Named:
    """Return a section with the version that is installed here, for whoever works elsewhere.

    Of an editable package the sha256 of its source goes along.

    Raises:
        ConfigurationError: the package is not installed, or in another version.
    """
    found = find(brought, spec.entry, version=spec.version, field=f"{field}.entry")
    return spec.model_copy(update={"version": found.pin})


def load_plug_in(brought: Brought, spec: PlugIn, field: str, device: str) -> Any:
    """Return what a plug-in makes for a device; it is made once per process and device.

    Raises:
        ConfigurationError: the package is not installed, or in another version, cannot be
            imported, or does not take its options.
        WeightsMissing: a file is not there.
    """
    with LOADING:
        found = find(brought, spec.entry, version=spec.version, field=f"{field}.entry")
        digests = json.dumps(_digests(spec, field))
        options = json.dumps([spec.options, spec.files], sort_keys=True)
        return _made(pick_device(device), found, options, field, digests)


@cached_per_device(16)
def _made(device: str, found: Installed, options: str, field: str, _digests: str) -> Any:
    """Make a plug-in; digests of files are an argument so that changed files are read."""
    told, files = json.loads(options)
    paths = {name: Path(place) for name, place in files.items()}
    return make(found, {**told, **paths}, field, device)


def _digests(spec: PlugIn, field: str) -> Mapping[str, str]:
    """Return the sha256 of each file by name."""
    return {
        name: digest(require_file(Path(place), f"{field}.files.{name} names the file"))
        for name, place in spec.files.items()
    }
