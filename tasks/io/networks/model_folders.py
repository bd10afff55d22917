"""Folders of models as diffusers writes them: where their files lie, and how they are read."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tasks.io.errors import HubAway, WeightsAway, WeightsMissing
from tasks.io.networks.digests import require_digest, require_file
from tasks.io.networks.weights import PULL_REMEDY, Weights, unfetched


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """A model's folder on this machine, or its repository on the hub."""

    place: str
    """The folder's path, or, with ``revision``, the repository."""
    revision: str | None
    """The repository's commit; None for a folder."""
    sha256: str | None
    """Digest that the file of weights must have; None accepts any."""
    files: tuple[str, ...]
    """Paths of the files in the folder; the last is that of the weights."""
    section: str
    """Of the configuration: ``codec`` or ``restore``."""
    field: str
    """The field of this section that names the place."""
    shelf: str
    """The folder of a pulled folder in which such models are kept."""
    also: str = " as diffusers saves them, or, together with a revision, a hub repository"
    """What else the error says of missing files, after their names."""

    @property
    def pulled_names(self) -> tuple[str, ...]:
        """Where a pulled folder keeps the files, in their order."""
        key = Path(self.place).name
        if self.revision is not None:
            key = f"{self.place.replace('/', '--')}@{self.revision}"
        return tuple(f"{self.shelf}/{key}/{name}" for name in self.files)

    def locate(self, weights: Weights) -> tuple[Path, ...]:
        """Return the files' paths on this machine's disk, in their order.

        A local folder is looked at first, then the pulled folder, then the hub; what is on the
        hub is fetched if it is not in the hub's cache.

        Raises:
            WeightsMissing: they are in none, or are not the ones that were named; WeightsAway, if
                they may be had later.
        """
        local = Path(self.place)
        if self.revision is None and (weights.pulled is None or local.is_dir()):
            return self._require_named(self._files_in(local))
        complaint, kind = "", WeightsMissing
        if weights.pulled is not None:
            try:
                files = tuple(weights.pulled.take(name) for name in self.pulled_names)
                return self._require_named(files)
            except WeightsMissing as error:
                complaint, kind = f"; {error}", type(error)
        if self.revision is None:
            raise kind(
                f"{local} must be the folder that {self.section}.{self.field} names, but is not "
                f"there{complaint}"
            )
        return self._require_named(self._files_in(self._of_the_hub(complaint, weights.asks_hub)))

    def _require_named(self, files: tuple[Path, ...]) -> tuple[Path, ...]:
        """Return the files, whose weights must have the digest that the configuration names."""
        require_digest(files[-1], self.sha256, f"{self.section}.sha256")
        return files

    def _files_in(self, folder: Path) -> tuple[Path, ...]:
        """Return the paths in a folder that diffusers wrote; all files must be there."""
        remedy = (
            f"{self.section}.{self.field} is a folder with {' and '.join(self.files)}{self.also}"
        )
        return tuple(require_file(folder / name, remedy) for name in self.files)

    def _of_the_hub(self, complaint: str, asks_hub: bool) -> Path:
        """Return a hub repository's snapshot on disk, fetched if it is not there yet.

        Args:
            complaint: what was wrong with other places; ends the sentence of the error.
            asks_hub: whether it may be fetched.

        Raises:
            WeightsMissing: it is not there and cannot be fetched; HubAway, if it may be later.
        """
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        try:
            return Path(
                snapshot_download(
                    self.place,
                    revision=self.revision,
                    allow_patterns=list(self.files),
                    local_files_only=not asks_hub,
                )
            )
        except (OSError, HfHubHTTPError, LocalEntryNotFoundError) as error:
            kind = unfetched(error)
            since = "" if asks_hub else ", which has just given no answer for others"
            raise (HubAway if kind is WeightsAway else kind)(
                f"the weights {self.place!r} at {self.revision} cannot be fetched from the "
                f"hub{since}; {PULL_REMEDY}, or copy {' and '.join(self.files)} into a folder, "
                f"name it as {self.section}.{self.field} and leave out "
                f"{self.section}.revision{complaint}"
            ) from error


def read_model(kind: Any, weights: Path, rule: str, named_by: str) -> Any:
    """Return the network of a folder in float32, all of whose weights come from there.

    diffusers reads the files of any network as the one that it is asked for, and draws what
    they lack at random.

    Args:
        kind: its class in diffusers.
        weights: the file of weights; config.json stands beside it.
        rule: what must hold; begins the sentence of the error.
        named_by: the field that says which network it is.

    Raises:
        WeightsMissing: the files are those of another network.
    """
    folder = weights.parent
    try:
        named = json.loads((folder / "config.json").read_text("utf-8")).get("_class_name")
        if named not in (None, kind.__name__):
            raise TypeError(f"config.json is that of an {named}; correct {named_by}")
        with silent_diffusers():
            module, found = kind.from_pretrained(
                folder,
                torch_dtype=torch.float32,  # any other would be all threads' default meanwhile
                use_safetensors=weights.suffix == ".safetensors",
                local_files_only=True,
                low_cpu_mem_usage=False,
                output_loading_info=True,
            )
    except Exception as error:
        raise WeightsMissing(f"{rule}, but cannot be read as one: {error}") from error
    if missing := sorted(found["missing_keys"]):
        raise WeightsMissing(f"{rule}, got files without {len(missing)} tensors, as {missing[0]}")
    return module


def placed(module: Any, device: str, dtype: torch.dtype = torch.float32) -> Any:
    """Return a network of diffusers on a device, with its numbers in a type.

    Channels come last: a third less time in the convolutions, on the CPU and in bfloat16 on CUDA.
    In networks of videos they stay where they are, as torch has no such order for all ranks.
    """
    has_frames = any(parameter.ndim > 4 for parameter in module.parameters())
    order = torch.preserve_format if has_frames else torch.channels_last
    with silent_diffusers():  # of precisions, which are chosen here
        return module.to(device, dtype, memory_format=order)


@contextmanager
def silent_diffusers() -> Iterator[None]:
    """Let diffusers say nothing for the block: fields of an older config.json, say, are no news."""
    from diffusers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
