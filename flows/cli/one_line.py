"""One line that enhances a folder into a folder, and the configuration that is written for it."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from flows.cli.bounds import bounded_metrics, either
from flows.cli.paths import usable
from flows.cli.session import validated

if TYPE_CHECKING:
    from tasks.config import Config
    from tasks.config.corpora import Corpora, Corpus
    from tasks.report.choose import Bound

DEFAULT_ALPHA = 0.25
"""The alpha that is written unless one is asked for: most of the gain, at less of its cost."""

DEFAULT_CODEC = "taesd3"
"""The codec unless another is asked for: small enough for a machine without a GPU."""

_ENDING = ".dotpipe"
"""What the name of the workspace has behind that of the folder beside which it lies."""


@dataclass(frozen=True)
class Line:
    """What one line asks for, as it was written."""

    restored: str
    natural: str | None
    reference: str | None
    out: str | None
    alpha: float | None
    choose: tuple[str, ...]
    codec: str | None
    weights: str | None
    strip: str | None

    def options(self) -> list[str]:
        """Return the names of the options that are given."""
        return [
            f"--{name}" for name, value in list(vars(self).items())[1:] if value not in (None, ())
        ]

    def require_no_options(self) -> None:
        """Check that nothing is asked for beside a configuration.

        Raises:
            ConfigurationError: an option is given.
        """
        from tasks.io.errors import ConfigurationError

        if given := self.options():
            raise ConfigurationError(
                f"{given[0]} goes with a folder of images, got the configuration "
                f"{self.restored!r} (any single file is taken for one), which says that itself; "
                "leave it out (`dotpipe run` does all steps, and `dotpipe export` writes plain "
                "files)"
            )

    def require_whole(self) -> None:
        """Check that the options make a whole line.

        Raises:
            ConfigurationError: they do not.
        """
        from tasks.io.errors import ConfigurationError

        if self.out is None or not (self.natural or self.reference):
            raise ConfigurationError(
                f"{self.restored!r} must be a YAML file, or images that come with --natural (or "
                "--reference) and --out, got "
                f"{' and '.join(self.options()) or 'no option'}; write `dotpipe enhance RESTORED "
                "--natural NATURAL --out OUT`"
            )
        if self.alpha is not None and self.choose:
            raise ConfigurationError("alpha must be given or chosen, got both --alpha and --choose")
        if self.choose and self.reference is None:
            raise ConfigurationError(
                "--choose needs --reference, the ground truth that its bounds are measured with; "
                "without it give --alpha"
            )

    def bounds(self) -> "list[Bound]":
        """Return the bounds by which alpha is chosen.

        Raises:
            ConfigurationError: one is none that is known.
        """
        from tasks.io.errors import ConfigurationError
        from tasks.report.choose import Bound

        known = {name.replace("_", "-"): metric for name, metric in bounded_metrics().items()}
        found = []
        for text in self.choose:
            name, _, number = text.partition("=")
            try:
                found.append(Bound(known[name].option, float(number)))
            except (KeyError, ValueError) as error:
                raise ConfigurationError(
                    f"--choose must be {either(known)} with a number, as min-psnr=27, got {text!r}"
                ) from error
        return found

    def destination(self) -> str:
        """Return the folder or URL to fill, absolute."""
        return _absolute(self.out or "", "--out").rstrip("/")

    def alpha_of(self, config: "Config") -> float:
        """Return the alpha to write where none is to be chosen.

        Raises:
            ConfigurationError: none is given, and the configuration has several.
        """
        from tasks.export.plan import alpha_to_export

        return alpha_to_export(config, None) if self.alpha is None else self.alpha


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

    paths = {"restored": line.restored, "natural": line.natural, "reference": line.reference}
    alpha = DEFAULT_ALPHA if line.alpha is None else line.alpha
    corpora = {role: {"path": _absolute(path, role)} for role, path in paths.items() if path}
    if line.strip is not None:
        corpora["restored"]["strip"] = line.strip
    tree = {
        "name": _name(line.destination()),
        "workspace": f"{line.destination()}{_ENDING}",
        "corpora": corpora,
        "codec": codec_named(line.codec or DEFAULT_CODEC).model_dump(exclude_none=True),
        "enhance": {"alphas": [0.0 if line.choose else alpha], "format": "png"},
    }
    return tree | ({"weights": _absolute(line.weights, "--weights")} if line.weights else {})


def _name(destination: str) -> str:
    """Return a name for the run that fills a folder, of letters that a name may have."""
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", destination.rpartition("/")[2]).lstrip("._-")[:64]
    return "enhanced" if base in ("", "natural", "reference") else base


def _absolute(path: str, field: str) -> str:
    from tasks.config.places import anchored

    return anchored(path, Path(os.curdir), field)
