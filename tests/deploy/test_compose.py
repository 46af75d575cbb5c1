"""docker-compose.yml: what it must hold, read as compose reads it."""

import re
import tomllib
from urllib.parse import urlsplit

import pytest

from config import env
from tests.deploy import compose, image
from tests.deploy.compose import DOT_ENV, OURS

LOAD = {"producer", "clients"}
ONE_SHOT = {"migrate", *LOAD}
LONG_RUNNING = set(compose.load()["services"]) - ONE_SHOT
# Who keeps people's pictures, on a volume of their own.
PICTURES = {"api", "packets"}
REQUIRED = ["SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "ALLOWED_HOSTS"]
EXAMPLE = env.BASE_DIR / "deploy/example.env"


@pytest.fixture(scope="module")
def file():
    return compose.load()


@pytest.fixture(scope="module")
def services(file):
    return file["services"]


def test_every_process_of_the_product_is_there(services):
    stores_and_proxy = {"postgres", "redis", "nginx"}
    watchers = {name for name, service in services.items() if service.get("profiles")}
    assert set(services) - watchers == stores_and_proxy | set(OURS)
    assert watchers == {"prometheus", "grafana", *LOAD}


@pytest.mark.parametrize("name", REQUIRED)
def test_refuses_to_start_without(name):
    with pytest.raises(compose.MissingVariableError, match=f"set {name} in .env"):
        compose.load({**DOT_ENV, name: ""})


def test_the_example_lists_exactly_the_variables_that_are_read():
    listed = set(re.findall(r"^#?([A-Z_]+)=", EXAMPLE.read_text(), flags=re.MULTILINE))
    assert listed == compose.names()
    empty = set(re.findall(r"^([A-Z_]+)=$", EXAMPLE.read_text(), flags=re.MULTILINE))
    assert set(REQUIRED) <= empty


def test_our_variables_are_known_to_the_settings(services):
    known = set(env.VARIABLES) | {"DJANGO_SETTINGS_MODULE"}
    for name in OURS:
        assert set(services[name]["environment"]) <= known


def test_our_variables_reach_the_stores_that_run(services):
    environment = services["api"]["environment"]
    database = urlsplit(environment["DATABASE_URL"])
    store = services["postgres"]["environment"]
    assert (database.hostname, database.username, database.password, database.path) == (
        "postgres",
        store["POSTGRES_USER"],
        store["POSTGRES_PASSWORD"],
        f"/{store['POSTGRES_DB']}",
    )
    redis = urlsplit(environment["REDIS_URL"])
    assert (redis.hostname, redis.password) == ("redis", DOT_ENV["REDIS_PASSWORD"])
    assert services["redis"]["command"][-2:] == ["--requirepass", DOT_ENV["REDIS_PASSWORD"]]


def test_images_are_pinned(services):
    for name, service in services.items():
        image, _, tag = service["image"].rpartition(":")
        assert image, f"{name} has no tag"
        assert re.match(r"v?\d+\.?\d*", tag), f"{name} is not pinned to a version: {tag}"


def test_the_image_is_tagged_with_the_version_of_the_product(services):
    project = tomllib.loads((env.BASE_DIR / "pyproject.toml").read_text())["project"]
    assert {services[name]["image"] for name in OURS} == {f"adhouse:{project['version']}"}


@pytest.mark.parametrize("name", sorted(LONG_RUNNING))
def test_a_process_that_lasts_is_watched_and_restarted(services, name):
    check = services[name]["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)
    assert services[name]["restart"] == "unless-stopped"


def test_one_shots_run_once(services):
    for name in ONE_SHOT:
        assert services[name]["restart"] == "no"


@pytest.mark.parametrize("name", OURS)
def test_ours_cannot_write_or_gain_anything(services, name):
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in service, "the image says who runs it"
    kept = ["pictures:/var/lib/adhouse/pictures"] if name in PICTURES else None
    assert service.get("volumes") == kept, "what else lasts is in the stores"


@pytest.mark.parametrize("name", OURS)
def test_ours_may_end_what_they_have(services, name):
    grace_s = int(services[name]["stop_grace_period"].removesuffix("s"))
    assert grace_s > env.VARIABLES["GRACEFUL_TIMEOUT_S"].default


def test_ours_start_after_the_stores_and_the_migration(services):
    stores = {"postgres": "service_healthy", "redis": "service_healthy"}
    for name in OURS:
        waits = {key: value["condition"] for key, value in services[name]["depends_on"].items()}
        migrated = {} if name == "migrate" else {"migrate": "service_completed_successfully"}
        assert waits == stores | migrated


def test_nginx_starts_after_both_pools(services):
    conditions = services["nginx"]["depends_on"]
    assert {name: condition["condition"] for name, condition in conditions.items()} == {
        "api": "service_healthy",
        "edge": "service_healthy",
    }


def test_what_lasts_is_on_volumes(file, services):
    # The image of PostgreSQL 18 keeps its data below this directory, not in `data` as before.
    assert services["postgres"]["volumes"] == ["postgres-data:/var/lib/postgresql"]
    assert services["redis"]["volumes"] == ["redis-data:/data"]
    assert {"postgres-data", "redis-data", "pictures"} <= set(file["volumes"])
    (made,) = (line for line in image.instructions("RUN") if "--owner=adhouse" in line)
    directory = services["api"]["environment"]["PICTURES_DIR"]
    assert directory in made, "a new volume takes the owner that the image gives the directory"


def test_only_the_proxy_is_reached_from_outside(services):
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert set(published) == {"nginx", "prometheus", "grafana"}
    for ports in published.values():
        assert all(port.startswith("127.0.0.1:") for port in ports), "unless told otherwise"


def test_the_stores_are_out_of_the_proxys_reach(services):
    for name in ("postgres", "redis"):
        assert services[name]["networks"] == ["stores"]
    assert services["nginx"]["networks"] == ["web"]


def test_mounted_files_exist(services):
    mounts = [mount for service in services.values() for mount in service.get("volumes", [])]
    files = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert len(files) == 5
    for file in files:
        assert (env.BASE_DIR / file).exists(), file
