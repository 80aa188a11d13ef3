"""docker-compose.yml, Dockerfile and nginx.conf say the same, and what they set starts a production server.

No engine is asked here: that the containers run is not shown by these tests.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.env import VARIABLES
from tests.lab.server import ROOT

SERVER_SERVICES = {"web", "sockets", "worker", "watcher", "deltas", "beat", "gateway"}
REQUIRED = (
    *("OPENVRAS_SECRET_KEY", "OPENVRAS_HOSTS", "OPENVRAS_DATABASE", "OPENVRAS_FRONT_SECRET_FILE"),
    "OPENVRAS_COMPANY_NETWORKS",
)


@pytest.fixture
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


@pytest.fixture
def production(compose: dict[str, Any], tmp_path: Path) -> dict[str, str]:
    """The environment of the web service, with files of this test behind its paths."""
    told = {"OPENVRAS_SECRET_KEY": "of this test", "OPENVRAS_HOSTS": "vras.example,10.0.0.1"}
    told["OPENVRAS_COMPANY_NETWORKS"] = "10.20.0.0/16,2001:db8::/32"
    (tmp_path / "secret").write_text("secret")
    values = {}
    for name, value in compose["services"]["web"]["environment"].items():
        found = re.fullmatch(r"\$\{(\w+)(?::-(.*)|:\?.*)\}", value)
        values[name] = told.get(found[1], found[2]) if found else value
        if name.endswith("_FILE"):
            values[name] = str(tmp_path / "secret")
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **values, "OPENVRAS_DATA": str(tmp_path)}


def run(code: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_every_part_of_the_server_is_a_service(compose: dict[str, Any]) -> None:
    services = compose["services"]

    assert set(services) == SERVER_SERVICES | {"front", "redis", "postgres"}
    assert {name for name in services if services[name].get("image") == "openvras-server"} == SERVER_SERVICES
    assert {name: services[name]["command"] for name in SERVER_SERVICES} == {
        name: [name] for name in SERVER_SERVICES
    }


def test_services_volumes_and_secrets_that_are_named_exist(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert set(service.get("depends_on", [])) <= set(compose["services"])
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        names = {volume.split(":")[0] for volume in service.get("volumes", [])}
        assert {name for name in names if not name.startswith(".")} <= set(compose["volumes"])


def test_the_front_sees_the_store_and_never_the_keys(compose: dict[str, Any]) -> None:
    assert compose["services"]["front"]["volumes"] == [
        "./deploy/front:/etc/openvras/front:ro",
        "store:/var/lib/openvras/store:ro",
    ]
    assert "environment" not in compose["services"]["front"]


def test_what_stands_in_env_and_the_files_that_it_names_reach_every_part_of_the_server(
    compose: dict[str, Any],
) -> None:
    for name in SERVER_SERVICES:
        assert compose["services"][name]["env_file"] == [".env"]
        assert "./deploy/files:/etc/openvras:ro" in compose["services"][name]["volumes"]
    assert not {"env_file"} & set(compose["services"]["front"])


def test_only_the_front_and_the_gateway_are_reached_from_outside(compose: dict[str, Any]) -> None:
    reached = [name for name, service in compose["services"].items() if "ports" in service]

    assert reached == ["front", "gateway"]


def test_every_variable_that_is_set_exists(compose: dict[str, Any]) -> None:
    for name in SERVER_SERVICES:
        assert set(compose["services"][name]["environment"]) <= set(VARIABLES)
    made = re.findall(r"OPENVRAS_\w+", (ROOT / "deploy" / "init.sh").read_text())
    built = re.findall(r"OPENVRAS_\w+", (ROOT / "deploy" / "Dockerfile").read_text())
    assert set(made) | set(built) <= set(VARIABLES)


def test_no_secret_stands_in_the_file(compose: dict[str, Any]) -> None:
    environment = compose["services"]["web"]["environment"]

    assert environment["OPENVRAS_SECRET_KEY"].startswith("${OPENVRAS_SECRET_KEY:?")
    assert all(secret["file"].startswith("./deploy/secrets/") for secret in compose["secrets"].values())


def test_the_build_stages_that_are_named_exist(compose: dict[str, Any]) -> None:
    stages = set(re.findall(r"^FROM \S+ AS (\w+)$", (ROOT / "deploy" / "Dockerfile").read_text(), re.M))
    wanted = {service["build"]["target"] for service in compose["services"].values() if "build" in service}

    assert wanted <= stages


def test_the_front_passes_on_to_the_services_where_they_listen() -> None:
    nginx, serve = ((ROOT / "deploy" / name).read_text() for name in ("nginx.conf", "serve.sh"))

    assert "server web:8000;" in nginx and "--bind 0.0.0.0:8000" in serve
    assert "server sockets:8001;" in nginx and "--host 0.0.0.0 --port 8001" in serve


def test_production_starts_with_what_the_file_sets(production: dict[str, str]) -> None:
    done = run(
        "import config.asgi, config.wsgi, config.celery\n"
        "from django.core.management import call_command\n"
        "from django.conf import settings\n"
        "call_command('check', verbosity=0)\n"
        "print(settings.PRODUCTION, settings.IDENTITY, *settings.ALLOWED_HOSTS)",
        production,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "True mtls vras.example 10.0.0.1"


@pytest.mark.parametrize("name", REQUIRED)
def test_production_names_what_is_missing(production: dict[str, str], name: str) -> None:
    del production[name]

    done = run("import config.settings", production)

    assert done.returncode != 0
    assert f"{name}: {VARIABLES[name]}" in done.stderr


def test_production_refuses_the_demos_way_to_know_pcs(production: dict[str, str]) -> None:
    done = run("import config.settings", {**production, "OPENVRAS_IDENTITY": "signature"})

    assert "set OPENVRAS_IDENTITY=mtls" in done.stderr


def test_static_files_are_collected_as_the_build_does() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text().replace("\\\n", "")
    line = next(line for line in dockerfile.splitlines() if "collectstatic" in line)
    env = dict(re.findall(r"(OPENVRAS_\w+)=(\S+)", line))

    done = subprocess.run(
        [sys.executable, "manage.py", "collectstatic", "--noinput", "--dry-run"],
        env={"PATH": os.environ["PATH"], **env},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "static files copied" in done.stdout


def test_secrets_are_made_once_and_for_their_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    script = tmp_path / "deploy" / "init.sh"
    script.write_text((ROOT / "deploy" / "init.sh").read_text())

    def make() -> dict[str, str]:
        subprocess.run(["bash", str(script), "vras.example", "10.20.0.0/16"], check=True, capture_output=True)
        made = [tmp_path / ".env", *(tmp_path / "deploy").glob("*/*")]
        assert all(path.stat().st_mode & 0o077 == 0 for path in made)
        return {path.name: path.read_text() for path in made}

    first = make()

    assert set(first) == {".env", "database-password", "front-secret", "front-secret.conf", "nas-password"}
    assert "OPENVRAS_HOSTS=vras.example" in first[".env"]
    assert "OPENVRAS_COMPANY_NETWORKS=10.20.0.0/16" in first[".env"]
    assert f'"{first["front-secret"]}"' in first["front-secret.conf"]
    assert len({*first.values()}) == 5  # the NAS's, which an administrator puts there, is empty
    assert make() == first
