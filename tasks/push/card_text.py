"""What a card says of a run, in Markdown, from the record that the report leaves: run.json.

Nothing of it says where something lay: paths and buckets are nobody else's business.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tasks.report.measured_images import measured_in_words
from tasks.report.tables.changes import changes_legend, changes_table
from tasks.report.tables.names import results_legend
from tasks.report.tables.results import results_table

Record = Mapping[str, Any]

_PAPERS = """\
The method is that of T. Adrai, G. Ohayon, M. Elad, T. Michaeli: Deep Optimal Transport: A \
Practical Algorithm for Photo-realistic Image Restoration, NeurIPS 2023; what alpha trades is the \
subject of D. Freirich, T. Michaeli, R. Meir: A Theory of the Distortion-Perception Tradeoff in \
Wasserstein Space, NeurIPS 2021. Cite them where you use these images."""

_WHAT = {
    "metrics": "a row for each image and signal: `key`, `signal`, `alpha`, and its metrics",
    "curve": "the same along the curve of alpha, without images",
    "results": "the numbers below, and all that are not shown here",
}


def described(
    record: Record,
    repository: str,
    images: Mapping[str, str],
    configs: Sequence[str],
    *,
    has_map: bool,
) -> str:
    """Return what the card says between the marks.

    Args:
        record: of the run, as the report has written it.
        repository: its name.
        images: files of images, by what they are.
        configs: names of the parts of the data set.
        has_map: whether there is a figure of two dials.
    """
    parts = [
        _what(record),
        "## What is in it",
        _contents(repository, images, configs),
        "## How it was made",
        _how(record),
        "## Numbers",
        _numbers(record),
        "![The curve of perception and distortion](report/curve.png)",
        *(["![The map of two dials](report/map.png)"] if has_map else []),
        "## Papers",
        _PAPERS,
    ]
    return "\n\n".join(parts)


def _what(record: Record) -> str:
    alphas = ", ".join(f"{alpha:g}" for alpha in record["config"]["enhance"]["alphas"])
    return (
        f"Restored images of the data set `{record['dataset']}`, enhanced by Deep Optimal "
        "Transport: overlapping patches of their latents are moved by the optimal transport map "
        "between the Gaussians of restored and of natural images. Alpha chooses between the image "
        f"as it came (1) and the full transport (0). The run has made alpha {alphas}."
    )


def _contents(repository: str, images: Mapping[str, str], configs: Sequence[str]) -> str:
    lines = [f"- `{files}`: the images at {name}, by their keys" for name, files in images.items()]
    lines += [f"- `{name}`, which the viewer shows: {_WHAT[name]}" for name in configs]
    files = next(iter(images.values()))
    kind = "webdataset" if files.endswith(".tar") else "imagefolder"
    return "\n".join(lines) + (
        "\n\nIn Python:\n\n"
        "```python\n"
        "from datasets import load_dataset\n\n"
        f'files = "hf://datasets/{repository}/{files}"\n'
        f'images = load_dataset("{kind}", data_files=files, split="train", streaming=True)\n'
        f'metrics = load_dataset("{repository}", "metrics", split="train")\n'
        "```"
    )


def _how(record: Record) -> str:
    config, fit, made = record["config"], record["fit"], record["made_with"]
    operator, options = record["operator"], config["enhance"]
    found = {
        "degraded by": _steps(config.get("degrade"), str | int | float),
        "restored by": _steps([config["restore"]] if config.get("restore") else [], int | float),
        "codec": _codec(fit["codec"]),
        "patches": f"{fit['patch_size']} × {fit['patch_size']} latent pixels",
        "operator": (
            f"`{record['operator_name']}`, {operator['branch']}, fitted on "
            f"{operator['images']} restored images, {fit['pairing']}"
        ),
        "enhanced": (
            f"{options['decoding']} decoding, interpolation between "
            f"{'images' if options['interpolation'] == 'image' else 'latents'}, as "
            f"{options['format']}; {' to '.join(dict.fromkeys(made['enhanced']))}"
        ),
        "software": _software(made),
        "command": f"`dotpipe run {config['name']}.yaml`, then `dotpipe push`",
    }
    return "\n".join(f"- {name}: {text}" for name, text in found.items() if text)


def _software(made: Record) -> str:
    commit = f", commit `{made['commit']}`" if made["commit"] else ""
    packages = ", ".join(f"{name} {known}" for name, known in made["packages"].items())
    return f"dot-pipeline {made['dot-pipeline']}{commit}; {packages}"


def _codec(identity: Record) -> str:
    """Return what identifies a codec; of its weights only what is the same on every machine."""
    names = ["factor", "revision", *(["weights"] if "revision" in identity else [])]
    told = [f"{name} `{identity[name]}`" for name in names if identity.get(name)]
    digest = identity.get("sha256")
    digests = [digest] if isinstance(digest, str) else list(digest or ())
    told += [f"weights with sha256 `{each}`" for each in digests[-1:]]
    return " ".join([str(identity["kind"]), *([f"({', '.join(told)})"] if told else [])])


def _steps(steps: Iterable[Record] | None, kinds: Any) -> str:
    """Return steps with their options, of which only values of some kinds are told."""
    found = list[str]()
    for step in steps or ():
        told = [
            f"{name} {value}"
            for name, value in step.items()
            if isinstance(value, kinds) and not isinstance(value, bool) and name != "kind"
        ]
        found.append(" ".join([str(step["kind"]), *([f"({', '.join(told)})"] if told else [])]))
    return ", then ".join(found)


def _numbers(record: Record) -> str:
    rows = [
        {name: _number(name, value) for name, value in row.items()} for row in record["results"]
    ]
    facts = {**record["metrics"], "warnings": json.dumps(record["warnings"])}
    changes = changes_table(rows, facts)
    parts = [
        *record["outcome"],
        *measured_in_words(facts),
        results_table(rows, facts).markdown(),
        f"{results_legend(rows, facts)} Bold marks the best enhanced value of a column.",
        *(["\n".join(f"- {text}" for text in record["warnings"])] if record["warnings"] else []),
        *(
            ["Change against the input:", changes.markdown(), changes_legend()]
            if changes.lines
            else []
        ),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts)


def _number(name: str, value: Any) -> Any:
    """Return a value of a row; what JSON has no number for stands there as a word."""
    return float(value) if isinstance(value, str) and name != "signal" else value
