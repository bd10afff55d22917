"""A few images of a configuration, to try codecs on: some to fit on, others to enhance."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tasks.config import Config, Run
from tasks.io.errors import ConfigurationError, CorpusError, ImageRefused
from tasks.io.images import Pixels
from tasks.io.images.decoder_pool import decode
from tasks.io.shards import Member, read_members

LEAST = 2
"""Images to fit on, and as many to enhance, at least."""


@dataclass(frozen=True, slots=True)
class TrialImages:
    """Restored images with what they are compared with; all pixels are (h, w, 3)."""

    fitted: list[Pixels]
    """Restored images that operators are fitted on."""
    natural: list[Pixels]
    """What images should look like: of the same things in the same order, where ``is_paired``."""
    held: dict[str, Pixels]
    """Restored images that are enhanced, by their keys; none is among ``fitted``."""
    truths: dict[str, Pixels]
    """Ground truth of these by key; empty without a reference."""
    is_paired: bool


def limited(config: Config, workspace: str, images: int) -> Config:
    """Return a configuration by which few images are sharded and restored, elsewhere.

    With a reference, that is what images should look like, so that the fit is on pairs.

    Args:
        config: of the user.
        workspace: folder to make them in.
        images: how many are enhanced; as many are fitted on.

    Raises:
        ConfigurationError: the images are in tars, of which none can be left out; or the restorer
            is trained, which takes hours.
    """
    if config.clean_name is not None:
        raise ConfigurationError(
            "codecs are tried with a restorer that needs no training, got residual-transport; "
            "run `dotpipe restore CONFIG`, and name some restored images as corpora.restored"
        )
    tree = config.model_dump()
    tree["workspace"] = workspace
    tree["transport"] = {"levels": "none"}  # the codecs that are tried may have others
    if tree["corpora"].get("reference"):
        tree["corpora"]["natural"] = None
    for role, corpus in tree["corpora"].items():
        if corpus is None:
            continue
        if getattr(config.corpora, role).is_tars:
            raise ConfigurationError(
                f"corpora.{role} must be a folder of images for codecs to be tried on a few, got "
                f"tars: {corpus['path']}; name a folder with some of them"
            )
        corpus["limit"] = min(corpus.get("limit") or 2 * images, 2 * images)
    return Config.model_validate(tree)


def trial_images(config: Config, images: int) -> TrialImages:
    """Return the images of a sharded and restored configuration.

    Every second one is enhanced, the others are fitted on.

    Args:
        config: from ``limited``.
        images: how many are enhanced, at most.

    Raises:
        CorpusError: there are too few.
    """
    run = Run.of(config)
    restored = _members(run, config.restored_name)
    natural = _members(run, config.natural_name)
    reference = {} if config.reference_name is None else _members(run, config.reference_name)
    keys = [key for key in restored if not reference or key in reference]
    fitted, held = keys[::2], keys[1::2][:images]
    if len(held) < LEAST:
        both = " that have a reference" if reference else ""
        raise CorpusError(
            f"there must be {2 * LEAST} restored images{both} to try codecs on, got {len(keys)}"
        )
    pairs = [key for key in fitted if key in natural]
    is_paired = len(pairs) >= LEAST
    sources = pairs if is_paired else fitted
    targets = pairs if is_paired else [key for key in natural if key not in held][:images]
    made = dict(_decoded(run, restored, [*sources, *held]))
    truths = dict(_decoded(run, reference, held if reference else []))
    return TrialImages(
        fitted=[made[key] for key in sources],
        natural=[pixels for _, pixels in _decoded(run, natural, targets)],
        held={key: made[key] for key in held},
        truths={k: p for k, p in truths.items() if p.shape == made[k].shape},
        is_paired=is_paired,
    )


def _members(run: Run, dataset: str) -> dict[str, Member]:
    """Return where the images of a data set lie, by key, in the order of keys."""
    shards = (shard for shard, count in run.workspace.shards(dataset).items() if count)
    members = [each for shard in shards for each in run.workspace.members(dataset, shard)]
    return {member.key: member for member in sorted(members, key=lambda member: member.key)}


def _decoded(
    run: Run, members: Mapping[str, Member], keys: list[str]
) -> Iterator[tuple[str, Pixels]]:
    """Yield the pixels of images by key, in this order.

    Raises:
        CorpusError: one that was accepted cannot be decoded.
    """
    limits = run.config.shards.limits()
    for member, data in read_members(run.workspace.store, [members[key] for key in keys]):
        try:
            yield member.key, decode(data, limits).pixels
        except ImageRefused as refusal:
            raise CorpusError(f"{member.key} must be an image, got one: {refusal}") from refusal
