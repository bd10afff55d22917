"""The artifacts that one pass over a shard writes side by side and publishes together."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from dot_kernels import GaussianMoments, SeamError
from tasks.enhance.features import Features, FeatureTable, open_feature_tables, save_sums
from tasks.io.artifacts.metrics import write_scores
from tasks.io.ledger import Publication
from tasks.io.networks.features.extractors import FIRST, SeenBy
from tasks.io.shards import Accepted, Member, Refused, read_sides
from tasks.io.shards.sides import NONE, SideKind
from tasks.io.workspace import Outputs, PublishedImages, Signal, Workspace
from tasks.jobs import Outcome, Target, count_reasons, publishing
from tasks.jobs.stopwatch import Stopwatch


class Written(NamedTuple):
    """What holds the images of a metric table without loss, and what was measured beside it."""

    artifact: str
    fingerprint: str
    moments: str
    """Path of the moments of latent patches that were published with the table."""


class Output(NamedTuple):
    """An artifact that the pass makes, and the signal whose images or metrics it holds."""

    signal: Signal
    target: Target
    latents: str = ""
    """Of a metric table: fingerprint of what its moments of latent patches are made from."""
    written: Written | None = None
    """Of a metric table: where its images lie without loss; None if they do not."""


class Finished(NamedTuple):
    """One picture after scoring and encoding."""

    member: Member
    rows: dict[Signal, list[dict[str, Any]]]
    """Rows of each metric table."""
    files: Mapping[Signal, bytes]
    """The encoded image of each enhanced data set; empty where there is a ``reason``."""
    extension: str
    """Of the names of these files, without the dot; empty where there are none."""
    features: dict[Signal, SeenBy]
    reason: str | None
    """Why the picture has no images; None if it has."""


@contextmanager
def open_outputs(
    workspace: Workspace,
    enhanced: Sequence[Output],
    tables: Iterable[Output],
    features: Features,
    laid_down: Outputs,
) -> Iterator["OutputsOfShard"]:
    """Open the artifacts of a shard for writing; they are published when the block ends well.

    If the block raises, nothing becomes visible.

    Args:
        workspace: where they are published.
        enhanced: images, the same shard for each alpha.
        tables: metrics, a table for each signal or for the whole curve.
        features: what is written beside the tables.
        laid_down: how enhanced images are.
    """
    with ExitStack() as stack:
        published = _published(enhanced, workspace, stack)
        images = {
            each.signal: PublishedImages.of(
                published[each.signal], laid_down, stack, replaces=each.target.replaces
            )
            for each in enhanced
        }
        published_tables = _published(tables, workspace, stack)
        yield OutputsOfShard(
            workspace,
            images,
            published_tables,
            features,
            open_feature_tables(features, published_tables, stack),
        )


def _published(
    outputs: Iterable[Output], workspace: Workspace, stack: ExitStack
) -> dict[Signal, Publication]:
    """Return the publication of each output, which ends with the stack."""
    published = dict[Signal, Publication]()
    for output in outputs:
        publication = stack.enter_context(publishing(workspace, output.target))
        publication.facts |= {"latents": output.latents} if output.latents else {}
        published[output.signal] = publication
    return published


class OutputsOfShard:
    """Images, metric tables and features of a shard; ``open_outputs`` opens and publishes them."""

    def __init__(
        self,
        workspace: Workspace,
        enhanced: Mapping[Signal, PublishedImages],
        tables: Mapping[Signal, Publication],
        features: Features,
        feature_tables: Mapping[str, Mapping[Signal, FeatureTable]],
    ) -> None:
        self._workspace, self._enhanced, self._tables = workspace, enhanced, tables
        self._features, self._feature_tables = features, feature_tables
        self._rows: dict[Signal, list[dict[str, Any]]] = {signal: [] for signal in tables}
        self._reasons: list[str] = []
        self._images = 0

    def write(self, finished: Iterable[Finished]) -> None:
        """Append the pictures of a window in their order."""
        items = list(finished)
        members = [item.member for item in items] if self._enhanced else []
        sides = read_sides(self._workspace.store, members)
        for item in items:
            self._images += 1
            self._reasons += [item.reason] if item.reason is not None else []
            for signal, scores in item.rows.items():
                self._rows[signal] += scores
            for signal, images in self._enhanced.items():
                own = sides.get(item.member.key, NONE)
                images.add(_image(item, item.files.get(signal), own))
        for network, tables in self._feature_tables.items():
            for signal, table in tables.items():
                seen = ((i.member.key, i.features.get(signal, {}).get(network)) for i in items)
                rows = [(key, one) for key, one in seen if one is not None]
                table.add([key for key, _ in rows], [one for _, one in rows])

    def close(
        self,
        moments: Mapping[Signal, Sequence[GaussianMoments]],
        watch: Stopwatch,
        remarks: dict[str, int],
        seams: SeamError,
    ) -> Outcome:
        """Write the ends of the shards, and all tables; return what the records say was counted.

        Args:
            moments: of the latent patches of each scored signal, over the whole shard, by groups
                of images or of all together.
            watch: says where the time went.
            remarks: see ``Outcome``.
            seams: of tiles that were blended.
        """
        refused = count_reasons(self._reasons)
        outcome = Outcome(
            images=self._images, refused=refused, remarks=remarks, seams=seams.numbers
        )
        for images in self._enhanced.values():
            images.close(self._workspace)
        for signal, table in self._tables.items():
            path = table.file(f"{table.artifact}.parquet")
            features = self._features
            write_scores(self._rows[signal], path, features.networks, features.facts)
        for feature_tables in self._feature_tables.values():
            for feature_table in feature_tables.values():
                feature_table.close()
        first = self._feature_tables.get(FIRST, {})
        save_sums(self._features, self._tables, first, moments)
        publications = [images.publication for images in self._enhanced.values()]
        for publication in (*publications, *self._tables.values()):
            publication.facts |= {**outcome.facts(), **watch.facts()}
        return outcome


def _image(
    item: Finished, data: bytes | None, sides: Mapping[SideKind, bytes]
) -> Accepted | Refused:
    """Return a picture as a shard takes it: its file, or why there is none.

    Args:
        item: the picture.
        data: its encoded image at the alpha of the shard; None where it is not enhanced.
        sides: what stands beside the restored image.
    """
    member = item.member
    if data is None:
        return Refused(key=member.key, source=member.key, reason=item.reason or "not enhanced")
    return Accepted(
        key=member.key,
        source=member.key,
        data=data,
        sha256=hashlib.sha256(data).hexdigest(),
        extension=item.extension,
        width=member.width,
        height=member.height,
        sides=sides,
    )
