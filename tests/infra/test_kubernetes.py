"""The manifests and the template of the Jobs: valid, guarded, and in step with each other."""

import re

import kubernetes_validate
import pytest
from container_definitions import (
    INFRA,
    KUBERNETES,
    job,
    kustomization,
    objects,
    pod_containers,
    pods,
    services,
    template,
)
from prefect.server.schemas.actions import WorkPoolCreate

from infra.passwords import files

CONTAINERS = [pytest.param(one, id=f"{pod} {one['name']}") for pod, one in pod_containers()]
OBJECTS = [pytest.param(one, id=f"{one['kind']} {one['metadata']['name']}") for one in objects()]


def validate(manifest):
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("manifest", OBJECTS)
def test_manifests_are_valid(manifest):
    validate(manifest)


def test_every_manifest_is_put_together():
    listed = {*kustomization()["resources"], "kustomization.yaml", "base-job-template.json"}
    assert listed == {path.name for path in KUBERNETES.iterdir()}
    generated = {
        name for each in kustomization()["configMapGenerator"] for name in each.get("files", [])
    }
    assert generated == {"base-job-template.json"}


def test_the_database_can_be_left_out():
    outside = kustomization(INFRA / "external-postgres")
    assert outside["resources"] == ["../kubernetes"]
    gone = {
        re.search(
            r"kind: (\w+), metadata: {name: postgres, namespace: (\w+)}, \$patch: delete",
            each["patch"],
        ).groups()
        for each in outside["patches"]
    }
    own = {one["kind"] for one in objects() if one["metadata"]["name"] == "postgres"}
    assert gone == {(kind, kustomization()["namespace"]) for kind in own}


@pytest.mark.parametrize("container", CONTAINERS)
def test_containers_gain_no_rights_and_write_only_where_they_are_let(container):
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


@pytest.mark.parametrize("container", CONTAINERS)
def test_containers_have_limits_of_memory(container):
    assert container["resources"]["limits"]["memory"]
    assert {"cpu", "memory"} <= set(container["resources"]["requests"])


@pytest.mark.parametrize("name", pods())
def test_pods_are_not_root(name):
    context = pods()[name]["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}


@pytest.mark.parametrize("name", sorted({*pods()} - {"worker"}))
def test_pods_have_no_key_to_the_cluster(name):
    assert pods()[name]["automountServiceAccountToken"] is False


def test_what_answers_is_asked_whether_it_does():
    probes = {"startupProbe", "readinessProbe", "livenessProbe"}
    asked = {name for name, pod in pods().items() if probes <= set(pod["containers"][0])}
    assert asked == {"postgres", "redis", "server", "worker"}


def test_the_worker_may_do_what_it_needs_in_its_own_namespace():
    (role,) = objects("Role")
    rights = {
        resource: set(rule["verbs"]) for rule in role["rules"] for resource in rule["resources"]
    }
    assert rights == {
        "pods": {"get", "list", "watch"},
        "events": {"get", "list", "watch"},
        "pods/log": {"get"},
        "jobs": {"get", "list", "watch", "create", "delete"},
    }
    (binding,) = objects("RoleBinding")
    assert not objects("ClusterRole", "ClusterRoleBinding")
    assert binding["subjects"][0].keys() == {"kind", "name"}  # kustomize fills in the namespace
    assert pods()["worker"]["serviceAccountName"] == binding["subjects"][0]["name"]


def test_secrets_are_named_and_written_by_the_passwords():
    assert not objects("Secret")
    for _, container in pod_containers():
        for source in container.get("envFrom", []):
            if "secretRef" in source:
                name = source["secretRef"]["name"].removeprefix("dotpipe-")
                assert f"{name}.env" in files()
        for variable in container.get("env", []):
            if "fieldRef" in variable.get("valueFrom", {}):
                continue
            if "valueFrom" in variable:
                key = variable["valueFrom"]["secretKeyRef"]
                text = files()[f"{key['name'].removeprefix('dotpipe-')}.env"]
                assert re.search(rf"^{key['key']}=", text, re.MULTILINE)
            else:
                assert not re.search("PASSWORD|TOKEN|AUTH_STRING$|ACCESS_KEY", variable["name"])


def test_the_jobs_name_the_secret_of_the_api_in_place_of_its_value():
    variables = {one["name"]: one for one in pods()["worker"]["containers"][0]["env"]}
    key = variables["PREFECT_API_AUTH_STRING"]["valueFrom"]["secretKeyRef"]
    prefix = "PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_AUTH_STRING_SECRET"
    assert variables[f"{prefix}_NAME"]["value"] == key["name"]
    assert variables[f"{prefix}_KEY"]["value"] == key["key"]


def test_volumes_that_are_mounted_are_there():
    claims = {one["metadata"]["name"] for one in objects("PersistentVolumeClaim")}
    for workload in [*objects("Deployment", "StatefulSet"), job()]:
        pod = workload["spec"]["template"]["spec"]
        made = {one["metadata"]["name"] for one in workload["spec"].get("volumeClaimTemplates", [])}
        known = {one["name"] for one in pod.get("volumes", [])} | made
        mounted = {m["name"] for c in pod["containers"] for m in c["volumeMounts"]}
        assert mounted == known
        asked = {
            one["persistentVolumeClaim"]["claimName"]
            for one in pod["volumes"]
            if "persistentVolumeClaim" in one
        }
        assert asked <= claims


def test_the_servers_wait_for_tables_that_one_pod_makes():
    (services_,) = [one for one in objects("Deployment") if one["metadata"]["name"] == "services"]
    assert services_["spec"]["replicas"] == 1
    assert services_["spec"]["strategy"] == {"type": "Recreate"}
    (tables,) = pods()["services"]["initContainers"]
    assert tables["args"] == ["prefect", "server", "database", "upgrade", "--yes"]
    (waiting,) = pods()["server"]["initContainers"]
    compile(waiting["command"][-1], "tables", "exec")
    assert "check_heads=True" in waiting["command"][-1]
    settings = kustomization()["configMapGenerator"][0]["literals"]
    assert "PREFECT_SERVER_DATABASE_MIGRATE_ON_START=false" in settings


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"gpus": 0},
        {"gpus": 4, "cpu_limit": "16", "memory_limit": "64Gi", "shm_size": "8Gi"},
        {"node_selector": {"pool": "a100"}, "priority_class_name": "low", "env": {"A": "b"}},
    ],
)
def test_the_template_makes_valid_jobs(variables):
    made = job(**variables)
    made["metadata"]["generateName"] = "enhance-block-"
    container = made["spec"]["template"]["spec"]["containers"][0]
    # What Prefect fills in itself, and two words that it wants where Kubernetes ignores them.
    container |= {"env": [{"name": name, "value": text} for name, text in container["env"].items()]}
    container["args"] = ["prefect", "flow-run", "execute"]
    assert (
        made["spec"]["template"]["spec"].pop("parallelism"),
        made["spec"]["template"]["spec"].pop("completions"),
    ) == (1, 1)
    validate(made)


@pytest.mark.parametrize("gpus", [0, 1, 2])
def test_a_job_gets_the_gpus_that_it_asks_for(gpus):
    resources = job(gpus=gpus)["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert [resources[side]["nvidia.com/gpu"] for side in ("requests", "limits")] == [gpus, gpus]


def test_a_job_asks_for_one_gpu_and_goes_where_they_are():
    pod = job()["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert [one["key"] for one in pod["tolerations"]] == ["nvidia.com/gpu"]


def test_a_job_has_shared_memory_weights_and_places_to_write():
    pod = job()["spec"]["template"]["spec"]
    kinds = {one["name"]: one for one in pod["volumes"]}
    places = {one["mountPath"]: kinds[one["name"]] for one in pod["containers"][0]["volumeMounts"]}
    assert places["/dev/shm"]["emptyDir"]["medium"] == "Memory"
    assert places["/cache"]["persistentVolumeClaim"] == {"claimName": "weights"}
    assert {"/tmp", "/home/dotpipe"} <= set(places)


def test_a_run_has_as_long_to_end_on_a_cluster_as_with_compose():
    minutes = re.fullmatch(r"(\d+)m", services()["worker"]["stop_grace_period"])[1]
    assert job()["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 60 * int(minutes)


def test_prefect_plans_an_evicted_run_again():
    assert job()["spec"]["backoffLimit"] == 0


def test_a_server_takes_the_template():
    made = WorkPoolCreate(name="dotpipe", type="kubernetes", base_job_template=template())
    assert made.base_job_template == template()


def test_the_template_has_all_that_prefects_own_has(kubernetes_template):
    ours = template()
    assert set(kubernetes_template["variables"]["properties"]) <= set(
        ours["variables"]["properties"]
    )
    assert set(kubernetes_template["job_configuration"]) <= set(ours["job_configuration"])


def test_every_variable_of_the_template_says_what_it_is_for():
    variables = template()["variables"]["properties"]
    assert [name for name, one in variables.items() if not one.get("description")] == []


def test_database_and_broker_hear_the_server_only():
    policies = {one["metadata"]["name"]: one["spec"] for one in objects("NetworkPolicy")}
    labels = {
        one["metadata"]["name"]: one["spec"]["template"]["metadata"]["labels"]
        for one in objects("Deployment", "StatefulSet")
    }
    for name in ("postgres", "redis"):
        assert policies[name]["podSelector"]["matchLabels"] == labels[name]
        (rule,) = policies[name]["ingress"]
        (heard,) = rule["from"][0]["podSelector"]["matchExpressions"]
        assert heard == {"key": "app", "operator": "In", "values": ["server", "services"]}
