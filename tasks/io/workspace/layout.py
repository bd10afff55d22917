"""The layout of a workspace: the folders and files of one folder or bucket.

    datasets/<name>/shard-000000.tar, shard-000000.parquet, shard-000000.idx, index.parquet
    datasets/<name>/matches/<reference>/shard-000000.parquet
    datasets/<name>/tars/<tar>.parquet      where a large tar is cut, named by a digest of its path
    restorers/<name>/<recipe>/segment-000000.safetensors, segment-000000.parquet
    restorers/<name>/<recipe>/restorer.safetensors, restorer.parquet
    moments/<name>/selection-<choice>.json, in-use/<configuration>.json, stand-ins/<operator>.json
    moments/<name>/<measure>/<choice>/shard-000000.safetensors
    operators/<name>/<operator>.safetensors
    enhanced/<name>/<results>/alpha=+0.00/shard-000000.tar, .parquet, .idx
    enhanced/<name>/<results>/alpha=+0.00/images/<key>.webp   in place of tars
    metrics/<name>/<results>/<signal>/shard-000000.parquet
    features/<name>/<results>/<signal>/shard-000000.parquet, shard-000000.safetensors
    features/<name>/<results>/<signal>/<network>/shard-000000.parquet   of further networks
    features/<name>/<results>/<signal>/sums/shard-000000.safetensors   of many shards from this on
    features/<name>/<results>/compared/<data set>/<network>/sums/from-shard-000000.safetensors
    features/<name>/<network>/shard-000000.parquet
    reports/<name>/<results>/report.html, curve.png, map.png, fidelity.parquet, run.json
    reports/<name>/<results>/signals/<signal>.json
    reports/<configuration>/latest.html      leads to the newest report of a configuration
    reports/studies/<study>/study.html, table.parquet, table.md, figure.png, curves.png, study.json
    ledger/…    a record for each of them; failures/…, claims/… while there are any
    forgotten/…      digests of keys that must not come back
    votes/<name>/<results>/….parquet        what people preferred in `dotpipe view`
    logs/<configuration>/…  what the last runs had to say
    compacting.json  what is left of a compaction that was cut short
    .dotpipe         the mark of a workspace

Results bear the name of the operator that they were made with, or that and one of their own
(``enhance.name``), so that several of one operator lie side by side.

A signal is the enhanced image at some alpha (``alpha+0.00``), at an alpha of the curve
(``curve/alpha+0.10``; one table of metrics for all of them) or of the map
(``map/low_share+0.50/alpha+0.10``; one table for each share), or a control. Metrics carry
alpha and share as columns; their folders have no ``=``, because readers of Hive-style folders
would take the folder's text for a second, conflicting column.
"""

import hashlib
from collections.abc import Collection

from tasks.io.letters import compose
from tasks.io.workspace.signals import Signal

KINDS = (
    "datasets",
    "restorers",
    "moments",
    "operators",
    "enhanced",
    "metrics",
    "features",
    "reports",
)
"""Folders of the workspace that hold artifacts; nothing else is ever taken for waste."""

MARK = ".dotpipe"
"""File at the top of a workspace, by which corpora around it know that it holds no input."""

COMPACTING = "compacting.json"
"""File at the top of a workspace, while small shards are merged or after that was cut short."""

LOGS = "logs"
"""Folder of the logs of runs, a folder for each configuration below it."""

VOTES = "votes"
"""Folder of what people said of pictures. No step makes it, so nothing but `forget` removes it."""

FORGOTTEN = "forgotten"
"""Folder of what `dotpipe forget` has taken out: a file for each key, named by its digest."""


def dataset_folder(name: str) -> str:
    """Return the folder of a data set's shards and index."""
    return f"datasets/{name}"


def matches_folder(name: str, reference: str) -> str:
    """Return the folder of tables that tell where each image's ground truth lies."""
    return f"datasets/{name}/matches/{reference}"


def scan_artifact(name: str, tar: str) -> str:
    """Return the artifact, a path without ending, that says where a large tar is cut.

    Args:
        name: of the data set that is made of it.
        tar: its path in the corpus.
    """
    digest = hashlib.sha256(tar.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{dataset_folder(name)}/tars/{digest}"


def restorer_folder(name: str, recipe: str) -> str:
    """Return the folder of a trained restorer, its checkpoints and the tables of its training.

    Args:
        name: of the data set that it makes.
        recipe: names what it is trained on, and how.
    """
    return f"restorers/{name}/{recipe}"


def moments_folder(name: str, measure: str) -> str:
    """Return the folder of a data set's moments of latent patches.

    Args:
        name: of the data set.
        measure: names what they were measured with.
    """
    return f"moments/{name}/{measure}"


def operator_artifact(name: str, operator: str) -> str:
    """Return the artifact, a path without ending, of a transport operator."""
    return f"operators/{name}/{operator}"


def unfinished_operator(operator: str, level: int | None) -> str:
    """Return the name of an operator up to a level of the decoder, on the way to the whole one.

    Args:
        operator: name of the whole one.
        level: the last that has a map; None for that of latents alone.
    """
    return f"{operator}-latent" if level is None else f"{operator}-level-{level}"


SUMS = "sums"
"""Folder beside tables of features, of what they are added up to."""

OF_RESULTS = ("enhanced", "metrics", "features", "reports")
"""Folders of the workspace that hold what was made with an operator."""


def results_name(operator: str, name: str | None) -> str:
    """Return the name of the folders of what is made with an operator.

    Args:
        operator: its name, hex digits.
        name: of these results, where others of the same operator lie beside them.
    """
    return operator if name is None else f"{operator}-{name}"


def operator_of(results: str) -> str:
    """Return the name of the operator that results were made with, by their own."""
    return results.partition("-")[0]


def enhanced_folder(name: str, results: str, signal: Signal) -> str:
    """Return the folder of the enhanced data set at the signal's alpha."""
    return f"enhanced/{name}/{results}/alpha={signal.alpha:+.2f}"


def metrics_folder(name: str, results: str, signal: Signal | None = None) -> str:
    """Return the folder of the metric tables of one signal, or of those of all signals."""
    return f"metrics/{name}/{results}" + (f"/{signal.folder}" if signal else "")


def features_folder(
    name: str, results: str, signal: Signal | None = None, network: str = ""
) -> str:
    """Return the folder of one signal's features and moments of latent patches, or of all.

    Args:
        name: of the data set.
        results: their name, see ``results_name``.
        signal: whose features they are; None for all.
        network: that the features are by; empty for the first, which the moments lie beside.
    """
    below = [part for part in (signal and signal.folder, network) if part]
    return "/".join(["features", name, results, *below])


def sums_folder(features: str) -> str:
    """Return the folder of what the features in a folder are added up to, many shards a file."""
    return f"{features}/{SUMS}"


def compared_folder(name: str, results: str, dataset: str, network: str) -> str:
    """Return the folder of what the features that results are compared with are added up to.

    Images of the fit are apart in them, and so they are of these results.

    Args:
        name: of the data set whose results they are.
        results: their name.
        dataset: that they are compared with.
        network: name of the folder of its features.
    """
    return sums_folder(f"features/{name}/{results}/compared/{dataset}/{network}")


def dataset_features_folder(name: str, network: str) -> str:
    """Return the folder of the features of a data set's own images, by their network."""
    return f"features/{name}/{network}"


def results_folders(name: str, results: str) -> tuple[str, ...]:
    """Return the folders of all that results consist of, tables and reports too."""
    return tuple(f"{kind}/{name}/{results}" for kind in OF_RESULTS)


def signals_folder(name: str, results: str) -> str:
    """Return the folder of files that hold each signal's rows of the fidelity table."""
    return f"{reports_folder(name, results)}/signals"


def reports_folder(name: str, results: str) -> str:
    """Return the folder of the report and its tables."""
    return f"reports/{name}/{results}"


STUDIES = "reports/studies"
"""Folder of the results of studies, which are made anew from those of their points, so that no
record tells of them and no clean-up removes them."""


def study_folder(study: str) -> str:
    """Return the folder of a study's table, figure and page."""
    return f"{STUDIES}/{study}"


def votes_folder(name: str, results: str) -> str:
    """Return the folder of the table of votes on what was made with an operator."""
    return f"{VOTES}/{name}/{results}"


def latest_artifact(configuration: str) -> str:
    """Return the artifact that is the page which leads to a configuration's newest report."""
    return f"reports/{configuration}/latest"


def key_digest(key: str) -> str:
    """Return the digest of a forgotten key: it is remembered without saying what it was."""
    return hashlib.sha256(f"forgotten\0{key}".encode("utf-8", "surrogatepass")).hexdigest()


def is_forgotten(key: str, forgotten: Collection[str]) -> bool:
    """Whether a key, in the form in which it came or with composed letters, is a forgotten one.

    Args:
        key: of an image that is offered.
        forgotten: digests of keys that must not come back.
    """
    return bool(forgotten) and not {key_digest(key), key_digest(compose(key))}.isdisjoint(forgotten)
