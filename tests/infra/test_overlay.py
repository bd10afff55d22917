"""The example of an overlay: what is in it fits the manifests that it comes on top of."""

import json
import re
import shutil
import subprocess

import kubernetes_validate
import pytest
import yaml
from container_definitions import INFRA, job, kustomization, objects, template

from infra.job_template import NAME, main, with_defaults

OVERLAY = INFRA / "overlay"
HERE = kustomization(OVERLAY)
OWN = [
    each
    for name in HERE["resources"]
    if name.endswith(".yaml")
    for each in yaml.safe_load_all((OVERLAY / name).read_text("utf-8"))
]
WORDS = ["image=registry.mine.org/vision/dotpipe-worker:0.1.0", "priority_class_name=dotpipe-run"]
_UNITS = {"": 1, "m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def own(kind):
    return {one["metadata"]["name"]: one for one in OWN if one["kind"] == kind}


@pytest.mark.parametrize(
    "manifest", OWN, ids=lambda one: f"{one['kind']} {one['metadata']['name']}"
)
def test_its_manifests_are_valid(manifest):
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_it_comes_on_top_of_what_is_there_and_lists_all_that_is_in_it():
    below, *files = HERE["resources"]
    assert below == "../kubernetes"
    assert {*files, "kustomization.yaml"} == {path.name for path in OVERLAY.iterdir()}


def test_it_renames_the_images_of_the_manifests():
    made = {f"{one['newName']}" for one in kustomization()["images"]}
    assert {one["name"] for one in HERE["images"]} == made
    assert {one["newTag"] for one in HERE["images"]} == {
        one["newTag"] for one in kustomization()["images"]
    }


def test_the_settings_that_it_changes_are_there():
    there = {one["name"] for one in kustomization()["configMapGenerator"]}
    assert {one["name"] for one in HERE["configMapGenerator"]} <= there


def test_its_patches_name_kinds_that_are_there():
    kinds = {one["kind"] for one in objects()}
    for patch in HERE["patches"]:
        assert set(patch["target"]["kind"].split("|")) <= kinds
    (of_pods,) = [p["patch"] for p in HERE["patches"] if "Deployment" in p["target"]["kind"]]
    (named,) = [
        one["value"] for one in yaml.safe_load(of_pods) if one["path"].endswith("priorityClassName")
    ]
    assert named in own("PriorityClass")


def test_the_ingress_leads_to_the_server_by_tls_and_is_let_through():
    ingress = own("Ingress")["server"]["spec"]
    (rule,) = ingress["rules"]
    assert ingress["tls"][0]["hosts"] == [rule["host"]]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    (service,) = [one for one in objects("Service") if one["metadata"]["name"] == backend["name"]]
    assert backend["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}
    (policy,) = own("NetworkPolicy").values()
    assert policy["spec"]["podSelector"]["matchLabels"] == service["spec"]["selector"]
    (settings,) = [one for one in HERE["configMapGenerator"] if one["name"] == "server"]
    assert settings["literals"] == [f"PREFECT_UI_URL=https://{rule['host']}"]


def amount(text):
    number, unit = re.fullmatch(r"([\d.]+)(\w*)", str(text)).groups()
    return float(number) * _UNITS[unit]


def test_the_quota_has_room_for_the_service_and_eight_runs():
    hard = own("ResourceQuota")["dotpipe"]["spec"]["hard"]
    runs = 8
    assert amount(hard["requests.nvidia.com/gpu"]) == runs
    pods = [(1 + each["spec"]["replicas"], each) for each in objects("Deployment", "StatefulSet")]
    pods.append((runs, job()))
    conductor = {"gpus": 0, "cpu_request": "1", "memory_request": "4Gi", "memory_limit": "8Gi"}
    pods.append((4, job(**conductor)))
    assert amount(hard["pods"]) >= sum(count for count, _ in pods)
    for side, what in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
        needed = sum(
            count * amount(container["resources"][side][what])
            for count, each in pods
            for container in each["spec"]["template"]["spec"]["containers"]
        )
        assert amount(hard[f"{side}.{what}"]) >= needed


def test_a_template_has_the_defaults_that_were_asked_for(tmp_path, capsys):
    assert main(tmp_path, [*WORDS, "gpus=2", 'node_selector={"pool": "a100"}']) == 0
    assert capsys.readouterr().out == f"wrote {tmp_path / NAME}\n"
    made = json.loads((tmp_path / NAME).read_text("utf-8"))
    known, given = template()["variables"]["properties"], made["variables"]["properties"]
    changed = {name for name in known if known[name] != given[name]}
    assert changed == {"image", "priority_class_name", "gpus", "node_selector"}
    assert given["image"]["default"] == "registry.mine.org/vision/dotpipe-worker:0.1.0"
    assert (given["gpus"]["default"], given["node_selector"]["default"]) == (2, {"pool": "a100"})
    assert made["job_configuration"] == template()["job_configuration"]
    assert with_defaults([]) == template()


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("imge=a", "one of the names annotations, "),
        ("image", "got 'image'"),
        ("gpus=many", "gpus must be of the type integer, written as JSON, got 'many'"),
        ("gpus=true", "got 'true'"),
        ("tolerations={}", "tolerations must be of the type array"),
    ],
)
def test_a_default_that_does_not_fit_is_a_sentence_and_writes_nothing(tmp_path, capsys, word, said):
    assert main(tmp_path, [word]) == 1
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path, capsys):
    assert main(tmp_path / "none", []) == 1
    assert "No such file" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl puts overlays together")
@pytest.mark.parametrize("below", ["kubernetes", "external-postgres"])
def test_kubectl_puts_a_copy_together_in_a_namespace_of_its_own(tmp_path, below):
    for name in ("kubernetes", "external-postgres", "overlay"):
        shutil.copytree(INFRA / name, tmp_path / name)
    mine = shutil.copytree(tmp_path / "overlay", tmp_path / "mine")
    text = (mine / "kustomization.yaml").read_text("utf-8")
    text = text.replace("namespace: dotpipe ", "namespace: vision ")
    (mine / "kustomization.yaml").write_text(text.replace("../kubernetes", f"../{below}"), "utf-8")
    assert main(mine, [*WORDS, "namespace=vision"]) == 0
    done = subprocess.run(
        ["kubectl", "kustomize", mine], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    made = [one for one in yaml.safe_load_all(done.stdout) if one]
    for one in made:
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
    placed = {one["metadata"].get("namespace", one["metadata"]["name"]) for one in made}
    assert placed == {"vision", "dotpipe-service", "dotpipe-run"}
    binding = next(one for one in made if one["kind"] == "RoleBinding")
    assert binding["subjects"][0]["namespace"] == "vision"
    accounts = [one for one in made if one["kind"] == "ServiceAccount"]
    pods = [
        one["spec"]["template"]["spec"]
        for one in made
        if one["kind"] in {"Deployment", "StatefulSet"}
    ]
    assert len(accounts) == 2
    assert len(pods) == (5 if below == "kubernetes" else 4)
    assert all(one["imagePullSecrets"] == [{"name": "registry"}] for one in [*accounts, *pods])
    images = {container["image"] for pod in pods for container in pod["containers"]}
    assert not [image for image in images if "example.org" in image]
    handed = next(one for one in made if NAME in one.get("data", {}))["data"][NAME]
    assert json.loads(handed) == with_defaults([*WORDS, "namespace=vision"])
