"""Files of weights: what they are, and where they are."""

import socket
import warnings
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor

from tasks.io.errors import WeightsMissing
from tasks.io.networks.digests import digest
from tasks.io.networks.weights_folder import take

PULL_REMEDY = (
    "run `dotpipe weights pull CONFIG DEST` on a machine with internet and set weights: DEST"
)

_PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFile:
    """A network's weights as their authors publish them."""

    name: str
    """Of the file, in torch's hub folder and in a pulled one."""
    address: str
    sha256: str
    """Digest, or its first eight digits where no more are published."""
    script: bool = False
    """A TorchScript archive, which can hold code: only the published one is opened."""

    def is_published(self, sha256: str) -> bool:
        """Whether a file of this digest is the published one."""
        return sha256.startswith(self.sha256)

    def altered(self, sha256: str) -> str:
        """What a metric's name ends with: nothing, where the weights are the published ones."""
        return "" if self.is_published(sha256) else f" (altered {sha256[:8]})"


def _torchvision(name: str) -> WeightFile:
    address = f"https://download.pytorch.org/models/{name}"
    return WeightFile(name=name, address=address, sha256=name[:-4].rpartition("-")[2])


def _inception(name: str) -> WeightFile:
    """The weights that FID is defined by, as torch-fidelity converted them."""
    address = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{name}"
    return WeightFile(name=name, address=address, sha256=name[:-4].rpartition("-")[2])


def _clip(network: str, sha256: str) -> WeightFile:
    """CLIP of Radford et al. 2021; the name in the hub folder is torch-fidelity's."""
    kind = network.removeprefix("clip-")
    kind = (
        kind.replace("vit-", "ViT-").replace("rn", "RN").replace("-b-", "-B-").replace("-l-", "-L-")
    )
    address = f"https://openaipublic.azureedge.net/clip/models/{sha256}/{kind}.pt"
    return WeightFile(name=f"{network}-{sha256}.pt", address=address, sha256=sha256, script=True)


def _dinov2(network: str, sha256: str) -> WeightFile:
    """DINOv2 of Oquab et al. 2023.

    Its authors publish no digests; these are those that refiners, a library that converts the
    same files from the same address, demands of them.
    """
    name = f"dinov2_vit{network.split('-')[2]}14"
    address = f"https://dl.fbaipublicfiles.com/dinov2/{name}/{name}_pretrain.pth"
    return WeightFile(name=f"{name}_pretrain.pth", address=address, sha256=sha256)


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

FILES: dict[str, WeightFile] = {
    "alexnet": _torchvision("alexnet-owt-7be5be79.pth"),
    "vgg16": _torchvision("vgg16-397923af.pth"),
    "squeezenet": _torchvision("squeezenet1_1-b8a52dc0.pth"),
    "inception-v3-compat": _inception("weights-inception-2015-12-05-6726825d.pth"),
    **{network: _clip(network, sha256) for network, sha256 in _CLIP.items()},
    **{network: _dinov2(network, sha256) for network, sha256 in _DINOV2.items()},
}
"""Every file that a network of the metrics needs, by the network's name."""


def pulled_name(file: WeightFile) -> str:
    """Where a pulled folder keeps the file."""
    return f"networks/{file.name}"


def find(file: WeightFile, folder: str | None = None) -> Path | None:
    """The first whole copy on disk: of the pulled folder, or in torch's hub folder.

    Weights other than the published ones count, as long as they are tensors and no code.
    """
    return _search(file, folder)[0]


def fetch(
    file: WeightFile,
    folder: str | None = None,
    *,
    need: str = "a network",
    otherwise: str = "leave it out",
) -> Path:
    """The file on disk: found, or downloaded into torch's hub folder.

    Args:
        file: what is needed.
        folder: filled by ``dotpipe weights pull``; looked at first.
        need: what needs it, to begin a sentence with.
        otherwise: what a user can do without it, to end one with.

    Raises:
        WeightsMissing: it is not on disk, or not whole, and cannot be fetched.
    """
    path, complaints = _search(file, folder)
    if path is not None:
        return path
    place = _hub_path(file)
    told = "".join(f"; {complaint}" for complaint in complaints)
    if place.is_file():
        raise WeightsMissing(
            f"{need} needs {file.name}{told}; remove the file at {place} and run again to have it "
            f"fetched, or {otherwise}"
        )
    try:
        _download(file, place)
    except (OSError, RuntimeError, HTTPException) as error:
        raise WeightsMissing(
            f"{need} needs {file.name}, which cannot be fetched; put it at {place} (TORCH_HOME "
            f"chooses the folder), or {PULL_REMEDY}, or {otherwise}{told}"
        ) from error
    return place


def _search(file: WeightFile, folder: str | None) -> tuple[Path | None, list[str]]:
    """The first whole copy on disk, and what is wrong with those that come before it."""
    complaints: list[str] = []
    if folder is not None:
        try:
            return require_whole(take(pulled_name(file), folder), file), complaints
        except WeightsMissing as error:
            complaints.append(str(error))
    try:
        place = _hub_path(file)
        return (require_whole(place, file) if place.is_file() else None), complaints
    except WeightsMissing as error:
        return None, [*complaints, str(error)]


def require_whole(path: Path, file: WeightFile) -> Path:
    """The same path, whose file must be the published one, or hold tensors and nothing else.

    Raises:
        WeightsMissing: it is neither; no code in it was run.
    """
    found = digest(path)
    if file.is_published(found):
        return path
    if file.script:
        raise WeightsMissing(
            f"{path} must have the sha256 {file.sha256}, got {found}, and is not opened, as such "
            "a file can hold code"
        )
    info = path.stat()
    if complaint := _complaint(path, info.st_size, info.st_mtime_ns):
        raise WeightsMissing(complaint)
    return path


@lru_cache(maxsize=64)
def _complaint(path: Path, _size: int, _changed: int) -> str | None:
    try:
        load_state(path)
    except WeightsMissing as error:
        return str(error)
    return None


def load_state(path: Path) -> dict[str, Tensor]:
    """Tensors by name, from a file that torch saved; no code in it is run.

    Raises:
        WeightsMissing: the file is cut short, or holds something else.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of archives, which are refused
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsMissing(
            f"{path} must hold tensors as torch saves them and no code, and be whole, got "
            f"{type(error).__name__} from torch.load"
        ) from error
    if not isinstance(found, dict) or not all(isinstance(each, Tensor) for each in found.values()):
        raise WeightsMissing(f"{path} must hold tensors by name, got {type(found).__name__}")
    return dict(found)


def _download(file: WeightFile, place: Path) -> None:
    """Fetch the file; it takes its place when it is whole and has the published digest."""
    place.parent.mkdir(parents=True, exist_ok=True)
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE_S)
    try:
        torch.hub.download_url_to_file(
            file.address, str(place), hash_prefix=file.sha256, progress=False
        )
    finally:
        socket.setdefaulttimeout(patience)


def _hub_path(file: WeightFile) -> Path:
    """Where torchvision and torch-fidelity keep such a file."""
    return Path(torch.hub.get_dir()) / "checkpoints" / file.name
