"""Pictures for the report: the same few images as they came, enhanced, and in truth."""

import tarfile
from collections.abc import Iterable, Mapping
from typing import Any

from tasks.config import Config
from tasks.io.errors import ImageRefused
from tasks.io.images import Limits, Pixels, decode, extension_of
from tasks.io.pages import thumbnail
from tasks.io.shards import Member, member_name, read_members
from tasks.io.workspace import Signal, Workspace, enhanced_folder
from tasks.match import read_matches

PICTURES = 6


def gallery(config: Config, operator: str, workspace: Workspace) -> list[dict[str, Any]]:
    """A strip for each of a few images, spread over the first shard."""
    dataset, reference = config.restored_name, config.reference_name
    shard = next(iter(workspace.shards(dataset)))
    members = workspace.members(dataset, shard)
    chosen = members[:: max(1, len(members) // PICTURES)][:PICTURES]
    keys = [member.key for member in chosen]
    truths = read_matches(workspace, dataset, reference, shard) if reference else {}
    columns = {"input x*": _members(chosen, config, workspace)}
    for alpha in config.enhance.alphas:
        signal = Signal("enhanced", alpha)
        tar = f"{enhanced_folder(dataset, operator, signal)}/{shard}.tar"
        columns[signal.label] = _enhanced(tar, keys, config, workspace)
    matched = [truths[key] for key in keys if key in truths]
    columns["reference"] = _members(matched, config, workspace)
    return [{"key": key, "pictures": _strip(key, columns)} for key in keys]


def _strip(key: str, columns: Mapping[str, Mapping[str, Pixels]]) -> list[dict[str, str]]:
    return [
        {"name": name, "address": thumbnail(pictures[key])}
        for name, pictures in columns.items()
        if key in pictures
    ]


def _members(members: Iterable[Member], config: Config, workspace: Workspace) -> dict[str, Pixels]:
    data = read_members(workspace.store, list(members))
    return _decoded(((member.key, content) for member, content in data), config.shards.limits())


def _enhanced(tar: str, keys: list[str], config: Config, workspace: Workspace) -> dict[str, Pixels]:
    """The pictures with these keys in an enhanced shard."""
    extension = extension_of(config.enhance.format)
    names = {member_name(key, extension): key for key in keys}
    with workspace.store.open(tar) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
        found = (
            (names[info.name], content.read())
            for info in archive
            if info.name in names and (content := archive.extractfile(info)) is not None
        )
        return _decoded(found, config.shards.limits())


def _decoded(pictures: Iterable[tuple[str, bytes]], limits: Limits) -> dict[str, Pixels]:
    """Pictures by key; one that cannot be decoded has its row in the tables already."""
    decoded = {}
    for key, data in pictures:
        try:
            decoded[key] = decode(data, limits)
        except ImageRefused:
            continue
    return decoded
