"""What a workspace holds of images and rows, wherever in its shards it lies."""

import io
import tarfile

import polars


def tars(workspace, kind):
    """The members of all tars below a folder, by the folder of each."""
    found = {}
    for path in sorted(workspace.store.names(kind)):
        if path.endswith(".tar"):
            with tarfile.open(fileobj=io.BytesIO(workspace.store.read(path))) as archive:
                members = {i.name: archive.extractfile(i).read() for i in archive}
            own = found.setdefault(path.rpartition("/")[0], {})
            assert own.keys().isdisjoint(members)
            own |= members
    return found


def tables(workspace, kind):
    """The rows of all tables below a folder, without where they lie, in the order of keys."""
    folders = {}
    for path in sorted(workspace.store.names(kind)):
        if path.endswith(".parquet"):
            table = polars.read_parquet(io.BytesIO(workspace.store.read(path)))
            table = table.drop("shard", "fingerprint", strict=False)
            folders.setdefault(path.rpartition("/")[0], []).append(table)
    return {
        folder: polars.concat(rows).sort("key", maintain_order=True)
        for folder, rows in folders.items()
    }
