"""Values for the charts of Prefect: names that the charts know, in step with our manifests.

Where there are `helm` and the charts, whose folder DOTPIPE_HELM_CHARTS names (that of
prefect-helm, with the chart `common` in charts/ of each), they are put together for real.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from container_definitions import INFRA, kustomization, objects, pods

from infra.job_template import NAME, with_defaults
from infra.passwords import files

HELM = INFRA / "helm"
KEYS = json.loads((Path(__file__).parent / "chart_keys.json").read_text("utf-8"))
CHARTS = os.environ.get("DOTPIPE_HELM_CHARTS", "")
GUARDED = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


def values(name):
    return yaml.safe_load((HELM / name).read_text("utf-8"))


SERVER, WORKER, CLOUD = values("server.yaml"), values("worker.yaml"), values("cloud.yaml")


def unknown(tree, keys, path="."):
    """Names that a chart does not take, in every section whose names are known."""
    known = keys.get(path)
    found = [] if known is None else [f"{path}: {name}" for name in set(tree) - {*known.split()}]
    for name, below in tree.items():
        if isinstance(below, dict):
            found += unknown(below, keys, name if path == "." else f"{path}.{name}")
    return found


@pytest.mark.parametrize(
    ("tree", "chart"),
    [(SERVER, "prefect-server"), (WORKER, "prefect-worker"), (CLOUD, "prefect-worker")],
    ids=["server", "worker", "cloud"],
)
def test_the_charts_know_every_name(tree, chart):
    assert unknown(tree, KEYS[chart]) == []


def test_a_name_that_a_chart_does_not_know_would_be_told():
    wrong = {"worker": {"config": {"workpool": "dotpipe"}}}
    assert unknown(wrong, KEYS["prefect-worker"]) == ["worker.config: workpool"]


def test_images_are_those_of_the_manifests():
    made = {one["name"]: (one["newName"], one["newTag"]) for one in kustomization()["images"]}
    server, worker = SERVER["global"]["prefect"]["image"], WORKER["worker"]["image"]
    assert (server["repository"], server["prefectTag"]) == made["dotpipe-server"]
    assert (worker["repository"], worker["prefectTag"]) == made["dotpipe-worker"]


def test_the_server_is_set_as_by_the_manifests():
    (literals,) = [
        one["literals"] for one in kustomization()["configMapGenerator"] if one["name"] == "server"
    ]
    wanted = dict(line.split("=") for line in literals)
    # What the chart sets itself where services run apart, under these or older names.
    for name in list(wanted):
        if re.search("MIGRATE|MESSAGING_|CAUSAL|LEASE", name):
            del wanted[name]
    given = {one["name"]: one["value"] for one in SERVER["global"]["prefect"]["env"]}
    assert given.pop("PREFECT_HOME").startswith("/home/prefect/")  # the chart's volume
    assert given == wanted


def test_the_waiting_for_tables_is_that_of_the_manifests():
    (ours,) = pods()["server"]["initContainers"]
    for side in ("server", "backgroundServices"):
        (theirs,) = SERVER[side]["extraInitContainers"]
        assert theirs["command"][-1].strip() == ours["command"][-1].strip()


@pytest.mark.parametrize(
    "context",
    [
        SERVER["server"]["containerSecurityContext"],
        SERVER["backgroundServices"]["containerSecurityContext"],
        SERVER["server"]["extraInitContainers"][0]["securityContext"],
        SERVER["migrations"]["securityContext"],
        WORKER["worker"]["containerSecurityContext"],
        WORKER["worker"]["initContainer"]["containerSecurityContext"],
    ],
)
def test_containers_gain_no_rights(context):
    assert context == GUARDED


def test_secrets_are_those_of_the_passwords_and_no_value_is_given():
    written = {f"dotpipe-{name.removesuffix('.env')}": text for name, text in files().items()}
    redis = SERVER["backgroundServices"]["messaging"]["redis"]
    docket = SERVER["backgroundServices"]["messaging"]["docket"]
    database = SERVER["externalDatabase"]
    asked = [
        (redis["existingSecret"], redis["existingSecretPasswordKey"]),
        (docket["existingSecret"], docket["existingSecretKey"]),
        (database["existingSecret"], database["connectionStringSecretKey"]),
        *(
            (one["valueFrom"]["secretKeyRef"]["name"], one["valueFrom"]["secretKeyRef"]["key"])
            for one in WORKER["worker"]["extraEnvVars"]
            if "valueFrom" in one
        ),
    ]
    assert len(asked) == 4
    for name, key in asked:
        assert re.search(rf"^{key}=.", written[name], re.MULTILINE)
    for name in ("server.yaml", "worker.yaml", "cloud.yaml"):
        assert not re.search(
            r"(?i)password: |authString: |connectionString: ", (HELM / name).read_text()
        )


def test_a_worker_of_the_cloud_is_sent_no_password_of_a_server():
    names = {one["name"] for one in CLOUD["worker"]["extraEnvVars"]}
    assert not any("AUTH_STRING" in name for name in names)
    assert CLOUD["worker"]["initContainer"]["extraEnvVars"] == CLOUD["worker"]["extraEnvVars"]


def test_the_rest_is_taken_from_the_manifests_without_what_the_charts_make():
    here = kustomization(HELM)
    assert here["resources"] == ["../kubernetes"]
    gone = {
        re.search(r"kind: (\w+), metadata: {name: ([\w-]+),", one["patch"]).groups()
        for one in here["patches"]
    }
    theirs = {"server", "services", "worker"}
    made_by_charts = {
        (one["kind"], one["metadata"]["name"])
        for one in objects()
        if one["metadata"]["name"] in theirs
        and one["kind"] not in {"NetworkPolicy", "PodDisruptionBudget"}
    }
    maps = {("ConfigMap", one["name"]) for one in kustomization()["configMapGenerator"]}
    assert gone == made_by_charts | maps


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl puts manifests together")
def test_kubectl_puts_the_rest_together():
    done = subprocess.run(
        ["kubectl", "kustomize", HELM], capture_output=True, text=True, check=True
    )
    kinds = [(one["kind"], one["metadata"]["name"]) for one in yaml.safe_load_all(done.stdout)]
    assert sorted(name for kind, name in kinds if kind == "StatefulSet") == ["postgres", "redis"]
    assert [kind for kind, _ in kinds if kind in {"Deployment", "Role", "ConfigMap"}] == []
    assert ("ServiceAccount", "flow-run") in kinds
    assert ("PersistentVolumeClaim", "weights") in kinds


there = pytest.mark.skipif(
    not (CHARTS and shutil.which("helm")), reason="needs helm, and DOTPIPE_HELM_CHARTS"
)


def put_together(chart, *arguments):
    """The objects of a chart with our values, valid all of them, by kind and name."""
    done = subprocess.run(
        ["helm", "template", "ours", f"{CHARTS}/{chart}", "--namespace=dotpipe", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [one for one in yaml.safe_load_all(done.stdout) if one]
    for one in found:
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
    return {(one["kind"], one["metadata"]["name"]): one for one in found}


@there
def test_helm_makes_a_server_that_the_rest_knows():
    made = put_together("prefect-server", f"--values={HELM / 'server.yaml'}")
    (service,) = [one for one in objects("Service") if one["metadata"]["name"] == "server"]
    ports = made["Service", "server"]["spec"]["ports"]
    assert [(one["name"], one["port"]) for one in ports] == [("http", 4200)]
    assert [(one["name"], one["port"]) for one in service["spec"]["ports"]] == [("http", 4200)]
    for kind, name, app in (
        ("Deployment", "server", "server"),
        ("Deployment", "server-background-services", "services"),
        ("Job", "server-db-migrations", "services"),
    ):
        pod = made[kind, name]["spec"]["template"]
        assert pod["metadata"]["labels"]["app"] == app
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for one in (*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]):
            assert one["securityContext"] == GUARDED
            assert one["image"].startswith("registry.example.org/dotpipe-server:")


@there
@pytest.mark.parametrize("kind", ["server", "cloud"])
def test_helm_makes_a_worker_with_our_template(tmp_path, kind):
    (tmp_path / NAME).write_text(json.dumps(with_defaults(["gpus=2"])), "utf-8")
    ours = [f"--values={HELM / 'worker.yaml'}"]
    if kind == "cloud":
        ours += [f"--values={HELM / 'cloud.yaml'}", "--set=worker.cloudApiConfig.accountId=A"]
        ours += ["--set=worker.cloudApiConfig.workspaceId=W"]
    ours.append(f"--set-file=worker.config.baseJobTemplate.configuration={tmp_path / NAME}")
    made = put_together("prefect-worker", *ours)
    given = made["ConfigMap", "base-job-template"]["data"]["baseJobTemplate.json"]
    assert json.loads(given) == with_defaults(["gpus=2"])
    pod = made["Deployment", "worker"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    words = " ".join(container["args"])
    assert "--type kubernetes --pool dotpipe" in words
    assert "--with-healthcheck" in words
    known = {one["name"]: one for one in container["env"]}
    secret = {"server": "API_AUTH_STRING", "cloud": "API_KEY"}[kind]
    assert "valueFrom" in known[f"PREFECT_{secret}"]
    assert f"PREFECT_INTEGRATIONS_KUBERNETES_WORKER_{secret}_SECRET_NAME" in known
    url = {"server": "http://server:4200/api", "cloud": "/accounts/A/workspaces/W"}[kind]
    assert known["PREFECT_API_URL"]["value"].endswith(url)
    assert ("PREFECT_API_AUTH_STRING" in known) == (kind == "server")
