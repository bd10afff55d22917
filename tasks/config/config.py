"""The whole configuration: its sections, and the rules that hold between them.

Rules within one section stand beside its fields, in ``sections`` and ``compute``.
"""

from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from dot_kernels.degradations import Degradation
from dot_kernels.sampling import sides_before, total_downscaling
from tasks.config.compute import Blocks, Compute, Shards
from tasks.config.corpora import Corpora, Corpus, Location
from tasks.config.patches import Patches, Transport, require_patches_of_crops
from tasks.config.places import anchored
from tasks.config.sections import Enhance, Evaluate, Fit
from tasks.io.networks.codecs import STABLE_DIFFUSION_VAE, CodecSpec, Pixel, codec_places
from tasks.io.networks.residual_transport.section import ResidualTransport
from tasks.io.networks.restorers import RestorerSpec, SpandrelCheckpoint, places_of, require_work
from tasks.io.networks.undoing import OneDegradation
from tasks.io.section import Name, Section


class Config(Section):
    """One data set to enhance, with everything that decides how, from its images to its report."""

    name: Name
    """Name of the run, and of the enhanced data set unless ``corpora.restored`` or ``restore`` has
    a name; by default the file's name without ``.yaml``."""
    workspace: Location
    """Folder or s3://bucket/prefix to which everything is written; a relative path counts from
    the configuration file."""
    weights: Location | None = None
    """Folder or s3://bucket/prefix that ``dotpipe weights pull`` filled, in which every network is
    looked for first; a relative path counts from the configuration file."""
    keep: Annotated[int, Field(ge=0)] | None = None
    """How many former operators keep results when a run ends; null for all until ``dotpipe gc``,
    one in runs by a schedule. What other configurations of the workspace use always stays."""
    corpora: Corpora
    degrade: tuple[OneDegradation, ...] = ()
    """Degradations that are applied one after the other to the reference's images; noise is seeded
    by the image's key, and by ``seed`` beside its ``sigma``. Needs ``restore``."""
    restore: RestorerSpec | None = None
    """The restorer that is applied to the degraded images: those of ``corpora.degraded``, or those
    that ``degrade`` makes."""
    reapply: Annotated[int, Field(ge=0, le=3)] = 0
    """How often the method is applied again to its own output at alpha 0, each time by an operator
    that is fitted on such output, as in section 5.3 of the paper."""
    codec: CodecSpec = STABLE_DIFFUSION_VAE
    patches: Patches = Patches()
    transport: Transport = Transport()
    fit: Fit = Fit()
    enhance: Enhance = Enhance()
    evaluate: Evaluate = Evaluate()
    shards: Shards = Shards()
    compute: Compute = Compute()
    blocks: Blocks = Blocks()

    @model_validator(mode="after")
    def _corpora_are_complete(self) -> "Config":
        restores, trains = self.restore is not None, isinstance(self.restore, ResidualTransport)
        self.corpora.require_complete(degrades=bool(self.degrade), restores=restores, trains=trains)
        names = [*dict.fromkeys([self.restored_name, self.source_name]), *self.corpora.names]
        if len(set(names)) < len(names):
            raise ValueError(f"data sets must have different names, got {', '.join(names)}")
        return self

    @model_validator(mode="after")
    def _there_is_something_to_do(self) -> "Config":
        if self.restore is not None:
            require_work(self.restore, self.degrade)
        if self.reapply and self.enhance.interpolation != "image":
            raise ValueError(
                f"reapply must be 0 with enhance.interpolation: latent, got {self.reapply}: "
                "latents of several rounds are not mixed"
            )
        return self

    @model_validator(mode="after")
    def _there_is_something_to_compare_with(self) -> "Config":
        if "reference" in self._compared and self.corpora.reference is None:
            raise ValueError("evaluate.against is reference, so corpora.reference must be given")
        if len(set(self.against_names)) < len(self.against_names):
            raise ValueError(
                "evaluate.against must list different images, got "
                f"{' and '.join(self._compared)}, which are data set {self.against_name}; give "
                "corpora.natural, or name one of them"
            )
        return self

    @model_validator(mode="after")
    def _cropped_images_have_enough_patches(self) -> "Config":
        fitted, most = self.fitted_datasets(), self.fit.images
        crops = {
            name: (side, min(most, corpus.limit or most))
            for name, corpus in self.given_datasets().items()
            if name in fitted and (side := (corpus.crop or 0) * (self.enlargement(name) or 0))
        }
        require_patches_of_crops(self.codec, self.patch_size, crops)
        return self

    @property
    def patch_size(self) -> int:
        """Side of a patch in latent pixels: as it is given, or what suits the codec."""
        return self.patches.size or (1 if isinstance(self.codec, Pixel) else 3)

    @property
    def reference_name(self) -> str | None:
        """The name of the data set of ground truth; None without one."""
        return self.corpora.name_of("reference")

    @property
    def degraded_name(self) -> str | None:
        """The name of the data set of images that are degraded already; None without one."""
        return self.corpora.name_of("degraded")

    @property
    def clean_name(self) -> str | None:
        """The name of the data set of clean images that the restorer is trained on, if it is."""
        trains = isinstance(self.restore, ResidualTransport)
        return self.corpora.name_of("training") or self.natural_name if trains else None

    @property
    def undone(self) -> tuple[Degradation, ...]:
        """What the restorer undoes, as far as it is said."""
        return self.degrade or (self.restore.undoes if self.restore is not None else ())

    @property
    def natural_name(self) -> str:
        """The name of the data set whose statistics the transport aims at."""
        return self.corpora.name_of("natural") or self.reference_name or ""

    @property
    def restored_name(self) -> str:
        """The name of the data set to enhance, which the results bear too."""
        return getattr(self.restore or self.corpora.restored, "name", None) or self.name

    @property
    def _compared(self) -> tuple[str, ...]:
        """The corpora with which enhanced images are compared, by their places in ``corpora``."""
        return self.evaluate.against or ("reference" if self.reference_name else "natural",)

    @property
    def against_names(self) -> tuple[str, ...]:
        """The names of the data sets whose features the enhanced images' are compared with."""
        reference = self.reference_name or ""
        return tuple(reference if c == "reference" else self.natural_name for c in self._compared)

    @property
    def against_name(self) -> str:
        """The first of these; the curve is compared with no other."""
        return self.against_names[0]

    @property
    def curve_alphas(self) -> tuple[float, ...]:
        """The alphas of the curve: none with latent interpolation, where each costs a decoding."""
        possible = self.enhance.interpolation == "image"
        return self.evaluate.curve.alphas if self.evaluate.curve and possible else ()

    @property
    def judges(self) -> tuple[str, ...]:
        """The names of metrics of single images beside LPIPS."""
        return self.evaluate.judges(has_reference=self.reference_name is not None)

    @property
    def pairing(self) -> Literal["auto", "paired", "unpaired"]:
        """How images are chosen for the fit: auto means paired where clean ones are degraded."""
        if self.degrade and self.fit.pairing == "auto":
            return "paired"
        return self.fit.pairing

    @property
    def source_name(self) -> str:
        """The name of the data set of restored images that the operator is fitted on.

        It is the data set to enhance, except where clean images are degraded and the natural
        images are not the reference: then natural images that the fit chooses are restored too. So
        nothing that is evaluated is fitted on, and both sides of a pair show the same image.
        """
        if not self.degrade or self.natural_name == self.reference_name:
            return self.restored_name
        shared = self.restore is not None and self.restore.name is not None
        chosen = f"-{self.fit.images}-{self.fit.seed}-{self.pairing}" if shared else ""
        return f"{self.restored_name}.source{chosen}"

    def given_datasets(self) -> dict[str, Corpus]:
        """The corpora that are given as files, by the name of their data set."""
        corpora = self.corpora
        given = {
            self.reference_name: corpora.reference,
            self.natural_name: corpora.natural or corpora.reference,
            self.restored_name: corpora.restored,
            self.degraded_name: corpora.degraded,
            corpora.name_of("training"): corpora.training,
        }
        return {name: corpus for name, corpus in given.items() if name and corpus}

    def fitted_datasets(self) -> list[str]:
        """The names of the given data sets that the fit sees, or that what it sees is made from."""
        source = self.made_datasets().get(self.source_name, self.source_name)
        return list(dict.fromkeys([self.natural_name, source]))

    def datasets(self) -> list[str]:
        """The names of all data sets that this configuration needs, each once."""
        return list(dict.fromkeys([*self.given_datasets(), *self.made_datasets()]))

    def made_datasets(self) -> dict[str, str]:
        """Which data sets are made by restoring, each with that of degraded or clean images."""
        if self.restore is None:
            return {}
        if self.degraded_name is not None:
            return {self.restored_name: self.degraded_name}
        return {self.source_name: self.natural_name, self.restored_name: self.reference_name or ""}

    def enlargement(self, dataset: str) -> int | None:
        """How often given images are enlarged; None: a network knows, or borders are added."""
        if dataset != self.degraded_name:
            return 1
        if isinstance(self.restore, SpandrelCheckpoint) and not self.undone:
            return None
        factor = total_downscaling(self.undone)
        return factor if sides_before(self.undone, (1, 1)) == (factor, factor) else None

    def locations(self) -> dict[str, str]:
        """The paths and URLs of all that is read or written, by their fields."""
        corpora = ((role, getattr(self.corpora, role)) for role in type(self.corpora).model_fields)
        found = {"workspace": self.workspace, "weights": self.weights}
        found |= {f"corpora.{role}.path": corpus.path for role, corpus in corpora if corpus}
        if self.restore is not None:
            found |= places_of(self.restore)
        found |= codec_places(self.codec)
        return {field: place for field, place in found.items() if place is not None}

    def anchored(self, folder: Path) -> "Config":
        """Return the same configuration with every relative path made absolute from a folder.

        Raises:
            ConfigurationError: a path is not written out, or names a home that is unknown here.
        """
        tree = self.model_dump()
        for field, location in self.locations().items():
            *sections, last = field.split(".")
            section = reduce(getitem, sections, tree)
            section[last] = anchored(location, folder, field)
        return Config.model_validate(tree)
