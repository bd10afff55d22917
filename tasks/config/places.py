"""Places: where corpora, workspace and weights of a configuration lie, and which may overlap.

What a run makes must never come back as input, and what is to be enhanced must not be taken for
what it is compared with. Where folders lie inside each other, the inner one is left out of the
listing of the outer one; where that would leave nothing, the configuration is refused.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tasks.config.corpora import Corpora, Corpus
from tasks.io.errors import ConfigurationError
from tasks.io.store import FROM_ENVIRONMENT, Access, require_written_out
from tasks.io.workspace import KINDS

_NAME_BYTES = 255
"""The longest name of a file or folder that disks take."""

_ON_DISK = ("file", "local")
_SAME = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az"}
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
        ConfigurationError: the images of a corpus are what the workspace holds, or the restored
            images are the very ones that they are compared with.
    """
    made = _kinds_in(workspace)
    for role, corpus in _given(corpora):
        place = folder_of(corpus)
        if place == Place.of(workspace) and not corpus.is_tars:
            raise ConfigurationError(
                f"the workspace must be a folder of its own, got {workspace!r}, which is the one "
                f"of corpora.{role}; name one inside it, as {workspace}/dot"
            )
        if any(kind.holds(place) for kind in made):
            raise ConfigurationError(
                f"corpora.{role} must not be what the workspace itself holds, got "
                f"{corpus.path!r}, which runs change and `dotpipe gc` may remove; give this "
                "configuration a workspace of its own, or copy the images to another folder"
            )
    restored = corpora.restored
    for role, corpus in _given(corpora) if restored is not None else ():
        if restored and role != "restored" and _images(restored) == _images(corpus):
            raise ConfigurationError(
                f"corpora.restored and corpora.{role} must be different images, got "
                f"{corpus.path!r} for both: nothing would be left to enhance, and every number "
                "would compare an image with itself; correct one of the paths"
            )


def apart_from(corpus: Corpus, workspace: str, corpora: Corpora) -> dict[Place, str]:
    """Return the places of which a corpus takes nothing, whatever folder or link leads there.

    These are the workspace and, of the restored images and what they are compared with, the
    other one. None of them holds the corpus itself.

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
    is_restored = corpus == corpora.restored
    for role, other in _given(corpora):
        if is_restored != (role == "restored") and not other.is_tars:
            found.setdefault(folder_of(other), f"corpora.{role}")
    return {place: what for place, what in found.items() if not place.holds(here)}


def folder_of(corpus: Corpus) -> Place:
    """Return the folder of a corpus's images, or that in which its tars lie."""
    return Place.of(corpus.folder or ".", corpus.access)


def _kinds_in(workspace: str) -> list[Place]:
    """Return the folders of a workspace that hold what it has made."""
    return [Place.of(f"{workspace.rstrip('/')}/{kind}") for kind in KINDS]


def _given(corpora: Corpora) -> Iterator[tuple[str, Corpus]]:
    """Yield the corpora that are given, each with its role."""
    for role in type(corpora).model_fields:
        corpus: Corpus | None = getattr(corpora, role)
        if corpus is not None:
            yield role, corpus


def _images(corpus: Corpus) -> tuple[Place, int | None, int | None]:
    """Return what tells the images of one corpus from those of another."""
    return Place.of(corpus.path, corpus.access), corpus.resize, corpus.crop
