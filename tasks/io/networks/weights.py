"""Where the weights of networks are looked for, and which files of weights may be opened."""

import socket
import warnings
from dataclasses import dataclass, replace
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor

from tasks.io.errors import HubAway, WeightsAway, WeightsMissing, can_heal
from tasks.io.networks.digests import digest
from tasks.io.networks.published_weights import PublishedFile
from tasks.io.networks.pulled_folder import PulledFolder

PULL_REMEDY = (
    "run `dotpipe weights pull CONFIG DEST` on a machine with internet and set weights: DEST"
)

_DOWNLOAD_TIMEOUT_S = 20.0
"""How long a download may wait for the next bytes."""

_LATER = (408, 425, 429)
"""HTTP statuses from 400 on by which a server says that the same request may be served later."""


@dataclass(frozen=True)
class Weights:
    """Where weights are looked for: in a pulled folder, if there is one, and on this machine.

    Configurations and jobs hold only the folder's URL, as it is a parameter of Prefect runs;
    ``Weights.of`` makes the value of it. A value reads the folder's manifest once.

    ``find`` and ``fetch`` look for published files. Codecs and restorers know themselves where
    they lie outside the pulled folder.
    """

    pulled: PulledFolder | None = None
    """What ``dotpipe weights pull`` filled; None looks only on this machine."""
    asks_hub: bool = True
    """Whether the Hub is asked for models that its cache on this machine lacks."""

    @staticmethod
    def of(folder: str | None) -> "Weights":
        """Return where to look for weights.

        Args:
            folder: URL of a pulled folder or bucket, as in ``Config.weights``; None for none.
        """
        return FROM_THIS_MACHINE if folder is None else Weights(PulledFolder(folder))

    def after(self, error: Exception) -> "Weights":
        """Return where to look for further weights after an error.

        A Hub that gave no answer is not asked again, as each time takes half a minute.
        """
        return replace(self, asks_hub=self.asks_hub and not isinstance(error, HubAway))

    def find(self, file: PublishedFile) -> Path | None:
        """Return the first whole copy, or None if there is none; downloads nothing.

        The pulled folder comes first, then torch's hub folder. Weights other than the published
        ones count as whole if they are tensors and no code.

        Raises:
            WeightsAway: it is not known whether there is one, as the pulled folder gives no answer.
        """
        path, complaints = self._search(file)
        if path is None and (away := _first_away(complaints)) is not None:
            raise away
        return path

    def fetch(
        self,
        file: PublishedFile,
        *,
        need: str = "a network",
        otherwise: str = "leave it out",
    ) -> Path:
        """Return the first whole copy, downloaded into torch's hub folder if there is none.

        Args:
            file: what is needed.
            need: what needs it; begins the sentence of the error.
            otherwise: what a user can do without it; ends the sentence.

        Raises:
            WeightsMissing: there is no whole copy, and none can be downloaded; WeightsAway, if
                that may be otherwise later.
        """
        path, complaints = self._search(file)
        if path is not None:
            return path
        place = _hub_path(file)
        told = "".join(f"; {complaint}" for complaint in complaints)
        if place.is_file():
            raise WeightsMissing(
                f"{need} needs {file.name}{told}; remove the file at {place} and run again to "
                f"have it fetched, or {otherwise}"
            )
        try:
            _download(file, place)
        except (OSError, RuntimeError, HTTPException) as error:
            away = _first_away(complaints) is not None
            raise (WeightsAway if away else unfetched(error))(
                f"{need} needs {file.name}, which cannot be fetched; put it at {place} "
                f"(TORCH_HOME chooses the folder), or {PULL_REMEDY}, or {otherwise}{told}"
            ) from error
        return place

    def _search(self, file: PublishedFile) -> tuple[Path | None, list[WeightsMissing]]:
        """Return the first whole copy, and what is wrong with those that come before it."""
        complaints: list[WeightsMissing] = []
        if self.pulled is not None:
            try:
                return _require_whole(self.pulled.take(file.pulled_name), file), complaints
            except WeightsMissing as error:
                complaints.append(error)
        try:
            place = _hub_path(file)
            return (_require_whole(place, file) if place.is_file() else None), complaints
        except WeightsMissing as error:
            return None, [*complaints, error]


def unfetched(error: Exception) -> type[WeightsMissing]:
    """Return which error a failed download of weights is: WeightsAway if it may succeed later.

    It may not where the server has understood the request and says that there is no such file,
    or not for this user.

    Args:
        error: of torch's or the hub's download.
    """
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None) or getattr(error, "code", None)
    if isinstance(status, int) and 400 <= status < 500 and status not in _LATER:
        return WeightsMissing
    return WeightsAway if can_heal(error) else WeightsMissing


def _first_away(complaints: list[WeightsMissing]) -> WeightsAway | None:
    return next((each for each in complaints if isinstance(each, WeightsAway)), None)


FROM_THIS_MACHINE = Weights()
"""No pulled folder: weights are looked for in torch's hub folder, and where paths lead to."""


def _require_whole(path: Path, file: PublishedFile) -> Path:
    """Return the path, whose file must be the published one, or hold tensors and nothing else.

    Raises:
        WeightsMissing: the file is neither. No code in it was run.
    """
    found = digest(path)
    if file.is_published(found):
        return path
    if file.can_hold_code:
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
    """Return why a file cannot be opened, or None; opened once while it does not change."""
    try:
        load_state(path)
    except WeightsMissing as error:
        return str(error)
    return None


def load_state(path: Path) -> dict[str, Tensor]:
    """Return tensors by name from a file that torch saved; no code in it is run.

    Raises:
        WeightsMissing: the file is cut short, or holds something else.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript archives warn, and are refused
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsMissing(
            f"{path} must hold tensors as torch saves them and no code, and be whole, got "
            f"{type(error).__name__} from torch.load"
        ) from error
    if not isinstance(found, dict) or not all(isinstance(each, Tensor) for each in found.values()):
        raise WeightsMissing(f"{path} must hold tensors by name, got {type(found).__name__}")
    return dict(found)


def _download(file: PublishedFile, place: Path) -> None:
    """Download the file; it appears at its place when it is whole and its digest is right."""
    place.parent.mkdir(parents=True, exist_ok=True)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT_S)
    try:
        torch.hub.download_url_to_file(
            file.address, str(place), hash_prefix=file.sha256, progress=False
        )
    finally:
        socket.setdefaulttimeout(before)


def hub_folder() -> Path:
    """Return the folder in which torchvision and torch-fidelity keep weights on this machine."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def _hub_path(file: PublishedFile) -> Path:
    return hub_folder() / file.name
