"""The whole configuration: its sections, and the rules that hold between them.

Rules within one section stand beside its fields, in ``sections`` and ``compute``.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from dot_kernels.degradations import Degradation, Noise
from tasks.config.compute import Blocks, Compute
from tasks.config.error_messages import explain
from tasks.config.places import anchored, require_apart
from tasks.config.sections import (
    Corpora,
    Corpus,
    Enhance,
    Evaluate,
    Fit,
    Location,
    Name,
    Patches,
    Shards,
)
from tasks.io.errors import ConfigurationError
from tasks.io.networks.codecs import STABLE_DIFFUSION_VAE, Autoencoder, CodecSpec
from tasks.io.networks.restorers import NonLocalMeans, RestorerSpec, SpandrelCheckpoint
from tasks.io.section import Section


class Config(Section):
    """One data set to enhance, with everything that decides how, from its images to its report."""

    name: Name
    """Name of the run, and of the enhanced data set unless ``corpora.restored.name`` is given; by
    default the file's name without ``.yaml``."""
    workspace: Location
    """Folder or s3://bucket/prefix to which everything is written; a relative path counts from
    the configuration file."""
    weights: Location | None = None
    """Folder or s3://bucket/prefix that ``dotpipe weights pull`` filled, in which every network is
    looked for first; a relative path counts from the configuration file."""
    corpora: Corpora
    degrade: tuple[Annotated[Degradation, Field(discriminator="kind")], ...] = ()
    """Degradations that are applied one after the other to the reference's images, each seeded by
    the image's key; needs ``restore``."""
    restore: RestorerSpec | None = None
    """The restorer that is applied to the degraded images; needs ``degrade``."""
    codec: CodecSpec = STABLE_DIFFUSION_VAE
    patches: Patches = Patches()
    fit: Fit = Fit()
    enhance: Enhance = Enhance()
    evaluate: Evaluate = Evaluate()
    shards: Shards = Shards()
    compute: Compute = Compute()
    blocks: Blocks = Blocks()

    @model_validator(mode="after")
    def _the_restorer_has_something_to_do(self) -> "Config":
        noisy = any(isinstance(degradation, Noise) for degradation in self.degrade)
        if isinstance(self.restore, NonLocalMeans) and self.degrade and not noisy:
            raise ValueError("restore by non-local-means needs noise in degrade, or does nothing")
        return self

    @model_validator(mode="after")
    def _there_is_something_to_compare_with(self) -> "Config":
        if self.evaluate.against == "reference" and self.corpora.reference is None:
            raise ValueError("evaluate.against is reference, so corpora.reference must be given")
        return self

    @model_validator(mode="after")
    def _corpora_are_complete(self) -> "Config":
        corpora, made = self.corpora, self.restore is not None
        if made and not self.degrade:
            raise ValueError("restore needs a degrade section that says what it undoes")
        if self.degrade and not made:
            raise ValueError("degrade needs a restore section, whose images are enhanced")
        if made and corpora.restored is not None:
            raise ValueError("corpora.restored is made by degrade and restore; give one or other")
        if made and corpora.reference is None:
            raise ValueError("degrade needs corpora.reference, the clean images it starts from")
        if not made and corpora.restored is None:
            raise ValueError(
                "corpora.restored must be given, or made by degrade and restore from "
                "corpora.reference"
            )
        names = [self.restored_name, *([self.natural_name] if corpora.natural else [])]
        names += [self.reference_name] if self.reference_name else []
        names += [self.source_name] if self.source_name != self.restored_name else []
        if len(set(names)) < len(names):
            raise ValueError(f"data sets must have different names, got {', '.join(names)}")
        if corpora.natural is None and corpora.reference is None:
            raise ValueError("corpora.natural must be given: what images should look like")
        return self

    @property
    def reference_name(self) -> str | None:
        """The name of the data set of ground truth; None without one."""
        corpus = self.corpora.reference
        return None if corpus is None else corpus.name or "reference"

    @property
    def natural_name(self) -> str:
        """The name of the data set whose statistics the transport aims at."""
        if (corpus := self.corpora.natural) is not None:
            return corpus.name or "natural"
        return self.reference_name or ""

    @property
    def restored_name(self) -> str:
        """The name of the data set to enhance, which the results bear too."""
        corpus = self.corpora.restored
        return (corpus.name if corpus else None) or self.name

    @property
    def against_name(self) -> str:
        """The name of the data set whose features the enhanced images' are compared with."""
        wanted = self.evaluate.against or ("reference" if self.reference_name else "natural")
        return (self.reference_name or "") if wanted == "reference" else self.natural_name

    @property
    def curve_alphas(self) -> tuple[float, ...]:
        """The alphas of the perception-distortion curve.

        There are none without a reference, or with latent interpolation, in which the curve has
        no closed form.
        """
        possible = self.reference_name is not None and self.enhance.interpolation == "image"
        return self.evaluate.curve.alphas if self.evaluate.curve and possible else ()

    @property
    def pairing(self) -> Literal["auto", "paired", "unpaired"]:
        """How images are chosen for the fit: auto means paired where restored images are made."""
        if self.restore is not None and self.fit.pairing == "auto":
            return "paired"
        return self.fit.pairing

    @property
    def source_name(self) -> str:
        """The name of the data set of restored images that the operator is fitted on.

        It is the data set to enhance, except where restored images are made and the natural
        images are not the reference: then the natural images that the fit chooses are degraded
        and restored too, so that both sides of the fit show the same images.
        """
        makes_pairs = self.restore is not None and self.pairing == "paired"
        if makes_pairs and self.natural_name != self.reference_name:
            return f"{self.name}.source"
        return self.restored_name

    def given_datasets(self) -> dict[str, Corpus]:
        """The corpora that are given as files, by the name of their data set."""
        corpora = self.corpora
        given = {
            self.reference_name: corpora.reference,
            self.natural_name: corpora.natural or corpora.reference,
            self.restored_name: corpora.restored,
        }
        return {name: corpus for name, corpus in given.items() if name and corpus}

    def datasets(self) -> list[str]:
        """The names of all data sets that this configuration needs, each once."""
        return list(dict.fromkeys([*self.given_datasets(), *self.made_datasets()]))

    def made_datasets(self) -> dict[str, str]:
        """Which data sets are made by degrading and restoring: their names, each with its origin's.

        Returns:
            For each made data set, the name of the one with the clean images.
        """
        if self.restore is None or self.reference_name is None:
            return {}
        return {
            self.source_name: self.natural_name,
            self.restored_name: self.reference_name,
        }

    def anchored(self, folder: Path) -> "Config":
        """Return the same configuration with every relative path made absolute from a folder.

        Raises:
            ConfigurationError: a path is not written out, or names a home that is unknown here.
        """
        tree = self.model_dump()

        def anchor(field: str, section: dict[str, Any]) -> None:
            last = field.rpartition(".")[2]
            section[last] = anchored(section[last], folder, field)

        anchor("workspace", tree)
        if self.weights is not None:
            anchor("weights", tree)
        for role, corpus in tree["corpora"].items():
            if corpus is not None:
                anchor(f"corpora.{role}.path", corpus)
        if isinstance(self.restore, SpandrelCheckpoint):
            anchor("restore.checkpoint", tree["restore"])
        if isinstance(self.codec, Autoencoder) and self.codec.revision is None:
            anchor("codec.weights", tree["codec"])
        return Config.model_validate(tree)


def load_config(path: Path) -> Config:
    """Return the configuration in a YAML file, with its paths made absolute.

    Raises:
        ConfigurationError: the file cannot be read, is not YAML, or breaks a rule.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"configuration must be a readable file, got {str(path)!r} ({error.strerror}); "
            "`dotpipe init` writes one"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} must be YAML in UTF-8: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigurationError(f"{path} must hold sections, got {type(tree).__name__}")
    try:
        config = Config.model_validate({"name": path.stem, **tree}).anchored(path.parent.resolve())
    except ValidationError as error:
        raise ConfigurationError(explain(path, error, Config.model_json_schema())) from error
    require_apart(config.workspace, config.corpora)
    return config
