"""Whether an operator can be fitted at all, known before images are restored or encoded."""

import heapq

from tasks.config import Run
from tasks.config.patches import too_few
from tasks.fit.latent_size import FittedPatches, patches_of_fit
from tasks.io.errors import CorpusError


def require_patches(run: Run) -> None:
    """Check that the images of both sides of the fit can have more patches than dimensions.

    The largest images are counted, as many as the fit uses: whichever it chooses have no more.
    Restored images that are still to be made are as large as those they are made from, or by a
    known factor larger. Nothing is checked where a network encodes them whose files are not on
    this machine yet.

    Raises:
        CorpusError: they cannot; the fit would refuse them at its end.
        ConfigurationError: the codec does not have the levels that are asked for.
        StepMissing: their data sets have not been sharded.
        ArtifactDamaged: an index is not there, though the ledger says so, or not whole.
    """
    config = run.config
    for patches in patches_of_fit(config):
        for dataset in config.fitted_datasets():
            if (factor := config.enlargement(dataset)) is not None:
                _require(run, dataset, patches, factor)


def _require(run: Run, dataset: str, fitted: FittedPatches, factor: int) -> None:
    """Look at shards until their images have enough patches, which nearly always is at the first.

    Raises:
        CorpusError: they have too few after the last shard.
    """
    latents, size, level = fitted
    dimensions = latents.patch_dimensions(size)
    largest, total = list[int](), 0
    for shard, accepted in run.workspace.shards(dataset).items():
        for member in run.workspace.members(dataset, shard) if accepted else ():
            patches = latents.patches_in(size, member.height * factor, member.width * factor)
            if len(largest) < run.config.fit.images:
                heapq.heappush(largest, patches)
                total += patches
            else:
                total += patches - heapq.heappushpop(largest, patches)
        if total > dimensions:
            return
    if largest:  # of a data set without any image another sentence says so
        raise CorpusError(too_few(repr(dataset), dimensions, total, len(largest), level))
