"""Files of several shards made into one: tables and tensors, in the order of keys.

Values are copied. Only sums (of class probabilities, of moments of many images) are added up, in
the order of the shards, which can move their last bits against those that one pass would give.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import pyarrow as pa

from dot_kernels import GaussianMoments
from dot_kernels.moments import merge
from tasks.compact.layout import in_order_of_keys
from tasks.enhance.features import LATENT_GROUPS, LATENT_PATCHES
from tasks.fit.measure import WHOLE, image_name
from tasks.io.artifacts.features import read_class_sums, save_class_sums
from tasks.io.artifacts.moments import digest_moments, load_moments, read_moments, save_moments
from tasks.io.artifacts.parquet import read_table, write_table, writer
from tasks.io.artifacts.tensors import load_tensors, save_tensors
from tasks.io.store import Store


def merge_rows(
    store: Store, paths: Iterable[str], path: Path, replaced: Mapping[str, str] | None = None
) -> pa.Table:
    """Write the rows of several tables with keys as one, and return it.

    Args:
        store: of the workspace.
        paths: of the tables.
        path: local file to write.
        replaced: columns of which all rows are to have one value, such as that of the shard.
    """
    table = _rows(store, paths)
    for name, value in (replaced or {}).items():
        place = table.column_names.index(name)
        table = table.set_column(place, table.field(place), [[value] * table.num_rows])
    write_table(table, path)
    return table


def merge_features(store: Store, paths: Iterable[str], path: Path) -> None:
    """Write the rows of several tables of features as one; see ``FeatureWriter``."""
    table = _rows(store, paths)
    with writer(path, table.schema, compression="none", use_dictionary=False) as one:
        one.write_table(table)


def merge_class_sums(store: Store, paths: Iterable[str], path: Path) -> None:
    """Write the sum of several files of sums of class probabilities."""
    if (sums := read_class_sums(store, paths)) is not None:
        save_class_sums(sums, path)


def merge_latent_sums(store: Store, paths: Iterable[str], path: Path) -> None:
    """Write the sum of several files of moments of latent patches, by groups of images."""
    files = [read_moments(store, each) for each in paths]
    names = LATENT_GROUPS if all(set(LATENT_GROUPS) <= each.keys() for each in files) else ()
    groups = {name: merge(each[name] for each in files) for name in names}
    whole = merge(groups.values() if groups else (each[LATENT_PATCHES] for each in files))
    save_moments({LATENT_PATCHES: whole, **groups}, path)


def merge_moments(store: Store, paths: Iterable[str], keys: Sequence[str], path: Path) -> str:
    """Write the moments of images of several shards as those of one; return their digest.

    Where they were kept image by image, they are added up image by image, as a measurement does,
    so the sum has the same bits.

    Args:
        store: of the workspace.
        paths: of the files, in the order of shards.
        keys: of the images, in order.
        path: local file to write.
    """
    parts, wholes, images = dict[str, GaussianMoments](), list[GaussianMoments](), dict[str, str]()
    for each in paths:
        with store.fetched(each) as file:
            found, facts = load_moments(file, each)
        wholes.append(found.pop(WHOLE))
        parts |= found
        images |= facts.get("images", {})
    named = {name: parts[name] for key in keys if (name := image_name(key)) in parts}
    by_image = sum(each.count for each in named.values()) == sum(each.count for each in wholes)
    zero = GaussianMoments.zero(wholes[0].dimension)
    whole = reduce(add, named.values(), zero) if by_image else merge(wholes)
    kept = {key: images[key] for key in keys if key in images}
    save_moments({WHOLE: whole, **named}, path, images=kept)
    return digest_moments({WHOLE: whole, **named})


def merge_latents(store: Store, paths: Iterable[str], path: Path) -> bool:
    """Write the latents that were kept of several shards; return whether they were of one codec."""
    tensors, images, encodings = dict[str, Any](), dict[str, str](), set[str | None]()
    for each in paths:
        with store.fetched(each) as file:
            found, facts = load_tensors(file, "latents", each)
        tensors |= found
        images |= facts["images"]
        encodings.add(facts.get("encoding"))
    if len(encodings) != 1:
        return False
    keys = sorted(tensors)
    facts = {"images": {key: images[key] for key in keys}, "encoding": encodings.pop()}
    save_tensors({key: tensors[key] for key in keys}, path, "latents", **facts)
    return True


def _rows(store: Store, paths: Iterable[str]) -> pa.Table:
    """Return the rows of several tables by their keys, those of one key as they were."""
    tables = [read_table(store, path) for path in paths]
    whole = pa.concat_tables([table.replace_schema_metadata(None) for table in tables])
    return in_order_of_keys(whole).replace_schema_metadata(tables[0].schema.metadata)
