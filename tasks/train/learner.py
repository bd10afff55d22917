"""A learner: both networks, the averages of the map and the state of Adam, after some steps."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from dot_kernels.residual_networks import Potential, ResidualMap, draw_weights
from tasks.io.artifacts.tensors import load_tensors, save_tensors
from tasks.io.draws import generator_of
from tasks.io.networks.residual_transport.section import Training
from tasks.train.batches import Batch

_KIND = "training checkpoint"

_MEMORY = (0.0, 0.9)
"""Adam's averages of gradients, none, as those of the other network are old by then, and of their
squares."""


class Averaging(Protocol):
    """Averages tensors over the processes that share a batch."""

    def __call__(self, tensors: Sequence[Tensor]) -> None:
        """Put the means over all processes in the place of tensors on the device."""


class Losses(NamedTuple):
    """The losses of a step, of the whole batch; None for a potential that was not its turn."""

    map: float
    potential: float | None


def alone(tensors: Sequence[Tensor]) -> None:
    """Leave tensors as they are: those of one process that has the whole batch."""


class Learner:
    """Trains a map and a potential in turns; its state is a file of tensors and a few numbers.

    What is random follows from the seed and a step's number, so no state of a generator is kept.

    Args:
        train: how.
        device: cpu, cuda or cuda:1, not auto.
        is_paired: whether the clean crops of a batch are those of its degraded ones.
        averaged: of several processes that share a batch; see ``Averaging``.
    """

    def __init__(
        self, train: Training, device: str, *, is_paired: bool, averaged: Averaging = alone
    ) -> None:
        self._train, self._device, self._averaged = train, device, averaged
        self._loss, self._is_paired = train.loss(is_paired=is_paired), is_paired
        self.map = ResidualMap(width=train.width, passes=train.passes)
        self.potential = Potential(width=train.width)
        generator = generator_of("train", train.seed, "weights")
        for network in (self.map, self.potential):
            draw_weights(network, generator)
            network.to(device).to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.map).requires_grad_(False)
        self.is_halved = False
        self._adams = {"map": _adam(self.map), "potential": _adam(self.potential)}

    @property
    def rate(self) -> float:
        """The map's rate of Adam: that of the options, or half of it once a loss was not finite."""
        return self._rate("map")

    def step(self, number: int, batch: Batch) -> Losses:
        """Do a step: one of the map and, when it is its turn, one of the potential.

        Args:
            number: of the step, from 0 on.
            batch: its crops.

        Returns:
            both losses, before the step.
        """
        degraded, clean = self._on_device(batch)
        with _frozen(self.potential):
            loss = self._loss_of_map(degraded, clean)
            of_map = self._descend("map", self.map, loss)
        self._take_average(number)
        if (number + 1) % self._train.map_steps:
            return Losses(of_map, None)
        generator = generator_of("potential", self._train.seed, str(number))
        other = self._loss.of_potential(self.map, self.potential, degraded, clean, generator)
        return Losses(of_map, self._descend("potential", self.potential, other))

    @torch.no_grad()
    def look(self, batch: Batch) -> Losses:
        """Return the loss of the map on a batch, and do no step.

        Args:
            batch: its crops.
        """
        told = self._loss_of_map(*self._on_device(batch))
        self._averaged([told])
        return Losses(told.item(), None)

    def save(self, path: Path) -> None:
        """Write the whole state to a local file; equal states give equal bytes."""
        save_tensors(dict(self._tensors()), path, _KIND, is_halved=self.is_halved)

    def load(self, path: Path, artifact: str) -> None:
        """Take over the state of a local file.

        Args:
            path: of the file.
            artifact: its path in the workspace, for errors.

        Raises:
            ArtifactDamaged: it does not hold what was written.
        """
        tensors, facts = load_tensors(path, _KIND, artifact)
        self.is_halved = bool(facts["is_halved"])
        for name, network in self._networks().items():
            network.load_state_dict(_below(tensors, f"{name}."))
        for name, adam in self._adams.items():
            for parameter, owner in self._networks()[name].named_parameters():
                known = _below(tensors, f"adam.{name}.{parameter}:")
                adam.state[owner] = {
                    each: value if each == "step" else torch.empty_like(owner).copy_(value)
                    for each, value in known.items()
                }

    def _on_device(self, batch: Batch) -> tuple[Tensor, Tensor]:
        degraded, clean = (
            crops.to(self._device, memory_format=torch.channels_last) for crops in batch
        )
        return degraded, clean

    def _loss_of_map(self, degraded: Tensor, clean: Tensor) -> Tensor:
        twins = clean if self._is_paired else None
        return self._loss.of_map(self.map, self.potential, degraded, twins)

    def _rate(self, name: str) -> float:
        given = {"map": self._train.rate, "potential": self._train.rate_of_potential}
        return given[name] * (0.5 if self.is_halved else 1.0)

    def _networks(self) -> dict[str, nn.Module]:
        return {"map": self.map, "potential": self.potential, "average": self.average}

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name, network in self._networks().items():
            yield from ((f"{name}.{each}", value) for each, value in network.state_dict().items())
        for name, adam in self._adams.items():
            for parameter, owner in self._networks()[name].named_parameters():
                for each, value in adam.state[owner].items():
                    yield f"adam.{name}.{parameter}:{each}", value

    def _descend(self, name: str, network: nn.Module, loss: Tensor) -> float:
        """Do a step of Adam; return the loss before it."""
        adam = self._adams[name]
        adam.param_groups[0]["lr"] = self._rate(name)
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        told = loss.detach().clone()
        gradients = (weights.grad for weights in network.parameters())
        self._averaged([told, *(each for each in gradients if each is not None)])
        adam.step()
        return told.item()

    @torch.no_grad()
    def _take_average(self, number: int) -> None:
        """Move the averages towards the weights; in the first steps faster than later."""
        decay = min(self._train.average, (1 + number) / (10 + number))
        pairs = zip(self.average.parameters(), self.map.parameters(), strict=True)
        for mean, weight in pairs:
            mean.lerp_(weight, 1 - decay)


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Keep gradients from the weights of a network while the block runs."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def _adam(network: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), betas=_MEMORY, foreach=False)


def _below(tensors: Mapping[str, Any], start: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin so, without that."""
    found = ((name, tensor) for name, tensor in tensors.items() if name.startswith(start))
    return {name.removeprefix(start): tensor for name, tensor in found}
