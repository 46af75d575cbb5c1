"""deploy/k8s says of our processes what docker-compose.yml says."""

import re
from typing import Any

import pytest
import yaml

from config import env
from tests.deploy import compose, image

DEPLOY = env.BASE_DIR / "deploy"
SERVICES = compose.load()["services"]
SECRETS = {"SECRET_KEY", "DATABASE_URL", "REDIS_URL"}
WEB = {"api": "PORT", "edge": "EDGE_PORT"}
UNPRIVILEGED = {
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}


def _objects() -> dict[tuple[str, str], dict[str, Any]]:
    kustomization = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())
    found = {}
    for file in kustomization["resources"]:
        for each in yaml.safe_load_all((DEPLOY / file).read_text()):
            found[each["kind"], each["metadata"]["name"]] = each
    return found


OBJECTS = _objects()
PODS = {
    name: each["spec"]["template"]["spec"]
    for (kind, name), each in OBJECTS.items()
    if kind in ("Deployment", "Job")
}


def _container(name: str) -> dict[str, Any]:
    container: dict[str, Any]
    (container,) = PODS[name]["containers"]
    assert container["name"] == name
    return container


def test_every_manifest_is_used():
    used = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())["resources"]
    assert {f"k8s/{path.name}" for path in (DEPLOY / "k8s").iterdir()} == set(used)


def test_the_processes_are_those_of_compose():
    assert set(PODS) == {*compose.OURS, "nginx"}


@pytest.mark.parametrize("name", compose.OURS)
def test_a_command_is_that_of_compose(name):
    assert _container(name)["command"] == SERVICES[name]["command"]


def test_the_images_are_those_of_compose():
    kustomization = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())
    (ours,) = kustomization["images"]
    for name in compose.OURS:
        assert _container(name)["image"] == ours["name"]
        assert SERVICES[name]["image"] == f"{ours['name']}:{ours['newTag']}"
    assert _container("nginx")["image"] == SERVICES["nginx"]["image"]


def test_the_variables_are_those_of_compose():
    given = OBJECTS["ConfigMap", "adhouse"]["data"]
    theirs = SERVICES["api"]["environment"]
    assert set(given) | SECRETS <= set(theirs)
    needed = {name for name, value in theirs.items() if value} | {"WEB_CONCURRENCY"}
    assert needed <= set(given) | SECRETS | {"CSRF_TRUSTED_ORIGINS"}
    for name in (
        "DJANGO_SETTINGS_MODULE",
        "BIND_HOST",
        "PORT",
        "EDGE_PORT",
        "PACKETS_PORT",
        "PACKETS_WATCH_PORT",
        "TIMESERIES_WATCH_PORT",
        "RUN_DIR",
        "PICTURES_DIR",
    ):
        assert given[name] == theirs[name]
    for name in compose.OURS:
        names = [next(iter(each.values()))["name"] for each in _container(name)["envFrom"]]
        assert names == ["adhouse", "adhouse"]


@pytest.mark.parametrize(("name", "variable"), WEB.items())
def test_web_pods_are_probed_where_they_listen(name, variable):
    container = _container(name)
    port = int(SERVICES[name]["environment"][variable])
    assert container["ports"] == [{"name": "http", "containerPort": port}]
    (exposed,) = OBJECTS["Service", name]["spec"]["ports"]
    # nginx asks for the same names and ports here as under compose.
    assert exposed == {"name": "http", "port": port, "targetPort": "http"}
    assert f"server {name}:{port} " in (DEPLOY / "nginx/nginx.conf").read_text()
    for probe, path in (("startup", "/readyz"), ("readiness", "/readyz"), ("liveness", "/healthz")):
        assert container[f"{probe}Probe"]["httpGet"] == {"path": path, "port": "http"}
    assert container["lifecycle"]["preStop"]["exec"]["command"][0] == "sleep"


def test_packets_pods_are_probed_where_they_listen():
    container, given = _container("packets"), SERVICES["packets"]["environment"]
    ports = {"packets": given["PACKETS_PORT"], "watch": given["PACKETS_WATCH_PORT"]}
    listening = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    exposed = OBJECTS["Service", "packets"]["spec"]["ports"]
    assert listening == {port["targetPort"]: str(port["port"]) for port in exposed} == ports
    check = ["CMD", *container["readinessProbe"]["exec"]["command"]]
    assert check == SERVICES["packets"]["healthcheck"]["test"]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "watch"}


def test_the_writer_is_probed_where_it_is_watched():
    container, given = _container("writer"), SERVICES["writer"]["environment"]
    [port] = container["ports"]
    assert port == {"name": "watch", "containerPort": int(given["TIMESERIES_WATCH_PORT"])}
    for probe in ("startup", "liveness"):
        assert container[f"{probe}Probe"]["httpGet"] == {"path": "/healthz", "port": "watch"}


@pytest.mark.parametrize("name", ["worker", "beat"])
def test_task_pods_are_probed_as_under_compose(name):
    command = _container(name)["livenessProbe"]["exec"]["command"]
    assert SERVICES[name]["healthcheck"]["test"] == ["CMD", *command]


def test_there_is_one_beat_at_any_moment():
    beat = OBJECTS["Deployment", "beat"]["spec"]
    assert (beat["replicas"], beat["strategy"]) == (1, {"type": "Recreate"})


def test_edges_grow_with_the_reads():
    scaler = OBJECTS["HorizontalPodAutoscaler", "edge"]["spec"]
    assert scaler["scaleTargetRef"]["name"] == "edge"
    assert scaler["minReplicas"] >= 2
    # A number here would undo the autoscaler's at every apply.
    assert "replicas" not in OBJECTS["Deployment", "edge"]["spec"]


@pytest.mark.parametrize("name", sorted(PODS))
def test_pods_are_unprivileged_and_bounded(name):
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"] is True
    if name in compose.OURS:
        user = f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
        assert [user] == image.instructions("USER")
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        assert container["securityContext"] == UNPRIVILEGED
        assert {"requests", "limits"} <= set(container["resources"])


@pytest.mark.parametrize("name", sorted(set(compose.OURS) - {"migrate"}))
def test_pods_wait_for_the_migration_and_may_end_what_they_have(name):
    (first,) = PODS[name]["initContainers"]
    assert first["command"] == ["python", "manage.py", "migrate", "--check"]
    grace_s = PODS[name]["terminationGracePeriodSeconds"]
    assert grace_s > env.VARIABLES["GRACEFUL_TIMEOUT_S"].default + 5


def test_all_api_pods_share_the_pictures():
    claim = OBJECTS["PersistentVolumeClaim", "pictures"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    mounts = {each["name"]: each["mountPath"] for each in _container("api")["volumeMounts"]}
    assert mounts["pictures"] == SERVICES["api"]["environment"]["PICTURES_DIR"]


def test_no_secret_is_kept_here():
    assert not [kind for kind, _ in OBJECTS if kind == "Secret"]
    text = "".join(path.read_text() for path in (DEPLOY / "k8s").iterdir())
    assert not re.search(r"(postgres(ql)?|rediss?)://", text)
