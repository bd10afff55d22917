"""Places: where corpora, workspace and weights of a configuration lie, and which may overlap.

What a run makes must never come back as input, and what is to be enhanced must not be taken for
what it is compared with. Where folders lie inside each other, the inner one is left out of the
listing of the outer one; where that would leave nothing, the configuration is refused. Tars are
named one by one, or by a pattern with stars, so none may be named for both.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import groupby, product
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from tasks.config.corpora import Corpora, Corpus
from tasks.config.tar_patterns import expanded, matching
from tasks.io.errors import ConfigurationError, CorpusError
from tasks.io.store import FROM_ENVIRONMENT, Access, require_written_out
from tasks.io.workspace import KINDS

_NAME_BYTES = 255
"""The longest name of a file or folder that disks take."""
_ENHANCED = {"restored", "degraded"}
"""Roles of the images that are to be enhanced, as they are or once they are restored."""
_ON_DISK = ("file", "local")
_SAME = {"s3a": "s3"}
"""Schemes that are another name of the same service."""


class Place(NamedTuple):
    """A folder, or a prefix of a bucket, by the one name that it has however it is written."""

    service: str
    """Scheme and endpoint; empty for this machine's disk."""
    parts: tuple[str, ...]
    """Of the path from the root or the bucket on: on a disk without links and ``..``."""

    @classmethod
    def of(cls, url: str, access: Access = FROM_ENVIRONMENT) -> "Place":
        """Return the place of a folder, of which a disk is asked only where links lead."""
        scheme, is_url, rest = url.partition("://")
        if not is_url or scheme in _ON_DISK:
            return cls("", Path(os.path.realpath(rest if is_url else url)).parts)
        service = f"{_SAME.get(scheme, scheme)} {access.endpoint or ''}"
        return cls(service, tuple(rest.rstrip("/").split("/")))

    def holds(self, other: "Place") -> bool:
        """Whether the other place is this one, or lies below it."""
        return self.service == other.service and other.parts[: len(self.parts)] == self.parts


def anchored(location: str, folder: Path, field: str) -> str:
    """Return a location with a path made absolute from a folder; URLs stay as they are.

    Args:
        location: as a person has written it.
        folder: from which a relative path counts.
        field: where it is written, for errors.

    Raises:
        ConfigurationError: it is not written out, names the home of a user that this machine
            does not know, or has a name that no disk takes.
    """
    try:
        if "://" in require_written_out(location):
            return location
        path = Path(location).expanduser()
    except ConfigurationError as error:
        raise ConfigurationError(f"{field}: {error}") from error
    except RuntimeError as error:
        raise ConfigurationError(
            f"{field}: a path that begins with ~ must name a home of this machine, got "
            f"{location!r}, which it does not know; write the whole path"
        ) from error
    names = (part for part in path.parts if "{" not in part)  # braces stand for many tars
    longest = max((len(os.fsencode(name)) for name in names), default=0)
    if longest > _NAME_BYTES:
        raise ConfigurationError(
            f"{field}: a name in a path can have {_NAME_BYTES} bytes at most, got one of {longest}"
        )
    return os.path.realpath(folder / path)


def require_apart(workspace: str, corpora: Corpora) -> None:
    """Check that the corpora and the workspace do not lie in each other's way.

    Args:
        workspace: its folder or URL, absolute like the corpora's.
        corpora: of the configuration.

    Raises:
        ConfigurationError: the images of a corpus are what the workspace holds, or some of the
            restored or degraded images are those that they are compared with.
    """
    made, given = _kinds_in(workspace), dict(_given(corpora))
    for role, corpus in given.items():
        if folder_of(corpus) == Place.of(workspace) and not corpus.is_tars:
            raise ConfigurationError(
                f"the workspace must be a folder of its own, got {workspace!r}, which is the one "
                f"of corpora.{role}; name one inside it, as {workspace}/dot"
            )
        if any(kind.holds(place) for place in _folders_of(role, corpus) for kind in made):
            raise ConfigurationError(
                f"corpora.{role} must not be what the workspace itself holds, got "
                f"{corpus.path!r}, which runs change and `dotpipe gc` may remove; give this "
                "configuration a workspace of its own, or copy the images to another folder"
            )
    for ours, role in product(given.keys() & _ENHANCED, given.keys() - _ENHANCED):
        if _cut(given[ours]) == _cut(given[role]):
            _require_different(given, ours, role)


def _require_different(given: Mapping[str, Corpus], ours: str, role: str) -> None:
    """Check that no restored or degraded images are those that they are compared with.

    Of folders inside each other the inner one is left out, so only the same folder is refused, and
    patterns below it of which one holds the other.

    Args:
        given: the corpora by their roles, of which two are cut in the same way.
        ours: role of the restored or degraded images.
        role: of the others, natural or reference images.

    Raises:
        ConfigurationError: some are.
    """
    restored, other = given[ours], given[role]
    if restored.is_tars != other.is_tars:  # of a folder only image files are taken
        return
    if restored.is_tars and not (restored.has_stars or other.has_stars):
        theirs = set(_tars_of(role, other))
        shared = [tar.parts[-1] for tar in _tars_of(ours, restored) if tar in theirs]
        found = f"{_in_words(shared)} in both" if shared else ""
    else:
        found = f"{other.path!r} for both" if _overlap(restored, other) else ""
    if found:
        raise ConfigurationError(
            f"corpora.{ours} and corpora.{role} must be different images, got {found}: they "
            "would be compared with themselves, and nothing of them be left to enhance; correct "
            "one of the paths"
        )


def _overlap(ours: Corpus, theirs: Corpus) -> bool:
    """Whether one of two corpora has all paths of the other, as far as their patterns tell."""
    if folder_of(ours) != folder_of(theirs):
        return False
    known = ([(p, matching(p)) for p in expanded(c.pattern or "**")] for c in (ours, theirs))
    return any(first(two) or second(one) for (one, first), (two, second) in product(*known))


def apart_from(corpus: Corpus, workspace: str, corpora: Corpora) -> dict[Place, str]:
    """Return the places of which a corpus takes nothing, whatever folder or link leads there.

    These are the workspace and, of restored or degraded images and what they are compared with,
    the other one. None of them holds the corpus itself.

    Args:
        corpus: one of the corpora.
        workspace: its folder or URL.
        corpora: of the configuration.

    Returns:
        what lies at each place, in words.
    """
    here, found = folder_of(corpus), {Place.of(workspace): "the workspace"}
    if Place.of(workspace).holds(here):
        found = dict.fromkeys(_kinds_in(workspace), "a folder of the workspace")
    is_enhanced = corpus in (corpora.restored, corpora.degraded)
    for role, other in _given(corpora):
        if is_enhanced != (role in _ENHANCED) and not other.is_tars:
            found.setdefault(folder_of(other), f"corpora.{role}")
    return {place: what for place, what in found.items() if not place.holds(here)}


def folder_of(corpus: Corpus) -> Place:
    """Return the folder of a corpus's images or tars: what stands before any pattern."""
    return Place.of(corpus.folder or ".", corpus.access)


def _folders_of(role: str, corpus: Corpus) -> set[Place]:
    """Return the folder of a corpus's images, or all those in which its tars lie.

    Raises:
        ConfigurationError: the braces of the tars hold nothing that they could stand for.
    """
    if not corpus.is_tars or corpus.has_stars or "/" not in (corpus.pattern or ""):
        return {folder_of(corpus)}
    return {folder for folder, _ in _tars_by_folder(role, corpus)}


def _tars_of(role: str, corpus: Corpus) -> Iterator[Place]:
    """Yield the place of every tar of a corpus; for one that is a link, where it leads.

    Raises:
        ConfigurationError: the braces of the tars hold nothing that they could stand for.
    """
    for folder, names in _tars_by_folder(role, corpus):
        links = _links_in(folder)
        for name in names:
            tar = Place(folder.service, (*folder.parts, name))
            yield Place.of(str(Path(*tar.parts))) if name in links else tar


def _links_in(folder: Place) -> set[str]:
    """Return the names of the links in a folder of this machine's disk, as far as it is there."""
    if folder.service:
        return set()
    with suppress(OSError), os.scandir(Path(*folder.parts)) as entries:
        return {entry.name for entry in entries if entry.is_symlink()}
    return set()


def _tars_by_folder(role: str, corpus: Corpus) -> Iterator[tuple[Place, list[str]]]:
    """Yield the folders in which a corpus's tars lie, each with the names of some of them.

    Raises:
        ConfigurationError: the braces of the tars hold nothing that they could stand for.
    """
    paths = (path.rpartition("/") for path in expanded(corpus.path))
    try:
        for folder, group in groupby(paths, key=itemgetter(0)):
            yield Place.of(folder or "/", corpus.access), [name for _, _, name in group]
    except CorpusError as error:
        raise ConfigurationError(f"corpora.{role}.path: {error}") from error


def _kinds_in(workspace: str) -> list[Place]:
    """Return the folders of a workspace that hold what it has made."""
    return [Place.of(f"{workspace.rstrip('/')}/{kind}") for kind in KINDS]


def _given(corpora: Corpora) -> Iterator[tuple[str, Corpus]]:
    """Yield the corpora that are given, each with its role."""
    for role in type(corpora).model_fields:
        corpus: Corpus | None = getattr(corpora, role)
        if corpus is not None:
            yield role, corpus


def _cut(corpus: Corpus) -> tuple[int | None, int | None]:
    """Return what makes different images of the same files."""
    return corpus.resize, corpus.crop


def _in_words(names: list[str]) -> str:
    """Return the first of some names, and how many more there are."""
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
