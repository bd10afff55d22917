"""The compose file: valid, guarded, and in step with the image and the secrets."""

import re

import pytest
from check_jsonschema.builtin_schemas import get_builtin_schema
from container_definitions import INFRA, compose, services, stages
from jsonschema import Draft7Validator

from infra.passwords import files

SECRETS = re.compile(r"\$\{DOTPIPE_SECRETS:\?[^}]+\}/([\w.-]+)")
LASTING = {name: one for name, one in services().items() if name != "bucket"}


@pytest.mark.parametrize("name", ["compose.yaml", "compose.cpu.yaml"])
def test_the_file_is_valid(name):
    schema = get_builtin_schema("vendor.compose-spec")
    assert [error.message for error in Draft7Validator(schema).iter_errors(compose(name))] == []


def test_all_parts_are_there():
    asked = {"server", "postgres", "redis", "store", "worker", "prometheus", "grafana"}
    assert asked <= set(services())


@pytest.mark.parametrize("name", services())
def test_containers_are_not_root_and_gain_no_rights(name):
    service = services()[name]
    user, _, group = service["user"].partition(":")
    assert int(user) > 0
    assert group.isdecimal()
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]


@pytest.mark.parametrize("name", LASTING)
def test_what_stays_is_watched_and_started_again(name):
    assert LASTING[name]["healthcheck"]["test"]
    assert LASTING[name]["restart"] == "unless-stopped"
    assert LASTING[name]["stop_grace_period"]


def test_nothing_is_reached_from_other_machines():
    ports = [port for service in services().values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", services())
def test_secrets_come_from_files_that_the_passwords_are_written_to(name):
    service = services()[name]
    named = [SECRETS.fullmatch(path)[1] for path in service.get("env_file", [])]
    assert set(named) <= set(files())
    shown = service.get("environment", {})
    assert not [
        key
        for key in shown
        if re.search("PASSWORD|SECRET|TOKEN|AUTH|_KEY|_URL", key) and key != "PREFECT_API_URL"
    ]


def test_other_secrets_are_files_there_as_well():
    paths = [SECRETS.fullmatch(secret["file"])[1] for secret in compose()["secrets"].values()]
    assert set(paths) <= set(files())


def test_there_is_no_default_for_the_folder_of_secrets():
    text = (INFRA / "compose.yaml").read_text("utf-8")
    assert set(re.findall(r"\$\{DOTPIPE_SECRETS(..)", text)) == {":?"}


def test_files_and_volumes_that_are_mounted_exist():
    for service in services().values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert (
                (INFRA / source).is_file()
                if source.startswith(".")
                else (source in compose()["volumes"])
            ), volume


def test_images_that_are_built_have_a_stage():
    built = [one["build"]["target"] for one in services().values() if "build" in one]
    assert set(built) == {"worker", "server", "store"} <= set(stages())


def test_the_gpu_goes_to_the_worker_alone():
    reserved = {
        name: one["deploy"]["resources"]["reservations"]["devices"]
        for name, one in services().items()
        if "deploy" in one
    }
    assert reserved == {"worker": [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]}
    assert compose("compose.cpu.yaml")["services"] == {"worker": {"deploy": None}}


def test_conductors_do_not_take_the_places_of_those_that_they_wait_for():
    command = {name: services()[name]["command"] for name in ("conductor", "worker")}
    queues = {
        name: {words[i + 1] for i, word in enumerate(words) if word == "--work-queue"}
        for name, words in command.items()
    }
    assert queues == {"conductor": {"conductors"}, "worker": {"nightly", "backfill"}}
    assert "--limit" in command["worker"]
    assert "--limit" not in command["conductor"]


def test_metrics_are_a_profile():
    profiles = {name: one.get("profiles") for name, one in services().items()}
    assert {name for name, one in profiles.items() if one} == {"prometheus", "grafana"}


def test_workers_of_processes_have_no_metrics_of_their_own():
    names = [key for one in services().values() for key in one.get("environment", {})]
    assert "PREFECT_CLIENT_METRICS_ENABLED" not in names
