"""The configuration that is written for one line which enhances a folder into a folder."""

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from flows.cli.line import Line, absolute
from flows.cli.paths import usable
from flows.cli.session import validated

if TYPE_CHECKING:
    from tasks.config import Config
    from tasks.config.corpora import Corpora, Corpus

DEFAULT_ALPHA = 0.25
"""The alpha that is written unless one is asked for: most of the gain, at less of its cost."""

DEFAULT_FORMAT = "keep"
"""The format of the files unless another is asked for: that of each image that went in."""

DEFAULT_CODEC = "taesd3"
"""The codec unless another is asked for: small enough for a machine without a GPU."""

_ENDING = ".dotpipe"
"""What the name of the workspace has behind that of the folder beside which it lies."""


def configuration_of(line: Line) -> Path:
    """Return the configuration of a line: the one that was written for it before, or a new one.

    It is ``enhance.yaml`` in the workspace, which lies beside the folder to fill; for a bucket it
    is a file of the current folder. One that was not edited, and by which nothing was made yet, is
    written again.

    Raises:
        ConfigurationError: a place must not be used as it is asked for, or the configuration that
            is there is for other images.
        CorpusError: a folder of images is not there.
    """
    from tasks.config import load_config
    from tasks.config.places import require_apart
    from tasks.export.destination import require_outside
    from tasks.io.store import Store
    from tasks.io.workspace import MARK
    from tasks.shard.corpus import require_sources

    wanted = _wanted(line)
    require_outside(line.destination(), wanted)
    require_apart(wanted.workspace, wanted.corpora)
    workspace = Store(wanted.workspace)
    local = workspace.local()
    file = Path(f"{wanted.name}{_ENDING}.yaml") if local is None else local / "enhance.yaml"
    if file.exists() and (workspace.exists(MARK) or _is_edited(file)):
        _require_same(line, wanted, load_config(file), file)
        return file
    require_sources(wanted.given_datasets())
    with usable(file, "--out must name a folder beside which its workspace can be made"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_text(line), "utf-8")
    return file


def _wanted(line: Line) -> "Config":
    """Return the configuration of a line.

    Raises:
        ConfigurationError: a value breaks a rule.
    """
    from tasks.config import Config

    return validated(Config, _tree(line))


def _require_same(line: Line, wanted: "Config", known: "Config", file: Path) -> None:
    """Check that a line asks for the images and the codec that a configuration has.

    Raises:
        ConfigurationError: it asks for others.
    """
    from tasks.io.errors import ConfigurationError

    def place(corpus: "Corpus | None") -> str:
        return "none" if corpus is None else corpus.path

    def end(corpora: "Corpora") -> str:
        return str(corpora.restored and corpora.restored.strip)

    ours, theirs = wanted.corpora, known.corpora
    pairs = {
        "RESTORED": (place(ours.restored), place(theirs.restored)),
        "--natural": (place(ours.natural), place(theirs.natural)),
        "--reference": (place(ours.reference), place(theirs.reference)),
        "--codec": (str(wanted.codec), str(known.codec)),
        "--weights": (str(wanted.weights), str(known.weights)),
        "--strip": (end(ours), end(theirs)),
        "--format": (wanted.enhance.format, known.enhance.format),
        "--low-share": tuple(
            f"{each.enhance.share_of_low_frequencies:g}" for each in (wanted, known)
        ),
    }
    given = {"RESTORED", *line.options()}
    for option, (asked, had) in pairs.items():
        if option in given and asked != had:
            raise ConfigurationError(
                f"{option} must be as in {file}, by which {line.out} was made, got {asked} against "
                f"{had}; edit that file, or name another --out"
            )


def _text(line: Line) -> str:
    """Return the configuration of a line as YAML; its first line tells whether it is edited."""
    tree = yaml.safe_dump(_tree(line), sort_keys=False, allow_unicode=True, default_flow_style=None)
    about = "# Edit this as you like; the same line goes on with it. All options: `dotpipe init`.\n"
    return f"{_mark(about + tree)}{about}{tree}"


def _is_edited(file: Path) -> bool:
    """Whether a configuration is another than the one that was written for a line."""
    first, line_end, rest = file.read_text("utf-8").partition("\n")
    return first + line_end != _mark(rest)


def _mark(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return f"# Written by `dotpipe enhance … --out` ({digest})\n"


def _tree(line: Line) -> dict[str, Any]:
    """Return the sections of the configuration of a line."""
    from tasks.direct.known_codecs import codec_named
    from tasks.export.plan import format_of

    paths = {"restored": line.restored, "natural": line.natural, "reference": line.reference}
    alpha = DEFAULT_ALPHA if line.alpha is None else line.alpha
    corpora = {role: {"path": absolute(path, role)} for role, path in paths.items() if path}
    if line.strip is not None:
        corpora["restored"]["strip"] = line.strip
    tree = {
        "name": _name(line.destination()),
        "workspace": f"{line.destination()}{_ENDING}",
        "corpora": corpora,
        "codec": codec_named(line.codec or DEFAULT_CODEC).model_dump(exclude_none=True),
        "enhance": {
            "alphas": [0.0 if line.choose else alpha],
            "format": format_of(line.format or DEFAULT_FORMAT),
            **({} if line.low_share is None else {"low_share": line.low_share}),
        },
    }
    return tree | ({"weights": absolute(line.weights, "--weights")} if line.weights else {})


def _name(destination: str) -> str:
    """Return a name for the run that fills a folder, of letters that a name may have."""
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", destination.rpartition("/")[2]).lstrip("._-")[:64]
    return "enhanced" if base in ("", "natural", "reference") else base
