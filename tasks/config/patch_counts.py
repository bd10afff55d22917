"""How many latent patches images have, as far as it is known before a codec's network is loaded."""

from tasks.config.known_codecs import latent_channels
from tasks.io.networks.codecs import CodecSpec, Pixel

MANY_DIMENSIONS = 1024
"""Dimensions of a patch above which a user is warned: the moments of every image are then
matrices of more than 8 MB, and minutes pass before the map is there."""


def patch_dimensions(codec: CodecSpec, size: int) -> int | None:
    """The dimensions of a patch; None for a network whose weights are not in a folder here.

    Args:
        codec: what encodes the images.
        size: height and width of a patch in latent pixels.
    """
    channels = latent_channels(codec)
    return None if channels is None else channels * size**2


def too_many(codec: CodecSpec, size: int) -> str | None:
    """A sentence on patches whose map takes long; None where they are small enough.

    Args:
        codec: what encodes the images.
        size: height and width of a patch in latent pixels.
    """
    dimensions = patch_dimensions(codec, size)
    if dimensions is None or dimensions <= MANY_DIMENSIONS:
        return None
    largest = max((n for n in range(1, size) if _fits(codec, n)), default=None)
    smaller = f"patches.size: {largest}" if largest else "a smaller codec.factor, as 8"
    return (
        f"patches have {dimensions:,} dimensions, more than {MANY_DIMENSIONS:,}: the moments of "
        f"every image take {8 * dimensions**2 / 1e6:,.0f} MB, and the fit takes minutes to hours; "
        f"write {smaller}, unless you mean it"
    )


def _fits(codec: CodecSpec, size: int) -> bool:
    return (patch_dimensions(codec, size) or 0) <= MANY_DIMENSIONS


def patches_in(codec: CodecSpec, size: int, height: int, width: int) -> int:
    """How many patches an image has; all of them for a network, whose factor is not known.

    Args:
        codec: what encodes the image.
        size: height and width of a patch in latent pixels.
        height: of the image in pixels.
        width: of the image in pixels.
    """
    factor = codec.factor if isinstance(codec, Pixel) else 1
    rows, columns = height // factor - size + 1, width // factor - size + 1
    return max(0, rows) * max(0, columns)


def too_few(dataset: str, dimensions: int, patches: int, images: int) -> str:
    """The sentence that no transport can be fitted to so few patches.

    Args:
        dataset: the images in words.
        dimensions: of a patch, of which there must be more.
        patches: how many there are at most.
        images: how many images have them.
    """
    return (
        f"{dataset} must hold more patches than the {dimensions} dimensions of a patch for the "
        f"fit, got {patches} at most of {images} image(s); use more or larger images, or a smaller "
        "patches.size or codec.factor"
    )
