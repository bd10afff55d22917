"""The configuration file: parsed once, checked here, typed values ever after."""

import math
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, FiniteFloat, ValidationError, field_validator, model_validator

from dot_kernels.degradations import Degradation, Noise
from dot_kernels.enhancement import Decoding, Interpolation
from dot_kernels.patches import Fold
from dot_kernels.transport import DEFAULT_RIDGE
from tasks.complaints import explain
from tasks.io.codecs import STABLE_DIFFUSION_VAE, Autoencoder, CodecSpec, Precision
from tasks.io.errors import ConfigurationError
from tasks.io.extractors import Network
from tasks.io.images import Format, Limits
from tasks.io.options import Section
from tasks.io.perceptual import LpipsNet
from tasks.io.restorers import NonLocalMeans, RestorerSpec, SpandrelCheckpoint

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Corpus(Section):
    """A folder of images, nested as it likes; keys are paths without extension."""

    path: str
    """Folder; a relative one counts from the configuration file."""
    name: Name | None = None
    """Name of the data set in the workspace; the corpus's role by default."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Use only the first so many images, in the order of their keys."""
    resize: Annotated[int, Field(ge=8)] | None = None
    """Bring the shorter side to this many pixels first (Lanczos)."""
    crop: Annotated[int, Field(ge=8)] | None = None
    """Then keep the central square of this many pixels; a smaller image is refused."""


class Corpora(Section):
    """Which images are what; keys tie the corpora together."""

    restored: Corpus | None = None
    """What is to be enhanced; left out where ``degrade`` and ``restore`` make it."""
    natural: Corpus | None = None
    """What images should look like; the reference by default."""
    reference: Corpus | None = None
    """Ground truth of the restored images, for metrics."""


class Patches(Section):
    """Which latent patches are transported together."""

    size: Annotated[int, Field(ge=1, le=15)] = 3
    """Side in latent pixels; the paper uses 3 for Stable Diffusion's codec."""
    fold: Fold = "uniform"
    """Weights of overlapping answers: uniform, or gaussian (centre counts more)."""


class Fit(Section):
    """How the transport operator is fitted."""

    images: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """At most so many images of each side, chosen by a seeded hash of their keys; the
    paper shows that 10 can do."""
    pairing: Literal["auto", "paired", "unpaired"] = "auto"
    """paired: both sides from the same keys. auto: paired where all natural keys, or at
    least ten, have a restored version."""
    ridge: Annotated[float, Field(ge=0, le=1)] = DEFAULT_RIDGE
    """Share of the mean variance added to every direction."""
    seed: int = 0
    """Chooses the images."""


class Enhance(Section):
    """What is made of every restored image."""

    alphas: Annotated[tuple[FiniteFloat, ...], Field(min_length=1)] = (0.0, 0.25, 0.5, 0.75)
    """One data set for each; 0 is the full transport, 1 the image as it came."""
    decoding: Decoding = "residual"
    """residual keeps the codec's error out; direct is the paper's."""
    interpolation: Interpolation = "image"
    """Where alpha acts; latent decodes once per alpha."""
    format: Format = "webp"
    """webp and png are lossless, jpeg has quality 95."""
    seed: int = 0
    """Noise of a stochastic operator, together with each image's key; else no effect."""

    @field_validator("alphas")
    @classmethod
    def _alphas_name_folders(cls, alphas: tuple[float, ...]) -> tuple[float, ...]:
        rounded = tuple(round(alpha, 2) + 0.0 for alpha in alphas)  # -0.0 + 0.0 is 0.0
        if rounded != alphas or len(set(rounded)) < len(alphas):
            raise ValueError(
                f"alphas name folders by two decimals and must differ in them, got {alphas}"
            )
        return rounded


class Curve(Section):
    """The alphas of the perception-distortion curve; no images are written for them."""

    start: FiniteFloat = -1.0
    """First alpha."""
    stop: FiniteFloat = 2.0
    """Last alpha; [0, 1] is the range of the theory."""
    step: Annotated[FiniteFloat, Field(ge=0.01)] = 0.1
    """From one alpha to the next."""
    networks: bool = False
    """Also LPIPS and features at each of these alphas, which costs one pass of both networks
    for each. Mean squared error and SSIM follow in closed form."""

    @property
    def alphas(self) -> tuple[float, ...]:
        """The grid, on two decimals."""
        steps = math.floor((self.stop - self.start) / self.step + 1e-6)
        return tuple(round(self.start + i * self.step, 2) + 0.0 for i in range(steps + 1))

    @model_validator(mode="after")
    def _the_grid_is_one(self) -> "Curve":
        numbers = (self.start, self.stop, self.step)
        short = 0 <= self.stop - self.start <= 1000 * self.step * (1 + 1e-9)
        if not short or any(abs(number - round(number, 2)) > 1e-9 for number in numbers):
            raise ValueError(
                "curve must go up from start to stop in at most 1000 steps, all of them with two "
                f"decimals at most, got {self.start:g} to {self.stop:g} by {self.step:g}"
            )
        return self


class Evaluate(Section):
    """What is measured; distortions and LPIPS need ``reference``."""

    lpips: LpipsNet | None = "alex"
    """Network of LPIPS: alex, vgg, squeeze, or null for none; where its weights cannot be had,
    the report shows the gap."""
    features: Network | None = "inception-v3-compat"
    """Network of FID, KID, Inception Score, precision and recall: one of torch-fidelity's,
    squeezenet (small, reported as FD-squeezenet), or null for none."""
    against: Literal["reference", "natural"] | None = None
    """Whose features they are compared with; the reference's where there is one."""
    sample: Annotated[int, Field(ge=100, le=50_000)] = 5000
    """KID, precision and recall use the features of at most so many images, chosen by a hash of
    their keys."""
    controls: bool = True
    """Also score x*, D(E(x)) and D(E(x*)); costs another pass of the codec."""
    curve: Curve | None = Curve()
    """The perception-distortion curve, or null for none; has no effect without ``reference``, or
    where ``interpolation`` is latent, which needs a decode for each alpha."""


class Shards(Section):
    """How corpora are cut, and what is refused."""

    images: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Images in a shard; one task does one shard, so make it minutes of work."""
    max_pixels: Annotated[int, Field(ge=64, le=178_956_970)] = 1 << 26
    """Refuse images with more pixels; Pillow opens none with more than the highest value."""
    max_bytes: Annotated[int, Field(ge=64)] = 1 << 28
    """Refuse files with more bytes."""
    max_bad_fraction: Annotated[float, Field(ge=0, le=1)] = 0.05
    """The run fails when a larger share of a corpus is refused."""

    def limits(self) -> Limits:
        """What one image may ask of this machine."""
        return Limits(max_pixels=self.max_pixels, max_bytes=self.max_bytes)


class Compute(Section):
    """Where the work runs; has no effect on the results beyond rounding."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    """cpu, cuda, cuda:1, or auto (cuda where there is one)."""
    precision: Precision = "float32"
    """Of the network; statistics are float64 always."""
    batch: Annotated[int, Field(ge=1, le=1024)] = 8
    """Images of equal size that run together."""
    shards_at_once: Annotated[int, Field(ge=1, le=256)] | None = None
    """Tasks side by side: by default one per core where files are copied, and one
    where the network is the bottleneck."""


class Config(Section):
    """One data set to enhance, from its images to its report."""

    name: Name
    """Name of the run; also the enhanced data set's unless ``restored.name`` is given."""
    workspace: str
    """Folder for everything that is made; a relative one counts from this file."""
    weights: str | None = None
    """Folder or bucket that ``dotpipe weights pull`` filled; looked at first for every network;
    a relative one counts from this file."""
    corpora: Corpora
    degrade: tuple[Annotated[Degradation, Field(discriminator="kind")], ...] = ()
    """Makes degraded images from the reference, seeded by key."""
    restore: RestorerSpec | None = None
    """Makes restored images from the degraded ones."""
    codec: CodecSpec = STABLE_DIFFUSION_VAE
    patches: Patches = Patches()
    fit: Fit = Fit()
    enhance: Enhance = Enhance()
    evaluate: Evaluate = Evaluate()
    shards: Shards = Shards()
    compute: Compute = Compute()

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
        """The data set of ground truth, if there is one."""
        corpus = self.corpora.reference
        return None if corpus is None else corpus.name or "reference"

    @property
    def natural_name(self) -> str:
        """The data set that the transport aims at."""
        if (corpus := self.corpora.natural) is not None:
            return corpus.name or "natural"
        return self.reference_name or ""

    @property
    def restored_name(self) -> str:
        """The data set to enhance, whose name the results bear."""
        corpus = self.corpora.restored
        return (corpus.name if corpus else None) or self.name

    @property
    def against_name(self) -> str:
        """The data set whose features the enhanced images' are compared with."""
        wanted = self.evaluate.against or ("reference" if self.reference_name else "natural")
        return (self.reference_name or "") if wanted == "reference" else self.natural_name

    @property
    def curve_alphas(self) -> tuple[float, ...]:
        """The alphas of the curve; none where it cannot be had in closed form."""
        possible = self.reference_name is not None and self.enhance.interpolation == "image"
        return self.evaluate.curve.alphas if self.evaluate.curve and possible else ()

    @property
    def pairing(self) -> Literal["auto", "paired", "unpaired"]:
        """How images are chosen for the fit; where restored images are made, so are pairs."""
        if self.restore is not None and self.fit.pairing == "auto":
            return "paired"
        return self.fit.pairing

    @property
    def source_name(self) -> str:
        """The data set of restored images that the operator is fitted on.

        Where restored images are made and natural ones are others, those that the fit
        will choose are degraded and restored too, so that both sides come from the same.
        """
        makes_pairs = self.restore is not None and self.pairing == "paired"
        if makes_pairs and self.natural_name != self.reference_name:
            return f"{self.name}.source"
        return self.restored_name

    def given_datasets(self) -> dict[str, Corpus]:
        """The data sets that are sharded from folders, by name."""
        corpora = self.corpora
        given = {
            self.reference_name: corpora.reference,
            self.natural_name: corpora.natural or corpora.reference,
            self.restored_name: corpora.restored,
        }
        return {name: corpus for name, corpus in given.items() if name and corpus}

    def datasets(self) -> list[str]:
        """All data sets of the workspace that belong to this configuration."""
        return list(dict.fromkeys([*self.given_datasets(), *self.made_datasets()]))

    def made_datasets(self) -> dict[str, str]:
        """The data sets that are made by degrading and restoring, and from which one."""
        if self.restore is None or self.reference_name is None:
            return {}
        return {
            self.source_name: self.natural_name,
            self.restored_name: self.reference_name,
        }

    def anchored(self, folder: Path) -> "Config":
        """The same with every relative path counted from a folder."""
        tree = self.model_dump()
        tree["workspace"] = _anchor(tree["workspace"], folder)
        if self.weights is not None:
            tree["weights"] = _anchor(self.weights, folder)
        for corpus in filter(None, tree["corpora"].values()):
            corpus["path"] = _anchor(corpus["path"], folder)
        if isinstance(self.restore, SpandrelCheckpoint):
            tree["restore"]["checkpoint"] = _anchor(self.restore.checkpoint, folder)
        if isinstance(self.codec, Autoencoder) and self.codec.revision is None:
            tree["codec"]["weights"] = _anchor(self.codec.weights, folder)
        return Config.model_validate(tree)


def load_config(path: Path) -> Config:
    """The configuration in a YAML file, its paths made absolute.

    Raises:
        ConfigurationError: the file is not there, is no YAML, or breaks a rule.
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
        return Config.model_validate({"name": path.stem, **tree}).anchored(path.parent.resolve())
    except ValidationError as error:
        raise ConfigurationError(explain(path, error, Config.model_json_schema())) from error


def _anchor(location: str, folder: Path) -> str:
    """A location that does not depend on the current folder."""
    if "://" in location:
        return location
    return str((folder / Path(location).expanduser()).resolve())
