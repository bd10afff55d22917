"""A finished run as other programs read it: its images, tables and operator."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from dot_kernels.rounds import Between
from tasks.config import Config
from tasks.direct.operator_file import OperatorFile
from tasks.fit.operators import OperatorRef
from tasks.io.workspace import operator_artifact
from tasks.library.asked import (
    alphas_of,
    fidelity_table,
    form_of,
    member_of,
    members_by_shard,
    require_finished,
    signals_of,
    version_of,
    viewed_anew,
)
from tasks.library.deep_optimal_transport import DeepOptimalTransport
from tasks.library.pictures import File, Picture, files, pictures
from tasks.view.viewed import Version, Viewed


class FinishedRun:
    """A finished run: what it has made of its images, to be read; ``open_run`` opens one.

    Images are read shard by shard, so memory does not grow with the data set, from a folder or a
    bucket alike, whether they lie in tars or as files. A run can be handed to other processes, as
    to the workers of torch's ``DataLoader``: each opens the workspace anew.
    """

    def __init__(self, viewed: Viewed) -> None:
        self._viewed, self._process = viewed, os.getpid()

    @classmethod
    def of(cls, config: Config) -> "FinishedRun":
        """Return the run of a configuration.

        Raises:
            StepMissing: not every image of the data set is enhanced and scored at every alpha,
                with the options and images of now; where metrics cannot be computed here, as their
                weights are elsewhere, their tables may be of other options.
            WeightsMissing: the codec is one from a folder, and is not on this machine.
        """
        viewed = Viewed.of(config)
        require_finished(viewed)
        return cls(viewed)

    def __reduce__(self) -> tuple[object, ...]:
        """Go to another process as what is known, without connections."""
        return _opened_anew, self._known

    def __repr__(self) -> str:
        alphas = ", ".join(f"{alpha:g}" for alpha in self.alphas)
        return f"<run {self.name!r}: {len(self)} images at alpha {alphas} in {self.workspace}>"

    def __len__(self) -> int:
        """How many images the data set has."""
        return sum(self._viewed.shards.values())

    @property
    def name(self) -> str:
        """The name of its configuration."""
        return self._viewed.run.config.name

    @property
    def workspace(self) -> str:
        """The folder or URL that everything lies in."""
        return self._viewed.workspace.url

    @property
    def alphas(self) -> tuple[float, ...]:
        """The alphas at which images were written, in their order."""
        return alphas_of(self._viewed)

    @property
    def shards(self) -> tuple[str, ...]:
        """The names of its shards, in their order."""
        return tuple(self._viewed.shards)

    def images(
        self, version: float | str, shards: Collection[str] | None = None
    ) -> Iterator[Picture]:
        """Yield images decoded, in the order of shards and of the images in each.

        While some are used, the next are read and decoded, by child processes.

        Args:
            version: an alpha of ``alphas``, ``"input"`` for the images as they came (x*), or
                ``"reference"`` for the ground truth of those that have one.
            shards: names of the only shards to read; all by default. Workers that share a data
                set take ``run.shards[number::workers]``.

        Raises:
            ConfigurationError: nothing was written at this alpha, or there is no such version or
                shard; at once.
            ShardDamaged: a file is not there, or does not hold what its index says.
        """
        viewed = self._here
        listed, form = members_by_shard(viewed, version, shards), form_of(viewed, version)
        store, limits = viewed.workspace.store, viewed.run.config.shards.limits()
        return (e for shard, some in listed for e in pictures(store, shard, some, limits, form))

    def files(self, version: float | str, shards: Collection[str] | None = None) -> Iterator[File]:
        """Yield image files as they are, with what stands beside them; nothing is decoded.

        Arguments, order and errors are those of ``images``.
        """
        viewed = self._here
        store, listed = viewed.workspace.store, members_by_shard(viewed, version, shards)
        return (each for shard, some in listed for each in files(store, shard, some))

    def image(self, key: str, version: float | str, shard: str | None = None) -> Picture:
        """Return one image decoded.

        Args:
            key: as tables have it: path in the corpus, without extension.
            version: see ``images``.
            shard: that it is in, as ``Picture.shard`` says; otherwise it is looked for.

        Raises:
            ConfigurationError: there is no such image or version.
            ShardDamaged: its file is not there, or does not hold what its index says.
        """
        viewed = self._here
        place, member = member_of(viewed, key, version, shard)
        store, limits = viewed.workspace.store, viewed.run.config.shards.limits()
        (found,) = pictures(store, place, [member], limits, form_of(viewed, version))
        return found

    def metrics(
        self, of: float | str | None = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Return the metric table: a row for every image and signal.

        The whole table is in memory; ``metrics_by_shard`` is for more than fits there.

        Args:
            of: an alpha of ``alphas``, or a signal: ``"input"``, ``"codec"`` or ``"codec_input"``;
                by default all of these. ``"curve"`` and ``"map"`` have a row for every image and
                point.
            columns: the only ones to read; all by default.

        Raises:
            ConfigurationError: there is no table of this.
            ArtifactDamaged: a table is not there, or not whole.
        """
        return pa.concat_tables(self.metrics_by_shard(of, columns), promote_options="default")

    def metrics_by_shard(
        self, of: float | str | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[pa.Table]:
        """Yield the metric table in pieces: of each signal, one for each shard.

        Arguments and errors are those of ``metrics``.
        """
        viewed = self._here
        tables = viewed.tables(version_of(viewed, self.alphas[0]))
        signals = signals_of(viewed, of)
        return (table for signal in signals for table in tables.of(signal).read(columns))

    def fidelity(self) -> pa.Table:
        """Return the fidelity table: a row for every signal, with means, errors, FID and others.

        The names of the metrics, and what a reader must know of them, are its metadata.

        Raises:
            StepMissing: the run has not been evaluated with the images and options of now.
            ArtifactDamaged: the table is not there, or not whole.
        """
        return fidelity_table(self._here.run)

    def operator(self, device: str = "auto") -> DeepOptimalTransport:
        """Return the operator with its codec, which enhances other images as the run does.

        It has the options of the configuration, but computes in float32 always.

        Args:
            device: cpu, cuda, cuda:1, or auto.

        Raises:
            WeightsMissing: the codec's weights cannot be had.
            ConfigurationError: the operator's file is not whole.
        """
        run = self._here.run
        config, enhance = run.config, run.config.enhance
        options = Between(
            decoding=enhance.decoding, fold=config.patches.fold, low_band=enhance.low_band
        )
        path = f"{operator_artifact(config.restored_name, run.operator.name)}.safetensors"
        with run.workspace.store.fetched(path) as file:
            loaded = OperatorFile.load(
                file,
                config.codec,
                weights=run.weights,
                device=device,
                tile=config.compute.tile,
                options=options,
            )
        return DeepOptimalTransport(
            replace(loaded, interpolation=enhance.interpolation), enhance.seed
        )

    @property
    def _here(self) -> Viewed:
        """What there is; a process that was forked opens the workspace for itself.

        Connections to a bucket do not work in both.
        """
        if os.getpid() != self._process:
            self._viewed, self._process = viewed_anew(*self._known), os.getpid()
        return self._viewed

    @property
    def _known(self) -> tuple[Config, OperatorRef, Mapping[str, Version], Mapping[str, int]]:
        run, viewed = self._viewed.run, self._viewed
        return run.config, run.operator, dict(viewed.versions), dict(viewed.shards)


def _opened_anew(
    config: Config,
    operator: OperatorRef,
    versions: Mapping[str, Version],
    shards: Mapping[str, int],
) -> FinishedRun:
    return FinishedRun(viewed_anew(config, operator, versions, shards))
