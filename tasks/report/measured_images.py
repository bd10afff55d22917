"""Sentences on which images the numbers are over: those of the fit, or others."""

from collections.abc import Iterator, Mapping

from tasks.evaluate.overlap import ENOUGH, Overlap, Share, overlap_of
from tasks.report.pages import counted

_ON_THE_FIT = "Measured on the images of the fit"


def measured_in_words(facts: Mapping[str, str]) -> list[str]:
    """What a reader must know of the images that the results are over.

    Args:
        facts: metadata of the fidelity table.

    Returns:
        the sentences; the first says where the numbers stand.
    """
    overlap = overlap_of(facts)
    if overlap is None or not overlap.known:
        return ["It is not known whether the operator was fitted on images that are measured here."]
    shares = _shares(overlap, facts)
    if any(share.fitted or share.left_out for share in shares.values()):
        found = [_in_words(names, share) for names, share in shares.items()]
    else:
        found = ["The operator was fitted on none of the measured images."]
    return found + list(_compared_in_words(overlap, facts))


def measured_on_the_fit(facts: Mapping[str, str]) -> list[str]:
    """The sentences among these that say that numbers are over images of the fit."""
    return [sentence for sentence in measured_in_words(facts) if sentence.startswith(_ON_THE_FIT)]


def gelbrich_in_words(facts: Mapping[str, str]) -> str:
    """Sentences on the distance of latent patches, which is over all images."""
    overlap = overlap_of(facts)
    shares = (overlap.scored, overlap.featured) if overlap and overlap.known else ()
    apart = bool(shares) and not any(share.fitted or share.left_out for share in shares)
    others = "the measured images are others than those of the fit, " if apart else ""
    ending = "It and the Inception Score are over all images, those of the fit included."
    left_out = any(share.left_out for share in shares)
    return (
        f"It need not be smallest at alpha 0: {others}overlapping patches are averaged, and from "
        "a few images the map is known only so well that going part of the way can come nearest."
        + (f" {ending}" if left_out else "")
    )


def _shares(overlap: Overlap, facts: Mapping[str, str]) -> dict[str, Share]:
    """The shares that numbers are over, by the names of these numbers."""
    scored = {"PSNR, SSIM and LPIPS": overlap.scored} if overlap.scored.measured else {}
    featured = {"metrics of features": overlap.featured} if "dimension" in facts else {}
    shares = scored | featured or {"numbers": overlap.featured}
    kinds = {(share.fitted > 0, share.left_out) for share in shares.values()}
    return shares if len(kinds) > 1 else {"numbers": next(iter(shares.values()))}


def _in_words(names: str, share: Share) -> str:
    if share.left_out:
        return (
            f"The {names} are over {counted(share.measured, 'image')} that the operator was not "
            f"fitted on; the {share.left_out:,} of the fit are left out."
        )
    if not share.fitted:
        return f"The {names} are over images that the operator was not fitted on."
    too_many = share.measured - share.fitted < ENOUGH < share.measured - 10
    remedy = " A smaller fit.images leaves others to measure on." if too_many else ""
    return (
        f"{_ON_THE_FIT}: the operator was fitted on {share.fitted:,} of the "
        f"{counted(share.measured, 'image')} that the {names} are over, so they are "
        f"optimistic.{remedy}"
    )


def _compared_in_words(overlap: Overlap, facts: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each data set that features are compared with which has images of the fit.

    None for the images' own references where it says the same of them as of the images.
    """
    if "dimension" not in facts:
        return
    for dataset, share in overlap.compared.items():
        own = facts.get("compared_dataset") == dataset
        own = own and facts.get("compared_with") == "own references"
        if own and bool(share.fitted) == bool(overlap.featured.fitted):
            continue
        if share.left_out:
            yield (
                f"Of the data set {dataset}, which features are compared with, the "
                f"{share.left_out:,} of the fit are left out."
            )
        elif share.fitted:
            yield (
                f"The operator was fitted on {share.fitted:,} of the "
                f"{counted(share.measured, 'image')} of {dataset} that features are compared with."
            )
