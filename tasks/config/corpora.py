"""The corpora of the configuration: where images lie, and how they are cut to size."""

import re
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from tasks.io.errors import ConfigurationError
from tasks.io.images import ResizeFilter
from tasks.io.section import Name, Section
from tasks.io.shards.keys import replaced, stripped
from tasks.io.shards.sides import SIDE_KINDS, SideKind
from tasks.io.store import FROM_ENVIRONMENT, Access, require_location, require_writable


def _checked(check: Callable[[str], str]) -> Callable[[str], str]:
    """Return a check of a path or URL whose refusals are those of a field."""

    def checked(path: str) -> str:
        try:
            return check(path)
        except ConfigurationError as error:
            raise ValueError(str(error)) from error

    return checked


Location = Annotated[str, AfterValidator(_checked(require_location))]
"""A folder, or a URL whose scheme is one of ``tasks.io.store.access.SCHEMES``."""

Workplace = Annotated[Location, AfterValidator(_checked(require_writable))]
"""A folder, or a bucket of S3."""

ColourPolicy = Literal["keep", "srgb"]
FramePolicy = Literal["refuse", "first"]


class Match(Section):
    """What is replaced in keys, so that they equal those of the same images in another corpus."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    from_: Annotated[str, Field(alias="from", min_length=1, max_length=255)]
    """What is replaced, wherever it stands in a key; a slash at its start fits the key's start."""
    to: Annotated[str, Field(max_length=255)]
    """What stands there instead."""


class Corpus(Section):
    """One set of images: a folder, with subfolders to any depth, or WebDataset tars.

    An image's key is its path below the folder without the extension, or its key in the tar.
    """

    path: Location
    """Folder, s3://bucket/prefix, hf://datasets/ORG/NAME/folder, or tars as in
    `…/{000000..000123}.tar`, each of which becomes one shard, or several if it is large
    (``shards.cut_tars_above``); braces may hold a step (`{0..10..2}`)
    or a list (`{train,test}`) too. In both, `*` and `?` stand for letters of one name, and `**` for
    folders, as in `photos/**/*.png`, whose keys are paths below `photos`; brackets are letters of
    the name as others are. A relative path counts from the configuration file."""
    access: Access = FROM_ENVIRONMENT
    """How this corpus is reached where the environment's credentials and endpoint are not the
    right ones; has an effect on S3 only."""
    name: Name | None = None
    """Name of the data set in the workspace; by default the corpus's role (natural, reference),
    or the configuration's name for ``restored``."""
    strip: Annotated[str, Field(pattern=r"^[^/]+$", max_length=255)] | None = None
    """What ends the names of these images and is no part of their keys, so that
    ``kodim01_swinir.png`` is the image ``kodim01``; ``*``, ``?`` and ``[…]`` stand for others as in
    a shell, and the shortest end that fits is taken. Null for nothing."""
    match: Match | None = None
    """What is replaced in the keys of these images so that they equal those of their ground truth:
    {from: /blur/, to: /sharp/} where the one is ``a/blur/1.png`` and the other ``a/sharp/1.png``.
    Null for nothing."""
    beside: tuple[SideKind, ...] | None = None
    """Which files beside an image go with it, byte for byte, into the enhanced tars and exports,
    by their endings: txt, cls and json, of at most a mebibyte. They have the image's name, or in
    tars its key. Null for all three in tars and none in folders; [] for none."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """How many images are used, the first in the order of their keys; null for all. Refused for
    tars, whose range in braces says how many."""
    resize: Annotated[int, Field(ge=8)] | None = None
    """Pixels to which the shorter side is scaled before ``crop``; null for no scaling."""
    resize_filter: ResizeFilter = "lanczos"
    """By which filter: lanczos, bicubic, bilinear or area, all of them Pillow's, which average
    when an image becomes smaller (area is its box filter); has no effect without ``resize``."""
    crop: Annotated[int, Field(ge=8)] | None = None
    """Side in pixels of the central square that is kept, after ``resize``; a smaller image is
    refused. Null for no cropping."""

    colour: ColourPolicy = "keep"
    """``keep``: numbers are processed as they are, and the colour profile goes along; ``srgb``:
    they are converted to sRGB by it as they come in, at their depth, with perceptual intent."""
    frames: FramePolicy = "refuse"
    """What becomes of animated images and of those of several pages: refused, or their ``first``
    is taken."""

    @model_validator(mode="after")
    def _limit_counts_files(self) -> "Corpus":
        if self.limit is not None and self.is_tars:
            raise ValueError("limit counts image files, got tars; give a shorter range in braces")
        return self

    @property
    def renames(self) -> bool:
        """Whether keys are others than names."""
        return self.strip is not None or self.match is not None

    def stripped(self, key: str) -> str:
        """The key without what ``strip`` says of its end."""
        return key if self.strip is None else stripped(key, self.strip)

    def matched(self, key: str) -> str:
        """The key with what ``match`` says replaced."""
        return key if self.match is None else replaced(key, self.match.from_, self.match.to)

    def renamed(self, key: str) -> str:
        """The key that a name of its own becomes."""
        return self.matched(self.stripped(key))

    @property
    def is_tars(self) -> bool:
        """Whether the path names tars instead of a folder."""
        return self.path.lower().endswith(".tar")

    @property
    def has_stars(self) -> bool:
        """Whether the path is a pattern, so that a listing tells which files it stands for."""
        return re.search(r"[*?]", self.path) is not None

    @property
    def folder(self) -> str:
        """The folder that paths of images and tars count from: what stands before any pattern."""
        return self._parts[0]

    @property
    def pattern(self) -> str | None:
        """What the paths of images or tars must be like below the folder; None for any image."""
        return self._parts[1]

    @property
    def _parts(self) -> tuple[str, str | None]:
        found = re.search(r"[{*?]" if self.is_tars else r"[*?]", self.path)
        if found is None and not self.is_tars:
            return self.path, None
        cut = self.path.rfind("/", 0, found.start() if found else None) + 1
        return self.path[:cut], self.path[cut:]

    @property
    def side_kinds(self) -> tuple[SideKind, ...]:
        """Which kinds of files beside an image go with it, in their order."""
        wanted = (SIDE_KINDS if self.is_tars else ()) if self.beside is None else self.beside
        return tuple(kind for kind in SIDE_KINDS if kind in wanted)

    @property
    def taken_as(self) -> dict[str, str]:
        """What of colours and frames decides which images are made; defaults are left out."""
        given = {"colour": self.colour, "frames": self.frames}
        return {name: way for name, way in given.items() if way not in ("keep", "refuse")}

    @property
    def filter_used(self) -> ResizeFilter | None:
        """The filter by which images are resized; None where they are not."""
        return None if self.resize is None else self.resize_filter


class Corpora(Section):
    """Which images play which role; equal keys in two corpora mean versions of one image."""

    restored: Corpus | None = None
    """The restorer's output, which is to be enhanced; must be left out where ``restore`` makes
    it."""
    degraded: Corpus | None = None
    """Images that are degraded already, which ``restore`` restores; must be left out where
    ``degrade`` makes them."""
    natural: Corpus | None = None
    """Images whose statistics the enhanced ones should have; the reference by default."""
    reference: Corpus | None = None
    """Ground truth of the restored images, for metrics; also what ``degrade`` starts from."""
    training: Corpus | None = None
    """Clean images that a restorer is trained on, as residual-transport is; the natural ones by
    default. A map that is fitted on what the restorer was trained on learns too little."""

    def name_of(self, role: str) -> str | None:
        """Return the name of the data set of a role; None if it is not given."""
        corpus: Corpus | None = getattr(self, role)
        return None if corpus is None else corpus.name or role

    @property
    def names(self) -> list[str]:
        """The names of the data sets that are given, but for the restored one."""
        roles = (role for role in type(self).model_fields if role != "restored")
        return [name for role in roles if (name := self.name_of(role)) is not None]

    def require_complete(self, *, degrades: bool, restores: bool, trains: bool) -> None:
        """Check that there are images to enhance, made in one way, and others to aim at.

        Args:
            degrades: whether there is a section ``degrade``.
            restores: whether there is a section ``restore``.
            trains: whether the restorer is trained.

        Raises:
            ValueError: there are none, or two ways.
        """
        given, degraded = self.restored is not None, self.degraded is not None
        broken = {
            "corpora.restored and corpora.degraded must not both be given, as restore makes the "
            "restored images from the degraded ones; leave one out": given and degraded,
            "corpora.degraded must be left out where degrade makes the degraded images; give one "
            "or other": degrades and degraded,
            "corpora.degraded needs a restore section, whose images are enhanced": degraded
            and not restores,
            "restore needs a degrade section that says what it undoes, or corpora.degraded, "
            "images that are degraded already": restores and not degrades and not degraded,
            "degrade needs a restore section, whose images are enhanced": degrades and not restores,
            "corpora.restored is made by degrade and restore; give one or other": restores
            and given,
            "degrade needs corpora.reference, the clean images it starts from": degrades
            and self.reference is None,
            "corpora.restored must be given, or made by restore: from corpora.degraded, or by "
            "degrade from corpora.reference": not restores and not given,
            "corpora.training needs a restorer that is trained, as restore: {kind: "
            "residual-transport}; leave it out": self.training is not None and not trains,
            "corpora.natural must be given: what images should look like": self.natural is None
            and self.reference is None,
        }
        for sentence, is_broken in broken.items():
            if is_broken:
                raise ValueError(sentence)
