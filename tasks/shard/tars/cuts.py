"""Which tars of a corpus are cut, and into which parts, as their scans have found them.

A configuration and what is made already go in. What was made of a tar stays while the tar does: one
that is a shard already is not cut, and one that was cut is not made one.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from tasks.config import Run
from tasks.config.corpora import Corpus
from tasks.config.places import apart_from
from tasks.io.errors import StepMissing
from tasks.io.ledger import Survey
from tasks.io.shards.cuts.parts import Part, read_parts
from tasks.io.shards.cuts.scan import PartSize
from tasks.io.workspace import dataset_folder, scan_artifact
from tasks.jobs import Recipe, Target
from tasks.shard.corpus import list_tars, source_of, without_apart
from tasks.shard.dataset import known_catalogue
from tasks.shard.image_files import SourceFile
from tasks.shard.inputs import own_inputs, shared_inputs


class ToScan(NamedTuple):
    """The scan of a tar that is to be made."""

    target: Target
    size: PartSize
    """Of parts that the tar was not cut into before."""


class Cuts:
    """The tars of a corpus that are cut, or are to be.

    Args:
        run: the configuration and its workspace.
        corpus: of tars.
        dataset: name of the data set that they make.
        survey: of the records of its folder; None to ask for it.
    """

    def __init__(
        self, run: Run, corpus: Corpus, dataset: str, survey: Survey | None = None
    ) -> None:
        self._run, self._corpus, self._dataset = run, corpus, dataset
        folder = dataset_folder(dataset)
        self._survey = run.workspace.ledger.survey(folder) if survey is None else survey
        self._recipe = Recipe("scan", _inputs(run, corpus))

    def parts_of(self, tar: SourceFile) -> Sequence[Part] | None:
        """Return the parts of a tar; None if it is not cut.

        Raises:
            StepMissing: it has not been scanned.
        """
        artifact = self.artifact(tar)
        if self._survey.digest(artifact, self._recipe.mark(tar=repr(tar))) is not None:
            return read_parts(self._run.workspace.store, f"{artifact}.parquet")
        if self._limit_over(tar) is not None:
            raise StepMissing(
                f"{tar.path} must be scanned before it is cut, but is not; run `dotpipe shard "
                "CONFIG` first"
            )
        return None

    def scans(self) -> Iterator[tuple[SourceFile, ToScan | None]]:
        """Yield every tar that is cut, or is to be, with its scan unless that is done.

        Raises:
            CorpusError: a tar is not there.
        """
        apart = apart_from(self._corpus, self._run.config.workspace, self._run.config.corpora)
        without = without_apart(self._corpus, apart, is_said=False)  # by the sharding itself
        for tar in list_tars(self._corpus, without):
            target = self._recipe.aim(self._survey, self.artifact(tar), tar=repr(tar))
            if target is None:
                yield tar, None
            elif (above := self._limit_over(tar)) is not None:
                yield tar, ToScan(target, PartSize(self._run.config.shards.images, above))

    def artifact(self, tar: SourceFile) -> str:
        """Return the name of a tar's scan."""
        return scan_artifact(self._dataset, tar.path)

    def _limit_over(self, tar: SourceFile) -> int | None:
        """Return the limit above which a tar is large; None if it is not, or a finished shard."""
        above = self._run.config.shards.cut_tars_above
        if above is None or tar.size <= above:
            return None
        shard = self._whole.get(tar.path)
        if shard is None:
            return above
        known = self._run.workspace.forgotten()
        recipe = Recipe("shard", shared_inputs(self._run.config, self._corpus))
        mark = recipe.mark(**own_inputs((tar,), self._corpus, known))
        artifact = f"{dataset_folder(self._dataset)}/{shard}"
        return above if self._survey.digest(artifact, mark) is None else None

    @cached_property
    def _whole(self) -> dict[str | None, str]:
        """The shards of the data set by the tars that they were made from."""
        catalogue = known_catalogue(self._dataset, self._survey, self._run.workspace)
        return {} if catalogue is None else {entry.tar: entry.shard for entry in catalogue.shards}


def _inputs(run: Run, corpus: Corpus) -> dict[str, object]:
    """Return what decides how a tar is read into samples, but not how large its parts are.

    Like an image in its shard, a sample stays in its part while the tar does.
    """
    changes = [corpus.strip, corpus.match and [corpus.match.from_, corpus.match.to]]
    return {
        "path": source_of(corpus).url,
        "keys": changes,
        "beside": corpus.side_kinds,
        "limits": [run.config.shards.max_bytes],
    }
