"""The features of the images that all signals are compared with."""

from functools import lru_cache

from pydantic import BaseModel, ConfigDict

from dot_kernels.metrics import FeatureStatistics
from tasks.config import Run
from tasks.evaluate.features.published import FeatureFiles
from tasks.io.artifacts.feature_sums import SumFile, read_feature_sums
from tasks.io.artifacts.features import read_statistics
from tasks.io.networks.features.extractors import Network, extractor_identity, feature_folder
from tasks.io.workspace import Workspace, dataset_features_folder
from tasks.jobs import finished_digest


class FeatureTables(BaseModel):
    """The feature tables of a data set, and the digests of their contents.

    ``network`` is the name of their folder, and ``sums`` what they are added up to, none where
    they are read one by one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str
    network: str
    paths: tuple[str, ...]
    digests: tuple[str, ...]
    sums: tuple[SumFile, ...] = ()


class MoreTables(BaseModel):
    """The feature tables of the data sets to compare with, by a network that is not the first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: Network
    compared: tuple[FeatureTables, ...]


def feature_tables(run: Run, dataset: str, network: Network | None) -> FeatureTables:
    """The feature tables of a data set to compare with; none without a network or its weights."""
    identity = None if network is None else extractor_identity(network, run.weights)
    if identity is None:
        return FeatureTables(dataset=dataset, network="", paths=(), digests=())
    name = feature_folder(identity)
    folder = dataset_features_folder(dataset, name)
    survey = run.workspace.ledger.survey(folder)
    artifacts = [f"{folder}/{shard}" for shard in run.workspace.shards(dataset)]
    return FeatureTables(
        dataset=dataset,
        network=name,
        paths=tuple(f"{artifact}.parquet" for artifact in artifacts),
        digests=tuple(finished_digest(survey, artifact, "evaluate") for artifact in artifacts),
    )


@lru_cache(maxsize=2)
def statistics_to_compare_with(
    workspace: Workspace, tables: FeatureTables, capacity: int, left_out: frozenset[str]
) -> FeatureStatistics | None:
    """The statistics of the images to compare with, read once per process.

    The digests are a part of the key: other contents at the same paths are read again. Images
    whose keys are left out do not count.
    """
    return statistics_of(workspace, tables, capacity, left_out)


def statistics_of(
    workspace: Workspace,
    files: FeatureTables | FeatureFiles,
    capacity: int,
    left_out: frozenset[str],
) -> FeatureStatistics | None:
    """The statistics of a set of images, from the sums of their features or from the tables.

    Args:
        workspace: where they lie.
        files: that have them.
        capacity: images of the sample, as in the sums.
        left_out: keys of the images that do not count: all those of the fit, or none.
    """
    if files.sums:
        return read_feature_sums(workspace.store, files.sums, with_fitted=not left_out)
    return read_statistics(workspace.store, files.paths, capacity, left_out)
