"""What the points of a study share, and what each has of its own: by names in the workspace."""

from collections.abc import Collection, Iterable, Mapping
from itertools import product
from typing import Any

from tasks.io.errors import ConfigurationError
from tasks.io.ledger import digest_of

_DIGITS = 8
"""Hex digits that tell points, or the data sets of some of them, apart."""

_APART = ("codec", "fit", "transport", "patches.size", "reapply")
"""Options whose results lie side by side below one data set: they are part of an operator's
name."""

_BESIDE = ("enhance", "evaluate", "patches.fold")
"""Options of what is made with an operator: results of points that differ in them have names of
their own, by which they lie side by side."""

_ALPHAS = "enhance.alphas"
"""An option that no data set depends on even where all points have it alike."""

_SAME = ("evaluate.lpips", "evaluate.features")
"""Options that say by which networks metrics are, which would be others at other points."""

_ROLES = ("restored", "degraded", "natural", "reference", "training")


def short_digest(values: Mapping[str, Any]) -> str:
    """Return eight hex digits that tell values of options from others."""
    return digest_of(values)[:_DIGITS]


def require_same_networks(varied: Iterable[str]) -> None:
    """Check that metrics of all points are by the same networks, as they are compared.

    Raises:
        ConfigurationError: the grid varies by which they are.
    """
    for option, place in product(varied, _SAME):
        if _has_part(option, place):
            raise ConfigurationError(
                f"grid must leave {place} alone, as metrics of points are compared, got values of "
                f"{option}; say it in `set`, or have a study for each"
            )


def name_data_sets(
    tree: dict[str, Any], values: Mapping[str, Any], varied: Collection[str], study: str
) -> None:
    """Give data sets that depend on the point names of their own, and share all others.

    Args:
        tree: the point's sections.
        values: of options that it has in place of the base's.
        varied: those of them that other points may have otherwise.
        study: name of the study.
    """
    corpora = tree.setdefault("corpora", {})
    if not isinstance(corpora, dict):
        return  # of which the configuration will complain
    for role in _ROLES:
        places = f"corpora.{role}", "shards"
        own = {o: v for o, v in values.items() if any(_has_part(o, place) for place in places)}
        if own and isinstance(corpora.get(role), dict):
            named = corpora[role].get("name") or role
            corpora[role]["name"] = f"{named}-{short_digest(own)}"
    made = tree.get("restore") or corpora.get("restored")
    if not isinstance(made, dict):
        return  # of which the configuration will complain
    shared = {option for option in varied if _is_any(option, _BESIDE)}
    apart = {
        option: value
        for option, value in values.items()
        if option not in shared and not _is_any(option, (*_APART, _ALPHAS))
    }
    made["name"] = f"{study}-{short_digest(apart)}" if apart else study


def name_results(tree: dict[str, Any], varied: Mapping[str, Any]) -> None:
    """Give results of the point a name of their own, where others of its operator lie beside them.

    Args:
        tree: the point's sections.
        varied: values of the options that other points may have otherwise.
    """
    own = {option: value for option, value in varied.items() if _is_any(option, _BESIDE)}
    if not own:
        return
    enhance = tree.get("enhance") or {}
    if isinstance(enhance, dict):  # else the configuration will complain
        tree["enhance"] = {**enhance, "name": short_digest(own)}


def have_latents_kept(tree: dict[str, Any]) -> None:
    """Have latents of the fit kept for other points, where nothing else is said of them."""
    fit = tree.setdefault("fit", {})
    if isinstance(fit, dict):  # else the configuration will complain
        fit.setdefault("keep_latents", True)


def _has_part(option: str, place: str) -> bool:
    """Return whether an option lies at a place of the configuration, below it or above it."""
    return f"{option}.".startswith(f"{place}.") or f"{place}.".startswith(f"{option}.")


def _is_any(option: str, places: Collection[str]) -> bool:
    return any(f"{option}.".startswith(f"{place}.") for place in places)
