"""The published weights of the metrics' networks: name, address and digest of each file."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFile:
    """A file of a network's weights, as its authors publish it."""

    name: str
    """The file's name in torch's hub folder and in a pulled folder."""
    address: str
    """The URL that it is downloaded from."""
    sha256: str
    """Its digest, or the first eight hex digits where no more are published."""
    can_hold_code: bool = False
    """Whether it is an archive that can hold code, of TorchScript or NumPy: of those only the
    published one is opened."""

    @property
    def pulled_name(self) -> str:
        """Where a pulled folder keeps the file, relative to its root."""
        return f"networks/{self.name}"

    def is_published(self, sha256: str) -> bool:
        """Return whether a file with this digest is the published one."""
        return sha256.startswith(self.sha256)

    def altered_suffix(self, sha256: str) -> str:
        """Return the ending of a metric's name: empty for the digest of the published file.

        The name of a metric of any other weights ends with " (altered 0123abcd)", which is the
        beginning of their digest.
        """
        return "" if self.is_published(sha256) else f" (altered {sha256[:8]})"


def _torchvision(name: str) -> PublishedFile:
    """Return a file of torchvision, whose name ends with the beginning of its digest."""
    address = f"https://download.pytorch.org/models/{name}"
    return PublishedFile(name=name, address=address, sha256=name[:-4].rpartition("-")[2])


def _inception(name: str) -> PublishedFile:
    """Return the weights that FID is defined by, as torch-fidelity converted them."""
    address = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{name}"
    return PublishedFile(name=name, address=address, sha256=name[:-4].rpartition("-")[2])


def _clip(network: str, sha256: str) -> PublishedFile:
    """Return CLIP of Radford et al. 2021; the name in the hub folder is torch-fidelity's."""
    kind = network.removeprefix("clip-")
    kind = (
        kind.replace("vit-", "ViT-").replace("rn", "RN").replace("-b-", "-B-").replace("-l-", "-L-")
    )
    address = f"https://openaipublic.azureedge.net/clip/models/{sha256}/{kind}.pt"
    return PublishedFile(
        name=f"{network}-{sha256}.pt", address=address, sha256=sha256, can_hold_code=True
    )


def _dinov2(network: str, sha256: str) -> PublishedFile:
    """Return DINOv2 of Oquab et al. 2023.

    Its authors publish no digests. The ones here are those that refiners, a library that converts
    the same files from the same address, checks them against.
    """
    name = f"dinov2_vit{network.split('-')[2]}14"
    address = f"https://dl.fbaipublicfiles.com/dinov2/{name}/{name}_pretrain.pth"
    return PublishedFile(name=f"{name}_pretrain.pth", address=address, sha256=sha256)


_CLIP = {
    "clip-rn50": "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",
    "clip-rn101": "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599",
    "clip-rn50x4": "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd",
    "clip-rn50x16": "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa",
    "clip-rn50x64": "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c",
    "clip-vit-b-32": "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
    "clip-vit-b-16": "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
    "clip-vit-l-14": "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
    "clip-vit-l-14-336px": "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
}

_DINOV2 = {
    "dinov2-vit-s-14": "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9",
    "dinov2-vit-b-14": "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73",
    "dinov2-vit-l-14": "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
    "dinov2-vit-g-14": "baf8467e50af277596bbbafa06887c177ee899ab46033649c383577d7e9309d3",
}

_NIQE = PublishedFile(
    name="niqe_pris_params.npz",
    address="https://github.com/XPixelGroup/BasicSR/raw/v1.4.2/basicsr/metrics/niqe_pris_params.npz",
    sha256="2a7c182a68c9e7f1b2e2e5ec723279d6f65d912b6fcaf37eb2bf03d7367c4296",
    can_hold_code=True,
)
"""The pristine model of NIQE's authors, as BasicSR has it (Apache-2.0); 12 KB."""

_DISTS = PublishedFile(
    name="dists-weights-f5e65c96.pt",
    address="https://github.com/dingkeyan93/DISTS/raw/1267d8cb626c98706db3697422701c56a85ebf2e/DISTS_pytorch/weights.pt",
    sha256="f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218",
)
"""How much each channel counts in DISTS, from its authors' repository (MIT); 12 KB."""

PUBLISHED: dict[str, PublishedFile] = {
    "alexnet": _torchvision("alexnet-owt-7be5be79.pth"),
    "vgg16": _torchvision("vgg16-397923af.pth"),
    "squeezenet": _torchvision("squeezenet1_1-b8a52dc0.pth"),
    "inception-v3-compat": _inception("weights-inception-2015-12-05-6726825d.pth"),
    **{network: _clip(network, sha256) for network, sha256 in _CLIP.items()},
    **{network: _dinov2(network, sha256) for network, sha256 in _DINOV2.items()},
    "niqe": _NIQE,
    "dists": _DISTS,
}
"""Every file of weights that LPIPS, a feature network or a judge needs, by its name."""
