"""What a run was made of: lines of words for the page, values for the JSON record."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from dot_kernels import GaussianMoments, TransportOperator
from tasks.config import Config
from tasks.config.corpora import Corpus
from tasks.io.networks.codecs import Autoencoder, CodecSpec, Pixel
from tasks.io.networks.plug_ins.codec import PlugInCodec
from tasks.io.networks.plug_ins.loading import plug_in_in_words
from tasks.report.made_with import network_facts
from tasks.report.pages import Cell, Fact, Table, as_text, counted
from tasks.report.tables.dials import alpha_in_words

_MEANINGS = {
    "branch": "deterministic (eq. 2) or stochastic (eq. 5, singular source)",
    "source_condition": "condition number of the source covariance, before the ridge",
    "source_rank": "numerical rank of the source covariance",
    "largest_gain": "by how much the map can amplify an error: its cost in robustness",
    "push_forward_error": "relative error of the mapped covariance, of its widest directions",
    "variance_reached_median": "share of the natural variance in the median direction",
    "variance_reached_least": "the same in the worst direction",
    "gelbrich_before": "squared 2-Wasserstein distance of the two Gaussians of the fit",
    "gelbrich_after": "the same after the map, of patches one by one",
    "map_standard_error": "jackknife over images, 1 = no better known than doing nothing",
    "shrunk_matrix": "share of what it changes that was taken back; the same below of the mean",
    "ridge": "share of the mean variance added to every direction",
    "source_count": "latent patches of restored images",
    "target_count": "latent patches of natural images",
    "images": "restored images the operator was fitted on",
    "statistics_moved": "from those of the operator in use; 1 = as far as its two sides are apart",
    "refit_beyond": "the operator stays while they have moved by at most this",
}


class Spectra(NamedTuple):
    """Eigenvalues of both covariances and singular values of the map, largest first."""

    source: list[float]
    target: list[float]
    gains: list[float]

    @classmethod
    def of(cls, operator: TransportOperator, moments: Mapping[str, GaussianMoments]) -> "Spectra":
        """The spectra of an operator and the moments that it was fitted on."""
        source, target = (
            torch.linalg.eigvalsh(moments[side].covariance()).flip(0).clamp(min=0).tolist()
            for side in ("source", "target")
        )
        return cls(source, target, torch.linalg.svdvals(operator.matrix).tolist())

    def in_words(self) -> str:
        """The operator's figure in words, for those who do not see it."""
        parts = zip(("source variances", "target variances", "gains of the map"), self, strict=True)
        listed = (f"{name} from {values[0]:.3g} down to {values[-1]:.3g}" for name, values in parts)
        return "Spectra on a logarithmic axis: " + ", ".join(listed) + "."


def run_facts(
    config: Config, provenance: Mapping[str, Any], facts: Mapping[str, str]
) -> list[Fact]:
    """What was run, line by line: corpora, fit, options, networks.

    Args:
        config: of the run.
        provenance: of the operator, as it was fitted.
        facts: the fidelity table's metadata.
    """
    of_images = [*_corpus_facts(config), *_fit_facts(config, provenance)]
    return [*of_images, *_option_facts(config), *network_facts(config, facts)]


def operator_facts(
    operator: TransportOperator, provenance: Mapping[str, Any]
) -> dict[str, str | int | float | None]:
    """Numbers of the operator that say how far its map can be relied on, by name."""
    known = {"images": provenance.get("images"), **dataclasses.asdict(operator.diagnostics)}
    names = ("map_standard_error", "shrunk_matrix", "shrunk_mean", "statistics_moved")
    return known | {name: provenance.get(name) for name in (*names, "refit_beyond")}


def operator_lines(known: Mapping[str, Any]) -> list[Fact]:
    """The operator's numbers as lines of the page; those that are not known are left out."""
    return [
        Fact(name.replace("_", " "), as_text(value), _MEANINGS.get(name, ""))
        for name, value in known.items()
        if value is not None
    ]


_OF_LEVELS = {
    "source_condition": "condition",
    "largest_gain": "largest gain",
    "variance_reached_median": "variance reached, median",
    "gelbrich_before": "Gelbrich before",
    "gelbrich_after": "after",
}


def decoder_table(levels: Mapping[str, Mapping[str, Any]]) -> Table:
    """The maps of activations, a line for each level of the decoder; no lines without levels.

    Args:
        levels: diagnostics of their maps, by level.
    """
    return rounds_table({f"level {level}": known for level, known in levels.items()})


def rounds_table(maps: Mapping[str, Mapping[str, Any]]) -> Table:
    """The maps of further rounds, a line for each; no lines where the method is applied once.

    Args:
        maps: diagnostics by what the map is called.
    """
    lines = [
        [Cell(name), *(Cell(as_text(known[each])) for each in _OF_LEVELS)]
        for name, known in maps.items()
    ]
    return Table(["", *_OF_LEVELS.values()] if lines else [], lines)


def codec_in_words(spec: CodecSpec, identity: Mapping[str, Any]) -> str:
    """A codec in words, with what identifies its weights.

    Args:
        spec: of the configuration.
        identity: as the operator's file has it.
    """
    if isinstance(spec, Pixel):
        return f"pixel-unshuffle by a factor of {spec.factor}; it has no weights"
    if isinstance(spec, PlugInCodec):
        return plug_in_in_words(spec, identity)
    if isinstance(spec, Autoencoder) and "revision" in identity:
        digest = f", weights with sha256 {spec.sha256}" if spec.sha256 else ""
        return f"{spec.kind} {identity['weights']} at revision {identity['revision']}{digest}"
    *_, weights = identity["sha256"]
    return f"{spec.kind} from {spec.weights or 'GitHub'}, weights with sha256 {weights}"


def _corpus_facts(config: Config) -> list[Fact]:
    corpora = config.corpora
    natural = "what images should look like; the operator aims at them"
    reference = "ground truth of the restored images"
    both = reference if corpora.natural else f"{reference}, and {natural}"
    given = (
        (f"degraded: {config.degraded_name}", corpora.degraded, "what is restored"),
        (f"natural: {config.natural_name}", corpora.natural, natural),
        (f"reference: {config.reference_name}", corpora.reference, both),
    )
    return [_restored_fact(config), *(Fact(n, _corpus_in_words(c), m) for n, c, m in given if c)]


def _restored_fact(config: Config) -> Fact:
    name, corpus = f"restored: {config.restored_name}", config.corpora.restored
    if corpus is not None or config.restore is None:
        return Fact(name, _corpus_in_words(corpus) if corpus else "", "what is enhanced")
    steps = ", then ".join(_step(each.kind, dataclasses.asdict(each)) for each in config.undone)
    restorer = _step(config.restore.kind, config.restore.making("train"))
    way = f": {steps}, then" if config.degrade else f"{steps and ', after '}{steps}:"
    made = f"made from {config.made_datasets()[config.restored_name]}{way} {restorer}"
    return Fact(name, made, "what is enhanced")


def _step(kind: str, options: Mapping[str, Any]) -> str:
    told = {name: value for name, value in options.items() if value and name != "kind"}
    words = [
        name if value is True else f"{name} {as_text(value) if isinstance(value, float) else value}"
        for name, value in told.items()
    ]
    return f"{kind} ({', '.join(words)})" if words else kind


def _corpus_in_words(corpus: Corpus) -> str:
    size = f", shorter side {corpus.resize} pixels by {corpus.filter_used}" if corpus.resize else ""
    crop = f", central {corpus.crop} × {corpus.crop} pixels" if corpus.crop else ""
    limit = f", the first {counted(corpus.limit, 'image')}" if corpus.limit else ""
    return f"{corpus.path}{size}{crop}{limit}{', in sRGB' if corpus.colour == 'srgb' else ''}"


def _fit_facts(config: Config, provenance: Mapping[str, Any]) -> list[Fact]:
    datasets = provenance.get("source_dataset"), provenance.get("target_dataset")
    images = counted(provenance.get("images") or 0, "image")
    pairing = {
        "paired": f"paired: both sides of the fit come from the same {images}",
        "unpaired": f"unpaired: the two sides come from different images, {images} restored",
    }
    weighting = {"uniform": "overlaps averaged", "gaussian": "overlaps weighted by a Gaussian"}
    patch = provenance.get("patch_size", config.patch_size)
    return [
        Fact("fit", f"from {datasets[0]} to {datasets[1]}"),
        Fact("pairing", pairing.get(str(provenance.get("pairing")), "unknown")),
        *_refit_facts(provenance),
        Fact("codec", codec_in_words(config.codec, provenance.get("codec", {}))),
        Fact("patches", f"{patch} × {patch} latent pixels, {weighting[config.patches.fold]}"),
    ]


def _refit_facts(provenance: Mapping[str, Any]) -> list[Fact]:
    """Whether the operator was kept; nothing where every change of the images means a refit."""
    if "refit_beyond" not in provenance:
        return []
    moved, limit = provenance["statistics_moved"], f"refit beyond {provenance['refit_beyond']:g}"
    if moved is None:
        return [Fact("refit", f"fitted anew, as there was no operator to keep; {limit}")]
    if provenance["kept"]:
        kept = f"kept: since it was fitted, statistics have moved {moved:.3g}"
        return [Fact("refit", f"{kept}; {limit}")]
    before = f"had moved {moved:.3g} from those of operator {provenance['compared_with']}"
    return [Fact("refit", f"fitted anew, as statistics {before}; {limit}")]


def _option_facts(config: Config) -> list[Fact]:
    options = config.enhance
    decoding = {
        "residual": "residual: the codec's own error stays out of the result",
        "direct": "direct, as in the paper: the codec's own error is in the result",
    }
    lossy = f"{options.quality} % quality, colours {options.subsampling}"
    quality = "lossless" if options.form.is_lossless else lossy
    if options.format.startswith("plug-in:"):
        quality = "lossless" if options.form.is_lossless else "as its package writes it"
    if options.format == "keep":
        quality = f"each as it came; in lossy formats {lossy}"
    interpolation = {
        "image": "between images: x̂ is linear in alpha",
        "latent": "of the operator, toward the identity; one decoding for each alpha",
    }
    return [
        Fact("alphas", ", ".join(f"{a:g}" for a in options.alphas), alpha_in_words(options)),
        Fact("decoding", decoding[options.decoding]),
        Fact("interpolation", interpolation[options.interpolation]),
        Fact("files", f"{options.format}, {quality}"),
        Fact("arithmetic", f"{config.compute.precision} on {config.compute.device}"),
    ]
