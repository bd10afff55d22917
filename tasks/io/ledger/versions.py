"""Versions of the numbers that results are made of, and which of them a step's result holds.

The fingerprint of a result takes the versions of just those numbers that are computed for it.
So a change in the error of FID makes fidelity be measured again, and no image be encoded again.
Numbers that a step takes from a result of an earlier step need no version here: a fingerprint
takes the digest of that result.
"""

from collections.abc import Mapping
from types import MappingProxyType

VERSIONS: Mapping[str, int] = MappingProxyType(
    {
        "pixels": 1,
        "degradation": 3,
        "training": 1,
        "codec": 2,
        "moments": 2,
        "operator": 2,
        "transport": 2,
        "distortion": 2,
        "perception": 2,
        "class sums": 2,
        "gelbrich": 2,
        "fidelity": 2,
    }
)
"""The version of each kind of numbers: raised by one when numbers of that kind change.

What counts is which numbers change, not where the changed code stands: one line can move several
kinds. The golden values in ``tests/dot_kernels/test_versions.py`` tell which ones moved.

- ``pixels``: what files decode to, and what networks see of it: depth, grey, transparency;
- ``degradation``: images after a degradation, or restored, by the same weights;
- ``training``: weights of a restorer after a step, its initial ones, and the crops of a step;
- ``codec``: latents of images and images of latents, padding included, by the same weights;
- ``moments``: count, mean and scatter of latent patches, and sums of them;
- ``operator``: the transport map and its noise, its diagnostics and its standard error;
- ``transport``: latents moved by an operator, and the enhanced images made of them;
- ``distortion``: MSE, PSNR and SSIM, of images and along the curve;
- ``perception``: LPIPS, features and logits of images, by the same weights;
- ``class sums``: sums of class probabilities, which an Inception Score is computed from;
- ``gelbrich``: the Gelbrich distance and its error, and the shares of variance that are reached;
- ``fidelity``: Fréchet and kernel distance, Inception Score, precision, recall, means, and the
  errors of all these.

A single metric has a version of its own in ``tasks.io.artifacts.metric_registry``, for a change
in how it is computed that leaves the others of its kind as they are.
"""

_LATENTS = ("pixels", "codec", "moments", "transport")

NUMBERS_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "scan": (),
        "shard": (),
        "train": ("pixels", "degradation", "training"),
        "keep": (),
        "restore": ("pixels", "degradation"),
        "index": (),
        "select": (),
        "match": (),
        "measure": ("pixels", "codec", "moments"),
        "stand in": (),
        "decide": ("moments", "operator", "gelbrich"),
        "reduce": ("moments", "operator"),
        "measure level": ("pixels", "codec", "moments", "transport"),
        "measure again": ("pixels", "codec", "moments", "transport"),
        "reduce level": ("moments", "operator"),
        "enhance": ("pixels", "codec", "transport"),
        "latents": _LATENTS,
        "score": (*_LATENTS, "distortion", "perception", "class sums"),
        "extract": ("pixels", "perception"),
        "add up": ("fidelity",),
        "fidelity": ("moments", "class sums", "gelbrich", "fidelity"),
        "summarise": (),
        "report": (),
        "latest": (),
        "block": (),
        "forget": (),
        "push": (),
    }
)
"""The kinds of numbers that are computed in each step, by the name that its fingerprint takes."""


def versions_of_step(step: str) -> dict[str, int]:
    """Return the versions of the numbers that a step computes, by kind.

    Raises:
        LookupError: the step is not in ``NUMBERS_OF``, where each must say what it computes.
    """
    return {kind: VERSIONS[kind] for kind in NUMBERS_OF[step]}
