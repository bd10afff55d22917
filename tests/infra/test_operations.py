"""What the operator's page claims: its files, commands and names are there."""

import re
import shlex
from importlib.util import find_spec
from itertools import chain

import pytest
from container_definitions import (
    INFRA,
    kustomization,
    objects,
    pod_containers,
    services,
    stages,
    template,
)
from prefect.cli._app import _app

from flows.cli import app
from infra.job_template import with_defaults
from infra.passwords import files

PAGE = (INFRA / "docs" / "operations.md").read_text("utf-8")
CODE = [
    *re.findall(r"`([^`\n]+)`", PAGE),
    *chain(*(block.splitlines() for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL))),
]
FIRST = re.search(r"^## From an empty.*?(?=^## )", PAGE, re.MULTILINE | re.DOTALL)[0]


def parts():
    """Every single command of the page."""
    return [one.strip() for text in CODE for one in re.split(r"&&|;|(?<!&)&(?!&)", text)]


def commands(program):
    """What follows a program's name, in the page and in what containers run."""
    texts = [one.removeprefix("docker compose").strip() for one in parts()]
    listed = [one.removeprefix(program).strip() for one in texts if one.startswith(f"{program} ")]
    listed = [one for one in listed if "…" not in one]
    run = [service.get("command", []) for service in services().values()]
    run += [container.get("args", []) for _, container in pod_containers()]
    run += [
        re.findall(r'"([^"]+)"', one.rest)
        for each in stages().values()
        for one in each
        if one.word == "CMD"
    ]
    words = program.split()
    return sorted(
        {
            *listed,
            *(shlex.join(map(str, one[len(words) :])) for one in run if one[: len(words)] == words),
        }
    )


def test_ten_commands_lead_from_an_empty_cluster_to_a_nightly_backfill():
    numbers = re.findall(r"^(\d+)\. ", FIRST, re.MULTILINE)
    assert numbers == [str(number) for number in range(1, 11)]
    blocks = re.findall(r"```console\n(.*?)```", FIRST, re.DOTALL)
    assert [len(block.strip().splitlines()) for block in blocks] == [1] * 10


def test_every_file_that_is_named_is_there():
    named = set(re.findall(r"(?:infra|tests)/[\w./-]*[\w]", PAGE))
    named = {name for name in named if not name.startswith("infra/mine")}  # the reader's own
    assert len(named) > 10
    assert [name for name in sorted(named) if not (INFRA.parent / name).exists()] == []


def test_every_secret_that_is_named_is_written():
    named = set(re.findall(r"`([\w-]+\.env|prometheus-password)`", PAGE))
    assert named == set(files())


@pytest.mark.parametrize("words", commands("prefect"))
def test_commands_of_prefect_exist_with_these_options(words):
    command, _, _ = _app.parse_args(shlex.split(words), exit_on_error=False, print_error=False)
    assert command.__module__.startswith("prefect.cli.")


@pytest.mark.parametrize("words", commands("python -m infra.worker"))
def test_options_of_the_containers_worker_are_those_of_prefects(words):
    line = ["worker", "start", "--type", "process", *shlex.split(words)]
    assert _app.parse_args(line, exit_on_error=False, print_error=False)


def test_commands_of_dotpipe_exist():
    named = {re.split(r"\s", one)[1] for one in parts() if re.match(r"dotpipe [a-z]", one)}
    known = {command.callback.__name__ for command in app.registered_commands}
    assert {"deploy", "backfill", "submit", "status"} <= named <= known


def test_modules_that_are_run_exist():
    named = {name for one in parts() for name in re.findall(r"python -m ([\w.]+)", one)}
    assert named == {"infra.job_template", "infra.passwords", "infra.worker"}
    assert all(find_spec(name) for name in named)


def test_workloads_that_are_named_are_in_the_manifests():
    known = {f"{one['kind'].lower()}/{one['metadata']['name']}" for one in objects()}
    named = set(re.findall(r"\b(?:deployment|statefulset|service)/\w+", PAGE))
    assert named
    assert named <= known
    labels = {one["metadata"].get("labels", {}).get("app") for one in objects()}
    assert set(re.findall(r"--selector app=(\w+)", PAGE)) <= labels


def test_containers_of_compose_that_are_named_are_there():
    named = re.findall(r"compose\.yaml (?:logs|exec -T) ([\w ]+?)(?: pg_dump|`)", PAGE)
    assert named
    assert {name for one in named for name in one.split()} <= set(services())


def test_variables_of_the_template_that_are_named_are_there():
    named = {"gpus", "memory_limit", "cpu_request", "scratch_size", "grace_seconds"}
    assert all(f"`{name}`" in PAGE for name in named)
    assert named <= set(template()["variables"]["properties"])


def test_no_command_edits_a_file_that_comes_with_the_project():
    assert not re.search(r"\bsed\b", PAGE)
    assert "cp --recursive infra/overlay infra/mine && " in FIRST


def test_the_first_command_gives_the_jobs_the_image_and_priority_of_the_overlay():
    overlay = kustomization(INFRA / "overlay")
    words = re.search(r"infra.job_template infra/mine (.*)", FIRST)[1].split()
    image = next(one for one in overlay["images"] if one["name"].endswith("/dotpipe-worker"))
    assert words == [
        f"image={image['newName']}:{image['newTag']}",
        "priority_class_name=dotpipe-run",
    ]
    assert f"--tag {image['newName']}:{image['newTag']} --push" in FIRST
    assert with_defaults(words)


def test_the_secrets_that_the_sixth_command_makes_are_those_that_pods_read():
    made = re.search(r"for name in ([\w ]+);", FIRST)[1].split()
    read = {
        source["secretRef"]["name"]
        for _, container in pod_containers()
        for source in container.get("envFrom", [])
        if "secretRef" in source
    }
    assert {f"dotpipe-{name}" for name in made} == read
    assert f"--namespace {kustomization()['namespace']} " in FIRST
