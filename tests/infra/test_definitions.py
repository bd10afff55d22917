"""What holds for all definitions: pinned, without passwords, in step, and in the wheel."""

import fnmatch
import re
import tomllib

import prefect.settings
import pytest
from container_definitions import (
    INFRA,
    job,
    kustomization,
    pod_containers,
    services,
    stages,
    template,
)

from flows.service.service import BATCHED
from infra.passwords import files

ROOT = INFRA.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
DATA = sorted(
    path.relative_to(INFRA).as_posix()
    for path in INFRA.rglob("*")
    if path.is_file() and path.suffix not in {".py", ".pyc"} and "pictures" not in path.parts
)
EXACT = re.compile(r"[\w./-]+:[\w.-]*\d{1,}[\w.-]*")


def images():
    """Every image that a container is started from, under the name of who says so."""
    renamed = {
        one["name"]: f"{one['newName']}:{one['newTag']}" for one in kustomization()["images"]
    }
    for name, service in services().items():
        yield f"compose {name}", service["image"]
    for name, container in pod_containers():
        yield f"kubernetes {name}", renamed.get(container["image"], container["image"])


@pytest.mark.parametrize(("place", "image"), sorted(images()))
def test_every_image_has_an_exact_tag(place, image):
    assert EXACT.fullmatch(image), place
    assert not image.endswith(":latest")


@pytest.mark.parametrize("name", DATA)
def test_nothing_is_named_by_the_tag_latest(name):
    assert not re.search(r"(:|=)\s*\"?latest\b", (INFRA / name).read_text("utf-8"))


@pytest.mark.parametrize("name", DATA)
def test_no_password_is_written_down(name):
    text = (INFRA / name).read_text("utf-8")
    assert re.findall(r"://[^/\s:@{}]+:(?!PASSWORD@)[^/\s:@{}$]+@", text) == []
    said = re.findall(
        r"(?i)(?:password|secret_access_key|auth_string|token)[\"']?\s*[:=]\s*[\"']?([\w+/.-]{6,})",
        text,
    )
    places = {"/run/secrets/prometheus-password", "dotpipe-worker"}
    assert [word for word in said if word not in places] == []


def test_our_images_have_the_version_of_the_project():
    version = PROJECT["project"]["version"]
    own = [image for _, image in images() if "dotpipe" in image]
    own.append(template()["variables"]["properties"]["image"]["default"])
    for text in ("docs/operations.md", "Dockerfile"):
        own += re.findall(r"dotpipe-\w+:[\w.-]+", (INFRA / text).read_text("utf-8"))
    assert {image.rpartition(":")[2].removesuffix("-cpu") for image in own} == {version}


def test_jobs_run_in_the_image_that_the_worker_does():
    (worker,) = [one for one in kustomization()["images"] if one["name"] == "dotpipe-worker"]
    default = job()["spec"]["template"]["spec"]["containers"][0]["image"]
    assert default == f"{worker['newName']}:{worker['newTag']}"


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_compose_and_cluster_have_the_same(name):
    (on_cluster,) = {c["image"] for pod, c in pod_containers() if pod == name}
    assert on_cluster == services()[name]["image"]


def test_settings_of_prefect_that_are_named_exist():
    sources = [(INFRA / name).read_text("utf-8") for name in DATA] + [*files().values()]
    named = {word for text in sources for word in re.findall(r"\bPREFECT_[A-Z_]*[A-Z]\b", text)}
    others = ("PREFECT_REDIS_", "PREFECT_INTEGRATIONS_KUBERNETES_")
    assert len(named) > 15
    assert [
        n for n in sorted(named) if not n.startswith(others) and not hasattr(prefect.settings, n)
    ] == []


def test_compose_and_cluster_wire_the_server_alike():
    literals = kustomization()["configMapGenerator"][0]["literals"]
    on_cluster = dict(one.split("=", 1) for one in literals)
    assert on_cluster.pop("PREFECT_SERVER_DATABASE_MIGRATE_ON_START") == "false"
    assert on_cluster == services()["server"]["environment"]


def test_servers_record_in_batches_as_that_of_one_machine_does():
    environment = services()["server"]["environment"]
    assert {name: environment[name] for name in BATCHED} == BATCHED


def test_every_definition_is_in_the_wheel():
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["infra"]
    outside = [name for name in DATA if not any(matches(name, pattern) for pattern in patterns)]
    assert outside == []


def matches(name, pattern):
    """As setuptools has it: a star does not go past a slash."""
    return name.count("/") == pattern.count("/") and fnmatch.fnmatchcase(name, pattern)


def test_schedules_work_with_the_pinned_sqlalchemy():
    """With 2.1 Prefect's scheduler fails: "Can't evaluate bulk DML statement"."""
    pins = (ROOT / "constraints.txt").read_text("utf-8")
    assert re.search(r"^prefect==3\.8\.", pins, re.MULTILINE)
    assert re.search(r"^SQLAlchemy==2\.0\.\d+$", pins, re.MULTILINE)


def test_the_server_stage_installs_what_its_settings_name():
    settings = services()["server"]["environment"].values()
    packages = {value.partition(".")[0].replace("_", "-") for value in settings if "." in value}
    (run,) = [one.rest for one in stages()["server"] if one.word == "RUN"]
    assert packages == {"prefect-redis"}
    assert run.endswith("prefect prefect-redis")
