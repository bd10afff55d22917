"""A workspace with any number of shards that plans cannot tell from a real one.

It has no images: the list of the shards, and a record in the ledger for each artifact,
which is all that the plan of an enhancement looks at.
"""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.config import Config
from tasks.enhance.plan import plan_enhancement
from tasks.fit.operators import FittedRun, OperatorRef
from tasks.io.catalogue import ShardEntry
from tasks.io.ledger import Record, digest_of
from tasks.io.workspace import Workspace, dataset_folder, matches_folder

OPERATOR = OperatorRef(name="0123456789abcdef", digest="0" * 32, is_stochastic=False)
IMAGES = 256
"""In each shard."""


def unfinished(folder: Path, shards: int) -> Config:
    """A configuration over so many shards, of which nothing is enhanced."""
    config = Config.model_validate(
        {
            "name": "numerous",
            "workspace": str(folder),
            "corpora": {role: {"path": "/images/" + role} for role in ("restored", "reference")},
            "codec": {"kind": "pixel", "factor": 8},
            "patches": {"size": 1},
            "evaluate": {"lpips": None, "niqe": False, "features": None},
        }
    )
    names = [f"shard-{number:06d}" for number in range(shards)]
    dataset, reference = config.restored_name, str(config.reference_name)
    _list_shards(Workspace(config.workspace), dataset_folder(dataset), names)
    for of_shards in (dataset_folder(dataset), matches_folder(dataset, reference)):
        _record(config, ((f"{of_shards}/{name}", digest_of(name)) for name in names))
    return config


def finish(config: Config) -> int:
    """Say of all that is missing that it was made; how many artifacts that is."""
    units = plan_enhancement(
        FittedRun(config, Workspace(config.workspace), OPERATOR), with_images=True
    )
    targets = [target for unit in units if unit.job for target in unit.job.targets()]
    _record(config, ((target.artifact, target.fingerprint) for target in targets))
    return len(targets)


def _list_shards(workspace: Workspace, folder: str, names: list[str]) -> None:
    rows = [
        ShardEntry(name, group, IMAGES, IMAGES, f"{name}-first", f"{name}-last", None)._asdict()
        for group, name in enumerate(names)
    ]
    with workspace.store.publish(f"{folder}/shards.parquet") as path:
        pq.write_table(pa.Table.from_pylist(rows), path)


def _record(config: Config, marks: Iterable[tuple[str, str]]) -> None:
    """Empty records of artifacts with these fingerprints."""
    root, known = Path(config.workspace), set[Path]()
    for artifact, fingerprint in marks:
        path = root / Record(artifact, fingerprint, digest_of(artifact)).path
        if path.parent not in known:
            path.parent.mkdir(parents=True, exist_ok=True)
            known.add(path.parent)
        path.touch()
