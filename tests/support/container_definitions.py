"""What infra/ says of containers, read for tests: the image file, compose, the manifests.

stages()["server"]          # the instructions of a stage of infra/Dockerfile
services()                  # of infra/compose.yaml, merged, by name
objects("Deployment")       # of infra/kubernetes, of a kind
pods()                      # the pod specs of all workloads, by name
job(gpus=0)                 # the Job of a flow run, as Prefect makes it of the template
"""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from prefect.client.orchestration import PrefectClient
from prefect.workers.base import BaseJobConfiguration

INFRA = Path(__file__).parents[2] / "infra"
KUBERNETES = INFRA / "kubernetes"


class Instruction(NamedTuple):
    """A word of a Dockerfile in capitals, and what comes after it."""

    word: str
    rest: str


def stages() -> dict[str, list[Instruction]]:
    """The instructions of each stage of the Dockerfile; what precedes them is under ''."""
    text = re.sub(r"^#.*\n", "", (INFRA / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    found: dict[str, list[Instruction]] = {"": []}
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        instruction = Instruction(*line.split(maxsplit=1))
        if instruction.word == "FROM":
            found[instruction.rest.split()[-1]] = []
        list(found.values())[-1].append(instruction)
    return found


class _Loader(yaml.SafeLoader):
    """Reads compose files: `!reset` takes away what another file has set."""


_Loader.add_constructor("!reset", lambda loader, node: None)


def compose(name: str = "compose.yaml") -> dict[str, Any]:
    """A compose file."""
    tree: dict[str, Any] = yaml.load((INFRA / name).read_text("utf-8"), _Loader)
    return tree


def services() -> dict[str, Any]:
    """The services of the compose file."""
    found: dict[str, Any] = compose()["services"]
    return found


def kustomization(folder: Path = KUBERNETES) -> dict[str, Any]:
    """What is put together from a folder of manifests."""
    tree: dict[str, Any] = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    return tree


def objects(*kinds: str) -> list[dict[str, Any]]:
    """The objects of the manifests, those of some kinds or all."""
    texts = [(KUBERNETES / name).read_text("utf-8") for name in kustomization()["resources"]]
    found = [each for text in texts for each in yaml.safe_load_all(text)]
    return [each for each in found if not kinds or each["kind"] in kinds]


def pods() -> dict[str, Any]:
    """The pod of every workload, by its name, and of a flow run."""
    workloads = objects("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")
    return {
        **{each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in workloads},
        "flow run": job()["spec"]["template"]["spec"],
    }


def pod_containers() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every container of every pod, under the name of its workload."""
    for name, pod in pods().items():
        for container in (*pod.get("initContainers", []), *pod["containers"]):
            yield name, container


def template() -> dict[str, Any]:
    """The base job template of the work pool."""
    tree: dict[str, Any] = json.loads((KUBERNETES / "base-job-template.json").read_text("utf-8"))
    return tree


class _Rendered(BaseJobConfiguration):
    """What Prefect makes of a template for a flow run."""

    job_manifest: dict[str, Any]


def job(**variables: Any) -> dict[str, Any]:
    """The Job of a flow run whose deployment sets these job variables."""
    nobody = PrefectClient("http://127.0.0.1:9/api")  # for templates that name blocks; ours do not
    made = _Rendered.from_template_and_values(template(), variables, client=nobody)
    return asyncio.run(made).job_manifest
