"""What installed packages bring: an entry point by its name, with its package and version.

Nothing is imported to find it. Packages say what they bring by entry points, as the specification
of entry points of the Python Packaging User Guide has them.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from tasks.io.errors import ConfigurationError

_OF_SOURCE = "@"
"""Between a version and the sha256 of the source files; no version has it in it (PEP 440)."""

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

    @property
    def pin(self) -> str:
        """The version, for whoever must have the same; of an editable one with its source."""
        source = self.identity.get("source")
        return self.version if source is None else f"{self.version}{_OF_SOURCE}{source}"

    def is_pinned(self, version: str) -> bool:
        """Return whether it is of a version, as written by a person or as ``pin`` gives it."""
        number, _, source = version.partition(_OF_SOURCE)
        is_same = not source or source == source_digest(self.point)
        return number == self.version and is_same

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

    It is imported no more than its name asks for: of ``a.b:c`` these are the files of ``a``. They
    are read once, as this process goes on with what it has imported when they change.
    """
    return _digest_of_files(point.module.partition(".")[0])


@cache
def _digest_of_files(module: str) -> str:
    place, total = find_spec(module), hashlib.sha256()
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
        version: that its package must have, or what ``Installed.pin`` gave; None for any.
        field: of the configuration, which names it.

    Raises:
        ConfigurationError: no package brings it, several do, or one of another version or source.
    """
    found = _found(brought, name, field)
    if version is None or found.is_pinned(version):
        return found
    if found.version == version.partition(_OF_SOURCE)[0]:
        raise ConfigurationError(
            f"{field} must be of the source files that the work was planned with, got others of "
            f"{found}; have the same on every machine that runs tasks, and start again workers "
            "that run since before a change"
        )
    raise ConfigurationError(
        f"{field} must be of version {version.partition(_OF_SOURCE)[0]}, got {found}; install the "
        "same version on every machine that runs tasks"
    )


@lru_cache(maxsize=64)
def _found(brought: Brought, name: str, field: str) -> Installed:
    """Return the plug-in of a name in any version; looked for once, as that takes milliseconds."""
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
    return found[0]


def forget() -> None:
    """Look again for what is installed, and read sources again, when next asked."""
    _found.cache_clear()
    _digest_of_files.cache_clear()


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
