"""What installed packages bring: an entry point by its name, with its package and version.

Nothing is imported to find it. Packages say what they bring by entry points, as the specification
of entry points of the Python Packaging User Guide has them.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from tasks.io.errors import ConfigurationError

Brought = Literal["restorer", "codec", "metric", "format"]
"""What a package can bring; the group of its entry points is ``dotpipe.`` and the plural."""


@dataclass(frozen=True, slots=True)
class Installed:
    """An entry point of an installed package."""

    brought: Brought
    name: str
    package: str
    version: str
    point: EntryPoint

    def __str__(self) -> str:
        """Return what sentences call it."""
        return f"{self.name!r} of {self.package} {self.version}"

    @property
    def identity(self) -> dict[str, str]:
        """What makes two of them the same, for fingerprints.

        Of a package that is installed as editable it is also the digest of its source files, as
        these change while the version stays.
        """
        found = {"entry": self.name, "package": self.package, "version": self.version}
        return found | ({"source": source_digest(self.point)} if _is_editable(self.point) else {})

    def load(self) -> Any:
        """Return what it stands for, a function or class; its module is imported.

        Raises:
            ConfigurationError: the module cannot be imported, or has no such function.
        """
        rule = f"{self.brought} {self} must be a function or a class that can be imported"
        try:
            loaded = self.point.load()
        except Exception as error:
            raise ConfigurationError(
                f"{rule} from {self.point.value}, got {in_words(error)}; install "
                f"{self.package} again, or ask whoever wrote it"
            ) from error
        if not callable(loaded):
            raise ConfigurationError(f"{rule}, got {self.point.value}, which cannot be called")
        return loaded


def _is_editable(point: EntryPoint) -> bool:
    """Return whether a package runs from the folder in which it is written (PEP 610)."""
    told = None if point.dist is None else point.dist.read_text("direct_url.json")
    return bool(json.loads(told or "{}").get("dir_info", {}).get("editable", False))


def source_digest(point: EntryPoint) -> str:
    """Return the sha256 of the Python files of the package or module that has an entry point.

    It is imported no more than its name asks for: of ``a.b:c`` these are the files of ``a``.
    """
    place, total = find_spec(point.module.partition(".")[0]), hashlib.sha256()
    if place is None:
        return ""
    folders = [Path(folder) for folder in place.submodule_search_locations or ()]
    files = [(file, file.relative_to(root)) for root in folders for file in root.rglob("*.py")]
    if not folders and place.origin is not None:
        files = [(Path(place.origin), Path(place.name))]
    for file, name in sorted(files):
        total.update(f"{name}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return total.hexdigest()


def group_of(brought: Brought) -> str:
    """Return the group of the entry points of a kind of plug-in."""
    return f"dotpipe.{brought}s"


def all_installed(brought: Brought) -> list[Installed]:
    """Return all plug-ins of a kind that installed packages bring, by name."""
    found = [_installed(brought, point) for point in entry_points(group=group_of(brought))]
    return sorted(found, key=lambda each: (each.name, each.package))


def find(brought: Brought, name: str, *, version: str | None = None, field: str) -> Installed:
    """Return the plug-in of a name.

    Args:
        brought: kind of the plug-in.
        name: of its entry point.
        version: that its package must have; None for any.
        field: of the configuration, which names it.

    Raises:
        ConfigurationError: no package brings it, several do, or one of another version.
    """
    points = entry_points(group=group_of(brought), name=name)
    found = [_installed(brought, point) for point in points]
    if len(found) > 1:
        packages = " and ".join(f"{each.package} {each.version}" for each in found)
        raise ConfigurationError(
            f"{field} must name a {brought} that one package brings, got {name!r} of {packages}; "
            "uninstall one of them"
        )
    if not found:
        raise ConfigurationError(
            f"{field} must name a {brought} that an installed package brings (entry points "
            f"{group_of(brought)}), got {name!r}; {_listed(all_installed(brought))}; install its "
            "package beside dotpipe, on every machine that runs tasks, or correct the name"
        )
    if version not in (None, found[0].version):
        raise ConfigurationError(
            f"{field} must be of version {version}, got {found[0]}; install the same version on "
            "every machine that runs tasks"
        )
    return found[0]


def in_words(error: BaseException) -> str:
    """Return the kind of an error and the first line of its text."""
    first = str(error).strip().splitlines()[:1]
    return ": ".join([type(error).__name__, *first])


def _installed(brought: Brought, point: EntryPoint) -> Installed:
    package = ("", "") if point.dist is None else (point.dist.name, point.dist.version)
    return Installed(brought, point.name, *package, point)


def _listed(found: Iterable[Installed]) -> str:
    names = ", ".join(map(str, found))
    return f"installed are {names}" if names else "none is installed"
