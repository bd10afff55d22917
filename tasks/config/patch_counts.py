"""How many latent patches images have, as far as it is known before a codec's network is loaded."""

from tasks.io.networks.codecs import CodecSpec, Pixel


def patch_dimensions(codec: CodecSpec, size: int) -> int | None:
    """The dimensions of a patch; None for a network, whose channels its weights say.

    Args:
        codec: what encodes the images.
        size: height and width of a patch in latent pixels.
    """
    return 3 * codec.factor**2 * size**2 if isinstance(codec, Pixel) else None


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
